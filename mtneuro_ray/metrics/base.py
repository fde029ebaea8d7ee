"""What is known of a metric without importing what computes."""

from __future__ import annotations

from dataclasses import dataclass

from mtneuro_ray.registry import Declaration


@dataclass(frozen=True, kw_only=True)
class MetricDeclaration(Declaration):
    """One metric."""
