"""Results of Ray tasks, where an error of ours is raised as itself."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeVar

import ray
from ray import ObjectRef

from mtneuro_ray.errors import MTNeuroError

T = TypeVar("T")

# How long an error waits for those of the other tasks, which mostly have the same cause.
_OTHERS_S = 5.0


def results(refs: Sequence[ObjectRef[T]], unread: Sequence[ObjectRef[Any]] = ()) -> list[T]:
    """Wait for tasks, and fetch what they return.

    Args:
        refs: What is fetched.
        unread: Further results of the same tasks, which stay where they are.

    Raises:
        MTNeuroError: one of ours, in a task or in one whose result it takes.
        OSError: likewise; a disk that fails is not the task's fault.
        RayTaskError: any other error in a task.
    """
    try:
        return list(ray.get(list(refs)))
    except ray.exceptions.RayTaskError as error:
        every = [*refs, *unread]
        ray.wait(every, num_returns=len(every), timeout=_OTHERS_S, fetch_local=False)
        for ref in every:
            # Ray prints an error once more, with all its lines, where nobody has asked for one of its results.
            with suppress(Exception):
                ray.get(ref, timeout=0)
        raise _own(error) from None


def _own(error: BaseException) -> BaseException:
    """The error of ours, or of the machine, that made a task fail; else the error itself."""
    cause: BaseException | None = error
    while isinstance(cause, ray.exceptions.RayTaskError):
        cause = cause.cause
    return cause if isinstance(cause, MTNeuroError | OSError) else error


def num_cpus() -> int:
    """CPUs of the cluster, at least 1."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]
