"""Measures the cost of workloads, each in a process of its own, so that no workload affects another.

The process reads settings from stdin and writes numbers to stdout. It imports what a trial imports, so that its memory
and its start are those of a trial's process.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from contextlib import redirect_stdout, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from mtneuro_ray.capacity.costs import Cost, Workload
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.engine.device import device_name, is_oom
from mtneuro_ray.engine.profile import measure, random_splits
from mtneuro_ray.errors import MTNeuroError
from mtneuro_ray.machine import memory_bytes
from mtneuro_ray.models.build import build_model

_STATUS = Path("/proc/self/status")
# Least seconds of timed steps.
_SECONDS = 1.0
# Exit status of a process that the kernel killed for lack of memory; 137 in a shell.
_KILLED = -9


def profile(workload: Workload, *, on_gpu: bool, threads: int, steps: int) -> Cost:
    """Measure a workload in a fresh process on this machine, on `threads` CPU threads or the first GPU.

    At least `steps` steps are timed, for at least a second. A workload that exhausts memory has the cost `fits=False`.

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
        "spawned": time.time(),
    }
    done = subprocess.run(
        [sys.executable, "-m", "mtneuro_ray.cluster.profile"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
    )
    if done.returncode == _KILLED:
        found = {"fits": False, "device_bytes": memory_bytes(), "torch": torch.__version__}
    elif done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise MTNeuroError(f"{workload.key}: can't be measured: {reason}")
    else:
        found = json.loads(done.stdout)
    # Four significant digits of seconds.
    rounded = {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in found.items()}
    place = {"device": device_name(device) if on_gpu else "cpu", "threads": threads}
    return Cost.load({**place, "date": datetime.now(UTC).date().isoformat(), **rounded}, workload.key)


def main() -> None:
    """Measure the workload on stdin, and print the numbers."""
    import mtneuro_ray.cluster.ray_tune  # noqa: F401 - a trial's process holds it

    # Where the machine itself runs out of memory, the kernel kills this process first.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    asked = json.load(sys.stdin)
    with redirect_stdout(sys.stderr):
        found = _measured(asked)
    print(json.dumps(found))


def _measured(asked: dict[str, Any]) -> dict[str, Any]:
    device = torch.device(asked["device"])
    run = RunSettings.load(asked["run"], "run")
    if device.type == "cuda":
        torch.zeros(1, device=device)
    memory = _Cuda(device) if device.type == "cuda" else _Resident()
    found = {"torch": torch.__version__, "device_bytes": memory.device_bytes}
    try:
        # Models import their libraries when they are built, which a process does once.
        build_model(run.network)
        found["process_s"] = max(0.0, time.time() - asked["spawned"])
        data = random_splits(run, asked["images"])
        context = WorkerContext(device=device, threads=asked["threads"])
        found |= measure(run, data, context, steps=asked["steps"], seconds=_SECONDS)
    except (RuntimeError, MemoryError) as error:
        if not is_oom(error):
            raise
        return {**found, "fits": False}
    on_device = sum(
        arrays.images.nbytes + (0 if arrays.masks is None else arrays.masks.nbytes) + arrays.labels.nbytes
        for arrays in data.values()
    )
    return {**found, **memory.taken(), "data_bytes": on_device, "fits": True}


class _Resident:
    """Memory of this process on a CPU, as the system counts it."""

    def __init__(self) -> None:
        self.device_bytes = memory_bytes()
        # The imports may have taken more for a moment. Where the system forbids it, the peak is theirs at least.
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        self._base = self._read("VmRSS")

    def taken(self) -> dict[str, int]:
        peak = self._read("VmHWM")
        return {"base_bytes": self._base, "peak_bytes": max(0, peak - self._base)}

    @staticmethod
    def _read(key: str) -> int:
        # Not getrusage: a process that was forked inherits the peak of the one that started it.
        found = re.search(rf"^{key}:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
        assert found is not None
        return 1024 * int(found[1])


class _Cuda:
    """Memory of this process on a GPU."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        _, self.device_bytes = torch.cuda.mem_get_info(device)

    def taken(self) -> dict[str, int]:
        free, total = torch.cuda.mem_get_info(self._device)
        # The context, and whatever else runs there: on a GPU that is in use the table errs to the safe side.
        base = max(0, total - free - torch.cuda.memory_reserved(self._device))
        peak = torch.cuda.max_memory_reserved(self._device)
        return {"base_bytes": base, "peak_bytes": peak}


if __name__ == "__main__":
    main()
