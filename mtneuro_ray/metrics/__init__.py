"""Metrics: how predictions are measured, each with its declaration."""

from mtneuro_ray.metrics.base import MetricDeclaration
from mtneuro_ray.registry import Registry

METRICS = Registry(
    "metrics",
    MetricDeclaration,
    {
        "classification": "mtneuro_ray.metrics.classification:CLASSIFICATION",
        "segmentation": "mtneuro_ray.metrics.segmentation:SEGMENTATION",
    },
)
