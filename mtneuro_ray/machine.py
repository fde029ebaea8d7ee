"""Processors, memory and GPUs that this process may use, asked of the system without importing torch."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass

_SECONDS_TO_ANSWER = 10.0
# Where a container's limits stand, in the second and the first version of control groups.
_MEMORY_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_PROCESSOR_LIMIT = "/sys/fs/cgroup/cpu.max"


@dataclass(frozen=True, slots=True)
class Machine:
    """What a run may use here.

    Attributes:
        cpus: Processors that this process may use.
        memory_bytes: Memory of the machine, or of the container where that has a limit.
        gpus: Name and memory in bytes of each NVIDIA GPU.
    """

    cpus: int
    memory_bytes: int
    gpus: tuple[tuple[str, int], ...] = ()

    @property
    def gpu_bytes(self) -> int:
        """Memory of the GPU with the least; 0 without one."""
        return min((size for _, size in self.gpus), default=0)

    def __str__(self) -> str:
        gpus = ", ".join(f"{name} ({size / 2**30:.0f} GiB)" for name, size in self.gpus) or "no GPU"
        return f"{self.cpus} CPUs, {self.memory_bytes / 2**30:.0f} GiB of memory, {gpus}"


def this_machine() -> Machine:
    """The machine that this process runs on."""
    return Machine(cpus=processors(), memory_bytes=memory_bytes(), gpus=_gpus())


def physical_bytes() -> int:
    """Memory of the whole machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def memory_bytes() -> int:
    """Memory of the machine, or of the container where that has a limit below it."""
    limits = [int(text) for path in _MEMORY_LIMITS if (text := _text(path).strip()).isdecimal()]
    return min([physical_bytes(), *limits])


def processors() -> int:
    """Processors that this process may use, by its affinity and its container's quota; at least one."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, *period = _text(_PROCESSOR_LIMIT).split() or ["max"]
    if quota != "max" and period:
        allowed = min(allowed, max(1, round(int(quota) / int(period[0]))))
    return allowed


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def _gpus() -> tuple[tuple[str, int], ...]:
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS_TO_ANSWER, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    rows = [line.rpartition(",") for line in answer.splitlines()]
    return tuple((name.strip(), int(size) * 2**20) for name, _, size in rows if size.strip().isdecimal())
