"""Losses by name. Each gives one value per sample.

A mean over a worker's own batch would weight samples by how the batch happens to be divided; from values per
sample the engine can take the mean over the true global batch.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from mtneuro_ray.errors import InputError

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Logits (B, classes, ...) and true classes (B, ...), int64 -> losses (B,). An empty batch gives (0,)."""


def cross_entropy(logits: Tensor, target: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Cross-entropy of each sample, the mean over its pixels.

    With `class_weights` (classes,) each pixel counts times the weight of its true class. The sum is divided by
    the number of pixels, not by the sum of their weights as torch does: that would cancel the weight of a sample
    with a single class, and of every sample in classification.
    """
    weights = None if class_weights is None else class_weights.to(logits)
    return _per_sample(F.cross_entropy(logits, target, weight=weights, reduction="none"))


def dice(logits: Tensor, target: Tensor) -> Tensor:
    """1 - Dice (Milletari et al. 2016) of each sample, the mean over classes; absent from its truth counts 0.

    The library pools the pixels of a batch before the ratio; here each sample is a batch of its own, so that the
    loss does not depend on how samples are grouped.
    """
    from segmentation_models_pytorch.losses import DiceLoss  # slow to import: it brings its encoders along

    return _one_by_one(DiceLoss(mode="multiclass"), logits, target)


def focal(logits: Tensor, target: Tensor) -> Tensor:
    """Focal loss with gamma 2 (Lin et al. 2017) of each sample: one-versus-rest, mean over classes."""
    from segmentation_models_pytorch.losses import FocalLoss

    return _one_by_one(FocalLoss(mode="multiclass", gamma=2.0), logits, target)


def _cross_entropy_and_dice(logits: Tensor, target: Tensor, class_weights: Tensor | None = None) -> Tensor:
    return cross_entropy(logits, target, class_weights) + dice(logits, target)


def _focal_and_dice(logits: Tensor, target: Tensor) -> Tensor:
    return focal(logits, target) + dice(logits, target)


LOSSES: dict[str, Callable[..., Tensor]] = {
    "cross_entropy": cross_entropy,
    "dice": dice,
    "focal": focal,
    "cross_entropy+dice": _cross_entropy_and_dice,
    "focal+dice": _focal_and_dice,
}
"""Loss name -> function; "+" is a plain sum."""

WEIGHTED_LOSSES = frozenset({"cross_entropy", "cross_entropy+dice"})
"""The losses that take class weights; they weight the cross-entropy."""


def build_loss(name: str = "cross_entropy", class_weights: Sequence[float] | None = None) -> Loss:
    """The loss called `name`, as a function of logits (B, classes, ...) and target (B, ...) giving (B,).

    Raises:
        InputError: no loss has this name, or it takes no class weights.
    """
    if name not in LOSSES:
        raise InputError(f"loss: no loss is called {name!r}; accepted: {', '.join(LOSSES)}")
    if class_weights is None:
        return LOSSES[name]
    if name not in WEIGHTED_LOSSES:
        accepted = ", ".join(sorted(WEIGHTED_LOSSES))
        raise InputError(f"class_weights: the loss {name!r} takes none; accepted with: {accepted}")
    return partial(LOSSES[name], class_weights=torch.tensor(class_weights))


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


def _per_sample(values: Tensor) -> Tensor:
    """(B, ...) -> the mean of each sample (B,)."""
    return values.flatten(1).mean(1) if values.dim() > 1 else values


def _one_by_one(batch_loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, target: Tensor) -> Tensor:
    """A loss of whole batches, applied to each sample alone."""
    if len(logits) == 0:
        return logits.flatten(1).sum(1)
    return torch.stack([batch_loss(one[None], true[None]).squeeze() for one, true in zip(logits, target, strict=True)])
