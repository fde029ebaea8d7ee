"""IoU and F1 of a segmentation, in both reductions of the benchmark (PROTOCOL, Task 2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from mtneuro_ray.metrics.base import (
    ConfusionMetric,
    Counts,
    Floats,
    Measure,
    MetricDeclaration,
    Metrics,
    class_mean,
    mean_of_numbers,
    means_of,
    ratio,
)


class SegmentationMetric(ConfusionMetric):
    """Metrics of the voxels of images."""

    def of(self, confusions: Counts) -> Metrics:
        """F1 and IoU per class and as the mean over classes, from confusions of images (N, classes, classes).

        "dataset/..." sums the counts over all images before the ratio; "image/..." takes the ratio in each image and
        then the mean over images. Images without a voxel that counts are left out.

        A class that is absent from the truth (of an image, or of all) has no score there, whatever is predicted, so
        that means of all models are over the same classes; NaN where none is left. With the task's `absent` "one", a
        class that is absent from both prediction and truth scores 1, as in the public MTNeuro code: "truth" tells which
        classes occur at all.

        Returns:
            "dataset/iou", "dataset/f1", "image/iou", "image/f1" with a value per class and, with "_mean" added, their
            means over classes; "confusion" of all voxels; "truth", voxels of each class.

        Raises:
            ValueError: there is no image.
        """
        if len(confusions) == 0:
            raise ValueError("no image to measure; accepted: confusions of one or more images")
        total = confusions.sum(axis=0)
        metrics: Metrics = {}
        confusions = confusions[confusions.any(axis=(1, 2))]
        for reduction, grouped in (("dataset", confusions.sum(axis=0, keepdims=True)), ("image", confusions)):
            for name, values in self._scores(grouped).items():
                per_class = [mean_of_numbers(column) for column in values.T]
                metrics[f"{reduction}/{name}"] = per_class
                metrics[f"{reduction}/{name}_mean"] = mean_of_numbers(per_class)
        metrics["confusion"] = total.tolist()
        metrics["truth"] = total.sum(axis=1).tolist()
        return metrics

    def measures(self, rows: Counts) -> Mapping[str, Measure]:
        """The metrics of `of` but for "confusion" and "truth", as functions of sums over images."""
        sums, images, found = rows.reshape(len(rows), -1), self._scores(rows), dict[str, Measure]()
        either = rows.sum(-1) + rows.sum(-2)
        denominators = {"iou": either - np.diagonal(rows, axis1=-2, axis2=-1), "f1": either}

        def per_class(totals: Counts, name: str) -> Floats:
            return self._scores(totals.reshape(*totals.shape[:-1], self.classes, self.classes))[name]

        for name in ("iou", "f1"):
            each = partial(per_class, name=name)
            found[f"dataset/{name}"] = Measure(sums, each, denominators[name])
            found[f"dataset/{name}_mean"] = Measure(sums, partial(_mean_of, each), denominators[name])
            found |= means_of(f"image/{name}", images[name])
        return found

    def _scores(self, confusions: Counts) -> dict[str, Floats]:
        """IoU and F1 (..., classes) of confusions (..., classes, classes); NaN for a class or image without one."""
        tp, truth = np.diagonal(confusions, axis1=-2, axis2=-1), confusions.sum(-1)
        wrong = confusions.sum(-2) + truth - 2 * tp
        # Where nothing counts, nothing scores 1.
        lacks = truth == 0 if self.task.absent == "leave_out" else (truth == 0) & ~truth.any(-1, keepdims=True)
        scores = {"iou": ratio(tp, tp + wrong, 1), "f1": ratio(2 * tp, 2 * tp + wrong, 1)}
        for values in scores.values():
            values[lacks] = np.nan
        return scores


def _mean_of(each: Callable[[Counts], Floats], totals: Counts) -> Floats:
    return class_mean(each(totals))


SEGMENTATION = MetricDeclaration(
    name="segmentation",
    summary="IoU and F1 of each class, over the data set and as the mean over images",
    build=SegmentationMetric,
    labels=("voxel",),
)
