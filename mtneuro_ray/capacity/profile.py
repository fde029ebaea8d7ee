"""Measuring what trainings cost: each workload in a process of its own, so that none spoils another."""

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

_STEPS = 5
_SECONDS = 1.0
# Killed by the kernel for lack of memory; a shell would say 137.
_KILLED = -9


def profile(workload: Workload, *, on_gpu: bool, threads: int, steps: int = _STEPS, seconds: float = _SECONDS) -> Cost:
    """Measure a workload in a fresh process on this machine. One that exhausts memory does not fit, and says so.

    Args:
        workload: What is measured.
        on_gpu: Whether on the first GPU.
        threads: Of the CPU.
        steps: That are timed, at least.
        seconds: That they take, at least.

    Raises:
        MTNeuroError: it can't be measured for another reason.
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
    placed = {
        "device": device_name(device) if on_gpu else "cpu",
        "threads": threads,
        "date": datetime.now(UTC).date().isoformat(),
    }
    return Cost.load({**placed, **_rounded(found)}, workload.key)


def _rounded(found: dict[str, object]) -> dict[str, object]:
    """Seconds as a person reads them: four significant digits."""
    return {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in found.items()}
