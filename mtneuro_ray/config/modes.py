"""Whether larger or smaller values of a metric are better."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from mtneuro_ray.registry import registry

Mode = Literal["max", "min"]


def mode_of(metric: str, kind: Any, added: Iterable[str] = ()) -> Mode:
    """Whether larger ("max") or smaller ("min") values of a metric are better: of a loss smaller ones are.

    Args:
        metric: Name such as `val/dataset/iou_mean`, with or without its split.
        kind: Declaration of the kind of task, a `tasks.base.TaskDeclaration`.
        added: Names of metrics that a network adds (`evaluation.metrics`).
    """
    key = metric.partition("/")[2] if metric.partition("/")[0] in ("train", "val", "test", "all") else metric
    if key == "loss":
        return "min"
    for name in (*kind.metrics, *added):
        declaration = registry("metrics").find(name)
        if key in (declaration.name, f"{declaration.name}_mean"):
            better: Mode = declaration.better
            return better
    return "max"
