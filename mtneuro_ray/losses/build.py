"""From the name of a loss to a function, and from class counts to class weights."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from mtneuro_ray.errors import InputError
from mtneuro_ray.losses import LOSSES

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Logits (B, classes, ...) and true classes (B, ...), int64 -> losses (B,)."""


def build_loss(name: str = "cross_entropy", class_weights: Sequence[float] | None = None) -> Loss:
    """The loss called `name`, or the sum of several, as `cross_entropy+dice`.

    Args:
        name: Names of losses, joined by "+".
        class_weights: (classes,) weights, for the losses that take them.

    Raises:
        InputError: no loss has this name, or none takes class weights.
    """
    parts = [LOSSES.find(part, "loss.name") for part in name.split("+")]
    if class_weights is not None and not any(part.takes_weights for part in parts):
        accepted = ", ".join(own for own, loss in LOSSES.all().items() if loss.takes_weights)
        raise InputError(f"loss.class_weights: the loss {name!r} takes none; accepted with: {accepted}")
    weights = None if class_weights is None else torch.tensor(class_weights)

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        total: Tensor | None = None
        for part in parts:
            options = {"class_weights": weights} if part.takes_weights else {}
            own: Tensor = part.resolve()(logits, target, **options)
            total = own if total is None else total + own
        assert total is not None
        return total

    return loss


def class_weights(kind: str, counts: Sequence[int]) -> list[float] | None:
    """Weights of the classes from the voxels (or images) of each in the training split; None for "none".

    "balanced": inverse to the share of a class, scaled so that the mean over voxels is 1 (as scikit-learn's
    `class_weight="balanced"`). "median_frequency": the median share over the class's own (Eigen & Fergus 2015,
    section 4.3). A class that does not occur weighs 0 and does not count.
    """
    if kind == "none":
        return None
    present = sorted(count for count in counts if count)
    scale = sum(present) / len(present) if kind == "balanced" else statistics.median(present)
    return [scale / count if count else 0.0 for count in counts]


def one_by_one(batch_loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, target: Tensor) -> Tensor:
    """A loss of whole batches, applied to each sample alone: (B,)."""
    if len(logits) == 0:
        return logits.flatten(1).sum(1)
    return torch.stack([batch_loss(one[None], true[None]).squeeze() for one, true in zip(logits, target, strict=True)])
