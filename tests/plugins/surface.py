"""Average symmetric surface distance of each class, in pixels of the images: a metric that is no confusion matrix."""

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt

from mtneuro_ray.metrics.base import MetricDeclaration, PerImageMetric


class SurfaceDistance(PerImageMetric):
    """Mean distance from the surface of the prediction to that of the truth, and back."""

    name = "surface_distance"

    def measure(self, prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> list[float]:
        """NaN for a class that prediction or truth lacks."""
        return [_distance((prediction == own) & mask, (truth == own) & mask) for own in range(self.classes)]


def _distance(first: np.ndarray, second: np.ndarray) -> float:
    if not first.any() or not second.any():
        return float("nan")
    surfaces = [area & ~binary_erosion(area, border_value=1) if not area.all() else area for area in (first, second)]
    apart = [distance_transform_edt(~other)[own] for own, other in (surfaces, surfaces[::-1])]
    return float(np.concatenate(apart).mean())


SURFACE_DISTANCE = MetricDeclaration(
    name="surface_distance",
    summary="Average symmetric surface distance of each class, in pixels",
    build=SurfaceDistance,
    labels=("voxel",),
)
