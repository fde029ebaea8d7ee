"""Device of a worker: whether there is a GPU, arithmetic that repeats, exhausted memory, and what a record tells."""

from __future__ import annotations

import platform
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

import mtneuro_ray
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.errors import InputError, OutOfMemoryError

# On a CPU torch raises a plain RuntimeError with the words of its allocator, or of the system.
_WORDS = ("can't allocate memory", "cannot allocate memory", "not enough memory")


def check_gpu(where: str) -> None:
    """Check that this machine can train on a GPU.

    Raises:
        InputError: torch finds no GPU.
    """
    if not torch.cuda.is_available():
        raise InputError(f"{where}: torch finds no GPU on this machine; accepted: leave it out")


def device_name(device: torch.device) -> str:
    """Name of a device in run files."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or device.type


def about_execution(context: WorkerContext, **placement: Any) -> dict[str, Any]:
    """Workers, threads, device, host, and versions of what decides the numbers of an execution."""
    placed = {"workers": context.world_size, "threads": context.threads, "device": device_name(context.device)}
    versions = {
        "mtneuro_ray": mtneuro_ray.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scikit-learn": version("scikit-learn"),
    }
    return {"placement": {**placed, **placement}, "versions": versions, "host": socket.gethostname()}


def make_repeatable(context: WorkerContext) -> None:
    """Fix the number of threads, which decides the order of sums, and on a CPU deterministic algorithms."""
    torch.set_num_threads(context.threads)
    torch.use_deterministic_algorithms(context.device.type == "cpu")
    # It would fill memory that is about to be written, a tenth of the time of a small network; nothing reads it before.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def is_oom(error: BaseException) -> bool:
    """Whether an error says that there is no memory left, of a GPU or of the machine."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError | OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _WORDS)


@contextmanager
def oom_guard(where: str, accepted: str = "a device with more memory") -> Iterator[None]:
    """Turn out-of-memory errors into `OutOfMemoryError`, whose message says where (`at batch size 4`) and the remedy.

    Raises:
        OutOfMemoryError: memory is exhausted.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_oom(error):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise OutOfMemoryError(f"out of memory {where}: {reason}; accepted: {accepted}") from None
