"""From a run's settings to the task that it trains."""

from __future__ import annotations

from collections.abc import Sequence

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.errors import InputError
from mtneuro_ray.tasks.base import Task


def build_task(run: RunSettings, class_counts: Sequence[int] = ()) -> Task:
    """The task that a run trains.

    Args:
        run: What is learned.
        class_counts: Voxels, or images, of each class in the training split; needed for weighted losses.

    Raises:
        InputError: this kind of task is not trained.
    """
    declaration = run.task.declaration
    if declaration.reads_encoder:
        raise InputError(f"{run.task.name}: task: {declaration.name!r} can't be trained; accepted: a task that is")
    built: Task = declaration.resolve()(run, class_counts)
    return built
