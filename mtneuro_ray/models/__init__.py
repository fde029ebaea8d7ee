"""Networks of the benchmark, and the norm and dropout layers that let workers share one batch."""

from mtneuro_ray.models.registry import MODELS, build_model

__all__ = ["MODELS", "build_model"]
