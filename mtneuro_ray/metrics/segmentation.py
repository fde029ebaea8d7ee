"""IoU and F1 of a segmentation, in both reductions of the benchmark (PROTOCOL, Task 2)."""

from __future__ import annotations

import numpy as np

from mtneuro_ray.metrics.base import ConfusionMetric, Counts, MetricDeclaration, Metrics, mean, ratio


class SegmentationMetric(ConfusionMetric):
    """Metrics of the voxels of images."""

    def of(self, confusions: Counts) -> Metrics:
        """F1 and IoU per class and as the mean over classes, from confusions of images (N, classes, classes).

        "dataset/..." sums the counts over all images before the ratio; "image/..." takes the ratio in each image and
        then the mean over images. A class that is absent from both prediction and truth (of an image, or of all)
        scores 1, as in the public MTNeuro code: "truth" tells which classes occur at all.

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
        for reduction, grouped in (("dataset", total[np.newaxis]), ("image", confusions)):
            tp = grouped.diagonal(axis1=1, axis2=2)
            wrong = grouped.sum(axis=1) + grouped.sum(axis=2) - 2 * tp
            for name, values in (("iou", ratio(tp, tp + wrong, 1)), ("f1", ratio(2 * tp, 2 * tp + wrong, 1))):
                per_class = [mean(column) for column in values.T]
                metrics[f"{reduction}/{name}"] = per_class
                metrics[f"{reduction}/{name}_mean"] = mean(per_class)
        metrics["confusion"] = total.tolist()
        metrics["truth"] = total.sum(axis=1).tolist()
        return metrics


SEGMENTATION = MetricDeclaration(
    name="segmentation",
    summary="IoU and F1 of each class, over the data set and as the mean over images",
    build=SegmentationMetric,
    labels=("voxel",),
)
