"""IoU and F1 of a segmentation, in both reductions of the benchmark (PROTOCOL, Task 2)."""

from __future__ import annotations

import numpy as np

from mtneuro_ray.metrics.base import ConfusionMetric, Counts, MetricDeclaration, Metrics, mean_of_numbers, ratio


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
            tp, truth = grouped.diagonal(axis1=1, axis2=2), grouped.sum(axis=2)
            wrong = grouped.sum(axis=1) + truth - 2 * tp
            for name, values in (("iou", ratio(tp, tp + wrong, 1)), ("f1", ratio(2 * tp, 2 * tp + wrong, 1))):
                if self.task.absent == "leave_out" or not len(confusions):
                    values[truth == 0] = np.nan
                per_class = [mean_of_numbers(column) for column in values.T]
                metrics[f"{reduction}/{name}"] = per_class
                metrics[f"{reduction}/{name}_mean"] = mean_of_numbers(per_class)
        metrics["confusion"] = total.tolist()
        metrics["truth"] = total.sum(axis=1).tolist()
        return metrics


SEGMENTATION = MetricDeclaration(
    name="segmentation",
    summary="IoU and F1 of each class, over the data set and as the mean over images",
    build=SegmentationMetric,
    labels=("voxel",),
)
