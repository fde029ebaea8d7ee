"""Contract of a metric: a state that is updated batch by batch, merged over workers, and computed at the end.

Confusions are counted by hand (`image_confusions`): the shards of any number of workers have to merge to the metrics
of the whole, to the bit. That takes an integer matrix per image, of the pixels that a mask keeps, counted on the device
of the predictions; scikit-learn has one for whole arrays on the host, segmentation_models_pytorch none.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.registry import Declaration

if TYPE_CHECKING:
    from torch import Tensor

Metrics: TypeAlias = (
    "dict[str, float | list[float] | list[float | None] | list[int] | list[list[int]] | dict[str, Metrics] | None]"
)
"""Metric name -> value, value per class, confusion matrix, or each region's metrics; can be written as JSON.

None stands for a value that there is not, as the score of a class without a voxel; a `Metric` may give NaN for it.
"""

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Measure(NamedTuple):
    """A metric as a function of sums over images, so that it can be computed for any sample of them.

    Attributes:
        sums: (N, Q) what each image adds.
        value: (..., Q) totals over images -> (...) values, or (..., K) for a metric with one per class; NaN where
            there is none.
        weights: (N, K) what each image adds to the denominators of K ratios: the metric is their mean, weighted or not,
            or has one per class. None if every image counts the same, as in a mean over all.
    """

    sums: npt.NDArray[Any]
    value: Callable[[npt.NDArray[Any]], Floats]
    weights: npt.NDArray[Any] | None = None


@dataclass(frozen=True, kw_only=True)
class MetricDeclaration(Declaration):
    """One metric. `build` is called with the task's settings and returns a `Metric`.

    Attributes:
        labels: Kinds of label that it measures; see `tasks.base.TaskDeclaration`.
        better: Whether larger or smaller values are better.
    """

    labels: tuple[str, ...] = ("image", "voxel")
    better: Literal["max", "min"] = "max"


class Metric(ABC):
    """One metric of a split.

    A state can be pickled, belongs to its holder, and merges without loss and in any order: integer counts that are
    added, or values of single images that are concatenated (the default: a list) and summed by `math.fsum`. Then the
    shards of any number of workers give the metric of the whole, to the bit.
    """

    def __init__(self, task: TaskSettings) -> None:
        self.task = task
        self.classes = len(task.classes)

    def init(self) -> Any:
        """The state of no image."""
        return []

    @abstractmethod
    def update(self, state: Any, prediction: Tensor, truth: Tensor, mask: Tensor | None) -> Any:
        """The state with a batch of images added.

        Args:
            state: The state so far, which may be changed in place.
            prediction: (B, ...) predicted classes, on any device.
            truth: (B, ...) true classes, int64; 255 where a voxel does not count.
            mask: (B, ...) true where a voxel counts; None where all do.
        """

    def merge(self, first: Any, second: Any) -> Any:
        """The state of the images of both."""
        return first + second

    @abstractmethod
    def compute(self, state: Any) -> Metrics:
        """Name -> value: a number, or a list with one number per class."""

    def rows(self, state: Any) -> npt.NDArray[Any] | None:
        """Numbers of each image (N, ...), in the order of `update`; None for a metric that has none.

        They are kept for final runs, so that two runs can be compared image by image. N is the number of all images,
        or of those with a voxel that counts.
        """
        return None

    def measures(self, rows: npt.NDArray[Any]) -> Mapping[str, Measure]:
        """Names of `compute` -> the metric as a function of sums of these rows (`rows`); NaN stands for no number."""
        return {}


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
            mask: The same shape, true where a voxel counts, as some voxel does.
        """

    def update(
        self, state: list[Sequence[float]], prediction: Tensor, truth: Tensor, mask: Tensor | None
    ) -> list[Sequence[float]]:
        """One row more for each image with a voxel that counts."""
        arrays = [prediction.cpu().numpy(), truth.cpu().numpy()]
        masks = np.ones(arrays[1].shape, np.bool_) if mask is None else mask.cpu().numpy()
        state.extend(self.measure(*image) for image in zip(*arrays, masks, strict=True) if image[-1].any())
        return state

    def compute(self, state: list[Sequence[float]]) -> Metrics:
        """The mean of each column over the images that have one; nothing without an image."""
        if not state:
            return {}
        columns = [mean_of_numbers(column) for column in zip(*state, strict=True)]
        if len(columns) == 1:
            return {self.name: columns[0]}
        return {self.name: columns, f"{self.name}_mean": mean_of_numbers(columns)}

    def rows(self, state: list[Sequence[float]]) -> Floats:
        """The numbers of each image with a voxel that counts."""
        return np.array(state, np.float64).reshape(len(state), -1)

    def measures(self, rows: npt.NDArray[Any]) -> Mapping[str, Measure]:
        """The means over images."""
        return means_of(self.name, rows)


class ConfusionMetric(Metric):
    """A metric of the confusions of images: counts (classes, classes) of each, rows the truth."""

    def update(self, state: list[Counts], prediction: Tensor, truth: Tensor, mask: Tensor | None) -> list[Counts]:
        """The confusions of a batch more."""
        state.append(image_confusions(prediction, truth, self.classes, mask))
        return state

    def compute(self, state: list[Counts]) -> Metrics:
        """The metrics of all images."""
        return self.of(self.rows(state))

    @abstractmethod
    def of(self, confusions: Counts) -> Metrics:
        """The metrics of images (N, classes, classes)."""

    def rows(self, state: list[Counts]) -> Counts:
        """The confusion of each image."""
        return np.concatenate([np.zeros((0, self.classes, self.classes), np.int64), *state])


def mean(values: Iterable[float]) -> float:
    """Mean that is the same in whatever order workers hand in their images: `math.fsum` rounds once."""
    numbers = list(values)
    return math.fsum(numbers) / len(numbers)


def ratio(part: npt.NDArray[Any], whole: npt.NDArray[Any], where_empty: float) -> npt.NDArray[np.float64]:
    """Part / whole, and `where_empty` where the whole is 0."""
    found = np.full(part.shape, where_empty, dtype=np.float64)
    np.divide(part, whole, out=found, where=whole > 0)
    return found


def mean_of_numbers(values: Iterable[float]) -> float:
    """The mean of the values that are numbers; NaN where none is."""
    numbers = [float(value) for value in values if not math.isnan(value)]
    return mean(numbers) if numbers else math.nan


def class_mean(values: npt.NDArray[Any]) -> Floats:
    """Mean over the last axis of the values that are numbers; NaN where none is."""
    known = np.isfinite(values)
    return ratio_or_nan(np.where(known, values, 0.0).sum(-1), known.sum(-1))


def ratio_or_nan(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> Floats:
    """Part / whole; NaN where the whole is 0."""
    found: Floats = np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=np.asarray(whole) > 0)
    return found


def means_of(name: str, rows: npt.NDArray[Any]) -> dict[str, Measure]:
    """Measure NAME of rows (N, K): the mean of each column over the rows that have a number there, and NAME_mean.

    With one column the measure is its mean, and there is no NAME_mean.
    """
    known = np.isfinite(rows)
    sums, columns = np.concatenate([np.where(known, rows, 0.0), known], axis=1), rows.shape[1]

    def each(totals: npt.NDArray[Any]) -> Floats:
        return ratio_or_nan(totals[..., :columns], totals[..., columns:])

    if columns == 1:
        return {name: Measure(sums, lambda totals: each(totals)[..., 0], known)}
    return {
        name: Measure(sums, each, known),
        f"{name}_mean": Measure(sums, lambda totals: class_mean(each(totals)), known),
    }


def without_nan(value: Any) -> Any:
    """A value of a metric, or its list, with None for NaN."""
    if isinstance(value, list):
        return [without_nan(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def image_confusions(prediction: Tensor, truth: Tensor, num_classes: int, mask: Tensor | None = None) -> Counts:
    """Pixels of each image by true class (rows) and predicted class (columns): (N, num_classes, num_classes).

    `prediction` (N, ...), `truth` and `mask` have one shape and lie on one device; None for `mask` counts every pixel.

    Raises:
        ValueError: the shapes differ or a class that counts lies outside [0, num_classes).
    """
    import torch  # not needed to check a configuration

    if prediction.shape != truth.shape:
        raise ValueError(f"predictions {tuple(prediction.shape)} and truth {tuple(truth.shape)} differ in shape")
    images, cells = len(prediction), num_classes**2
    if prediction.numel() == 0:
        return np.zeros((images, num_classes, num_classes), dtype=np.int64)
    image = torch.arange(images, dtype=torch.int32, device=prediction.device).unsqueeze(1)
    predicted, true = prediction.reshape(images, -1), truth.reshape(images, -1)
    if mask is not None:
        kept = mask.reshape(images, -1)
        image, predicted, true = image.expand(predicted.shape)[kept], predicted[kept], true[kept]
    for name, classes in (("predicted", predicted), ("true", true)):
        if classes.numel():
            low, high = (int(bound) for bound in torch.aminmax(classes))
            if low < 0 or high >= num_classes:
                raise ValueError(f"{name} classes reach from {low} to {high}; accepted: 0 to {num_classes - 1}")
    joint = true.int() * num_classes + predicted.int() + image * cells
    histogram = torch.bincount(joint.flatten(), minlength=images * cells)
    counts: Counts = histogram.cpu().numpy().reshape(images, num_classes, num_classes)
    return counts
