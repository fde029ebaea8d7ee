"""Out-of-memory errors of torch and the system, told from all others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mtneuro_ray.errors import OutOfMemoryError

# On a CPU torch raises a plain RuntimeError with the words of its allocator, or of the system.
_WORDS = ("can't allocate memory", "cannot allocate memory", "not enough memory")


def machine_bytes() -> int:
    """Memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def is_oom(error: BaseException) -> bool:
    """Whether an error says that there is no memory left, of a GPU or of the machine."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError | OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _WORDS)


@contextmanager
def oom_guard(where: str, accepted: str) -> Iterator[None]:
    """Turn out-of-memory errors into `OutOfMemoryError`.

    Args:
        where: Circumstance for the message: `at batch size 4`.
        accepted: Remedy for the message.

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
