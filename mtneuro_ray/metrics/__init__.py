"""Metrics as counts that add up over batches and workers."""

from mtneuro_ray.metrics.base import MetricDeclaration
from mtneuro_ray.registry import Registry

METRICS: Registry[MetricDeclaration] = Registry("metrics", MetricDeclaration, {})
