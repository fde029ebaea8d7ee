"""Workers that are threads of this process: what they gather is real, what they compute is not slowed by processes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, TypeVar

from mtneuro_ray.data.context import WorkerContext

_Found = TypeVar("_Found")
_PATIENCE_S = 60


def together(work: Callable[[WorkerContext], _Found], workers: int = 3) -> list[_Found]:
    """What each of several workers, who run at once, returns, by rank."""
    slots: list[Any] = [None] * workers
    barrier = Barrier(workers)

    class Member(WorkerContext):
        def gather(self, value: Any) -> list[Any]:
            slots[self.rank] = value
            barrier.wait(_PATIENCE_S)
            gathered = list(slots)
            # Nobody writes again before everybody has read.
            barrier.wait(_PATIENCE_S)
            return gathered

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, [Member(rank, workers) for rank in range(workers)]))
