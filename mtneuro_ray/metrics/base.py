"""The contract of a metric: a state that is updated batch by batch, merged over workers, and computed at the end."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.registry import Declaration

if TYPE_CHECKING:
    from torch import Tensor

Metrics: TypeAlias = "dict[str, float | list[float] | list[int] | list[list[int]] | dict[str, Metrics]]"
"""Metric name -> value, value per class, confusion matrix, or each region's metrics; can be written as JSON."""

LabelKind: TypeAlias = str
"""Targets of a task: "image" (a class per image), "voxel" (a class per voxel) or "corner" (numbers per corner)."""


@dataclass(frozen=True, kw_only=True)
class MetricDeclaration(Declaration):
    """One metric. `build` is called with the task's settings and returns a `Metric`.

    Attributes:
        labels: Kinds of label that it measures.
        better: Whether larger or smaller values are better.
    """

    labels: tuple[LabelKind, ...] = ("image", "voxel")
    better: Literal["max", "min"] = "max"


class Metric(ABC):
    """One metric of a split.

    A state can be pickled, belongs to its holder, and merges without loss and in any order: integer counts that are
    added, or values of single images that are concatenated and summed by `math.fsum`. Then the shards of any number of
    workers give the metric of the whole, to the bit.
    """

    def __init__(self, task: TaskSettings) -> None:
        self.task = task
        self.classes = len(task.classes)

    @abstractmethod
    def init(self) -> Any:
        """The state of no image."""

    @abstractmethod
    def update(self, state: Any, prediction: Tensor, truth: Tensor, mask: Tensor | None) -> Any:
        """The state with a batch of images added.

        Args:
            state: The state so far, which may be changed in place.
            prediction: (B, ...) predicted classes, on any device.
            truth: (B, ...) true classes, int64.
            mask: (B, ...) true where a voxel counts; None where all do.
        """

    @abstractmethod
    def merge(self, first: Any, second: Any) -> Any:
        """The state of the images of both."""

    @abstractmethod
    def compute(self, state: Any) -> Metrics:
        """Name -> value: a number, or a list with one number per class."""


class PerImageMetric(Metric):
    """A metric with one row of numbers per image, of which means are reported.

    Attributes:
        name: Key of the result. With more than one number per image, the key has the means of each and NAME_mean
            their mean.
    """

    name: str

    @abstractmethod
    def measure(
        self, prediction: npt.NDArray[np.int64], truth: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_]
    ) -> Sequence[float]:
        """Numbers of one image, usually one per class; NaN where there is none, which counts in no mean.

        Args:
            prediction: ([Z,] Y, X) predicted classes.
            truth: The same shape, true classes.
            mask: The same shape, true where a voxel counts.
        """

    def init(self) -> list[Sequence[float]]:
        """No row."""
        return []

    def update(
        self, state: list[Sequence[float]], prediction: Tensor, truth: Tensor, mask: Tensor | None
    ) -> list[Sequence[float]]:
        """One row more for each image."""
        arrays = [prediction.cpu().numpy(), truth.cpu().numpy()]
        masks = np.ones(arrays[1].shape, np.bool_) if mask is None else mask.cpu().numpy()
        state.extend(self.measure(*image) for image in zip(*arrays, masks, strict=True))
        return state

    def merge(self, first: list[Sequence[float]], second: list[Sequence[float]]) -> list[Sequence[float]]:
        """The rows of both."""
        return first + second

    def compute(self, state: list[Sequence[float]]) -> Metrics:
        """The mean of each column over the images that have one."""
        columns = [_mean_of_numbers(column) for column in zip(*state, strict=True)]
        if len(columns) == 1:
            return {self.name: columns[0]}
        return {self.name: columns, f"{self.name}_mean": _mean_of_numbers(columns)}


class ConfusionMetric(Metric):
    """A metric of the confusions of images: counts (classes, classes) of each, rows the truth."""

    def init(self) -> list[npt.NDArray[np.int64]]:
        """No image."""
        return []

    def update(
        self, state: list[npt.NDArray[np.int64]], prediction: Tensor, truth: Tensor, mask: Tensor | None
    ) -> list[npt.NDArray[np.int64]]:
        """The confusions of a batch more."""
        from mtneuro_ray.metrics.confusion import image_confusions

        state.append(image_confusions(prediction, truth, self.classes, mask))
        return state

    def merge(
        self, first: list[npt.NDArray[np.int64]], second: list[npt.NDArray[np.int64]]
    ) -> list[npt.NDArray[np.int64]]:
        """The images of both."""
        return first + second

    def compute(self, state: list[npt.NDArray[np.int64]]) -> Metrics:
        """The metrics of all images."""
        empty = np.zeros((0, self.classes, self.classes), np.int64)
        return self.of(np.concatenate([empty, *state]))

    @abstractmethod
    def of(self, confusions: npt.NDArray[np.int64]) -> Metrics:
        """The metrics of images (N, classes, classes)."""


def mean(values: Iterable[float]) -> float:
    """Mean that is the same in whatever order workers hand in their images: `math.fsum` rounds once."""
    numbers = list(values)
    return math.fsum(numbers) / len(numbers)


def ratio(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64], where_empty: float) -> npt.NDArray[np.float64]:
    """Part / whole, and `where_empty` where the whole is 0."""
    empty = np.full(part.shape, where_empty, dtype=np.float64)
    return np.divide(part, whole, out=empty, where=whole > 0)


def _mean_of_numbers(values: Iterable[float]) -> float:
    numbers = [float(value) for value in values if not math.isnan(value)]
    return mean(numbers) if numbers else math.nan
