"""Reading ahead: samples from the store before the training needs them, and `map` on a thread of its own.

Batches are read in windows: consecutive batches that need each shard of the store once. A window and the one that is
read meanwhile fit the budget, whatever the size of the split. The order of the samples is known before an epoch, so
reading changes no number.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from mtneuro_ray.data.samples import Images
from mtneuro_ray.data.store import Bytes
from mtneuro_ray.rng import Indices

# Bytes of the first window of a sequence, so that the first step need not wait for a large one; each is twice the last.
_FIRST_BYTES = 2**20
# A larger window would decode shards more rarely, but occupy memory that trials on the same machine need.
_MOST_BYTES = 256 * 2**20
# Windows of a budget: one in use, one that is read, and its voxels once more while they are put together.
_WINDOWS = 4

Item = TypeVar("Item")
Result = TypeVar("Result")
Voxels = tuple[Images, Bytes | None]
"""Images (B, C, Z, Y, X), and masks (B, Z, Y, X) where the task has them."""
Reader = Callable[["Stored", Iterable[Indices]], Iterator[Voxels]]
"""Reads batches of samples in their order, ahead of their use."""


class Stored(ABC):
    """Samples whose voxels stay in the store.

    Attributes:
        budget: Bytes that reading ahead may take.
        reader: Reads batches ahead.
    """

    budget: int
    reader: Reader

    @property
    @abstractmethod
    def sample_bytes(self) -> int:
        """Bytes that one sample takes while it is read."""

    @abstractmethod
    def read(self, indices: Indices) -> Voxels:
        """Images and masks of some samples, in the order of the indices; each shard that they need is decoded once."""

    def windows(self, batches: Iterable[Indices]) -> Iterator[list[Indices]]:
        """Batches in groups that are read at once."""
        return in_windows(batches, self.sample_bytes, self.budget)

    def read_window(self, window: Sequence[Indices]) -> Iterator[Voxels]:
        """The voxels of a group of batches, batch by batch; they are read when this is called."""
        unique, rows = np.unique(np.concatenate(window), return_inverse=True)
        images, masks = self.read(unique)
        ends = np.cumsum([len(batch) for batch in window])[:-1]

        def batches() -> Iterator[Voxels]:
            for own in np.split(rows, ends):
                yield images[own], None if masks is None else masks[own]

        return batches()


def in_windows(batches: Iterable[Indices], sample_bytes: int, budget: int) -> Iterator[list[Indices]]:
    """Batches in groups that are read at once: small at first, then as large as the budget in bytes allows."""
    most = max(1, min(budget // _WINDOWS, _MOST_BYTES) // sample_bytes)
    limit, group, size = max(1, _FIRST_BYTES // sample_bytes), list[Indices](), 0
    for batch in batches:
        if group and size + len(batch) > min(limit, most):
            yield group
            limit, group, size = 2 * limit, [], 0
        group.append(batch)
        size += len(batch)
    if group:
        yield group


def read_ahead(split: Stored, batches: Iterable[Indices]) -> Iterator[Voxels]:
    """The voxels of batches of samples, in order; a thread reads the next window while one is in use."""
    for window in ahead(split.read_window, split.windows(batches)):
        yield from window


def ahead(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    prepare: Callable[[], None] | None = None,
    at_once: int = 1,
) -> Iterator[Result]:
    """`map` on threads of its own: works on the next items, `at_once` of them, while the caller has the result of one.

    `prepare` is called first on each thread. An error is raised in the place of its result; no further item is begun.
    """
    pool = ThreadPoolExecutor(at_once, "ahead", prepare)
    pending = deque[Future[Result]]()
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) > at_once:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
