"""What a task computes: its model's inputs, its loss and its counts. Knows nothing of epochs, workers or files."""

from __future__ import annotations

from collections.abc import Sequence

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.errors import InputError
from mtneuro_ray.tasks.base import Batch, Task
from mtneuro_ray.tasks.classification import ClassificationTask
from mtneuro_ray.tasks.segmentation import SegmentationTask

__all__ = ["TASKS", "Batch", "ClassificationTask", "SegmentationTask", "Task", "build_task"]

TASKS: dict[str, type[Task]] = {"classification": ClassificationTask, "segmentation": SegmentationTask}


def build_task(run: RunSettings, class_counts: Sequence[int] = ()) -> Task:
    """The task that a run trains.

    Args:
        run: What is learned.
        class_counts: Voxels, or images, of each class in the training split; needed for weighted losses.

    Raises:
        InputError: this kind of task is not trained.
    """
    kind = run.task.task
    if kind not in TASKS:
        raise InputError(f"{run.task.name}: task: {kind!r} can't be trained; accepted: {', '.join(TASKS)}")
    return TASKS[kind](run, class_counts)
