"""Work on the next item while the caller is busy with the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


def ahead(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """`map` on a thread of its own, one item ahead of the caller; errors are raised in the place of their results.

    Torch computes there with as many threads as here.
    """
    with ThreadPoolExecutor(1, work.__name__, torch.set_num_threads, (torch.get_num_threads(),)) as pool:
        before: Future[R] | None = None
        for item in items:
            after = pool.submit(work, item)
            if before is not None:
                yield before.result()
            before = after
        if before is not None:
            yield before.result()
