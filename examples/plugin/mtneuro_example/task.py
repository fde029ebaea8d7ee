"""A kind of task with metrics of its own: how much there is of each class, beside where its surface lies."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mtneuro_ray.metrics.base import MetricDeclaration, PerImageMetric
from mtneuro_ray.tasks.base import Heading, TaskDeclaration


class VolumeError(PerImageMetric):
    """Absolute error of the predicted share of each class, as a fraction of the image."""

    name = "volume_error"

    def measure(
        self, prediction: npt.NDArray[np.int64], truth: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_]
    ) -> Sequence[float]:
        shares = [np.bincount(labels[mask], minlength=self.classes) / mask.sum() for labels in (prediction, truth)]
        return [float(difference) for difference in np.abs(shares[0] - shares[1])]


VOLUME_ERROR = MetricDeclaration(
    name="volume_error", summary="Absolute error of a share", build=VolumeError, labels=("voxel",), better="min"
)
MORPHOMETRY = TaskDeclaration(
    name="morphometry",
    summary="Shares and surfaces of the classes of voxels",
    build="mtneuro_ray.tasks.training.segmentation:SegmentationTask",
    labels="voxel",
    metrics=("volume_error", "surface_distance"),
    headings=(Heading("volume_error", "Share error", True), Heading("surface_distance", "Surface distance", True)),
    selection=("val/volume_error_mean", "val/surface_distance_mean", "val/loss"),
    shown="val/volume_error_mean",
    measures_regions=True,
)
