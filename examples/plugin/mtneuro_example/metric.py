"""A metric that is no confusion matrix: the average symmetric surface distance, in pixels."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_erosion, distance_transform_edt

from mtneuro_ray.metrics.base import MetricDeclaration, PerImageMetric

Mask = npt.NDArray[np.bool_]


class SurfaceDistance(PerImageMetric):
    """Mean distance from each surface voxel of a class to the other surface; NaN where both have none."""

    name = "surface_distance"

    def measure(self, prediction: npt.NDArray[np.int64], truth: npt.NDArray[np.int64], mask: Mask) -> Sequence[float]:
        classes = range(self.classes)
        return [surface_distance((prediction == number) & mask, (truth == number) & mask) for number in classes]


def surface_distance(first: Mask, second: Mask) -> float:
    """Average symmetric surface distance of two shapes ([Z,] Y, X), in voxels; the diagonal where one is missing."""
    if not (first.any() and second.any()):
        return float("nan") if first.any() == second.any() else float(np.hypot.reduce(first.shape))
    surfaces = [shape & ~binary_erosion(shape) for shape in (first, second)]
    gaps = [distance_transform_edt(~surface) for surface in surfaces]
    return float(np.concatenate([gaps[0][surfaces[1]], gaps[1][surfaces[0]]]).mean())


SURFACE_DISTANCE = MetricDeclaration(
    name="surface_distance",
    summary="Average symmetric surface distance of each class, in pixels",
    build=SurfaceDistance,
    labels=("voxel",),
    better="min",
)
