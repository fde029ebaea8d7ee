"""Measures the cost of trainings: one process per workload, so that no workload affects another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime

import torch

from mtneuro_ray.capacity.costs import Cost, Workload
from mtneuro_ray.engine.device import device_name, machine_bytes
from mtneuro_ray.errors import MTNeuroError

# Exit status of a process that the kernel killed for lack of memory; 137 in a shell.
_KILLED = -9


def profile(workload: Workload, *, on_gpu: bool, threads: int, steps: int = 5, seconds: float = 1.0) -> Cost:
    """Measure a workload in a fresh process on this machine, on `threads` CPU threads or the first GPU.

    At least `steps` steps are timed, for at least `seconds`. A workload that exhausts memory has the cost `fits=False`.

    Raises:
        MTNeuroError: the process failed for another reason.
    """
    device = torch.device("cuda" if on_gpu else "cpu")
    asked = {
        "run": workload.run.model_dump(mode="json"),
        "images": workload.images,
        "device": device.type,
        "threads": threads,
        "steps": steps,
        "seconds": seconds,
        "spawned": time.time(),
    }
    done = subprocess.run(
        [sys.executable, "-m", "mtneuro_ray.cluster.profile_process"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
    )
    if done.returncode == _KILLED:
        found = {"fits": False, "device_bytes": machine_bytes(), "torch": torch.__version__}
    elif done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise MTNeuroError(f"{workload.key}: can't be measured: {reason}")
    else:
        found = json.loads(done.stdout)
    # Four significant digits of seconds.
    rounded = {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in found.items()}
    place = {"device": device_name(device) if on_gpu else "cpu", "threads": threads}
    return Cost.load({**place, "date": datetime.now(UTC).date().isoformat(), **rounded}, workload.key)
