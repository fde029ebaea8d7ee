"""Losses per sample, their sum by name, and class weights from class counts."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from mtneuro_ray.errors import InputError
from mtneuro_ray.losses import LOSSES

# True class of pixels that do not count, as the library's losses take it.
_IGNORED = -1


class Loss(Protocol):
    """Logits (B, classes, ...) and true classes (B, ...), int64 -> losses (B,).

    `mask` (B, ...) is true where a voxel counts; None where all do.
    """

    def __call__(self, logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Losses of the samples."""


def build_loss(name: str = "cross_entropy", class_weights: Sequence[float] | None = None, masked: bool = False) -> Loss:
    """The loss called `name`, or the sum of several, as `cross_entropy+dice`.

    `class_weights` (classes,) are for the losses that take them; with `masked` some voxels may not count.

    Raises:
        InputError: no loss has this name, none takes class weights, or one does not know voxels that do not count.
    """
    parts = [LOSSES.find(part, "loss.name") for part in name.split("+")]
    if class_weights is not None and not any(part.takes_weights for part in parts):
        accepted = ", ".join(own for own, loss in LOSSES.all().items() if loss.takes_weights)
        raise InputError(f"loss.class_weights: the loss {name!r} takes none; accepted with: {accepted}")
    if masked and not all(part.takes_mask for part in parts):
        accepted = ", ".join(own for own, loss in LOSSES.all().items() if loss.takes_mask)
        raise InputError(f"loss.name: {name!r} can't leave out voxels that are not annotated; accepted: {accepted}")
    weights = None if class_weights is None else torch.tensor(class_weights)
    options = [{"class_weights": weights} if part.takes_weights else {} for part in parts]

    def loss(logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        masks = {} if mask is None else {"mask": mask}
        first, *others = (
            part.resolve()(logits, target, **own, **masks) for part, own in zip(parts, options, strict=True)
        )
        total: Tensor = sum(others, first)
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


def cross_entropy(
    logits: Tensor, target: Tensor, class_weights: Tensor | None = None, mask: Tensor | None = None
) -> Tensor:
    """Cross-entropy of each sample, the mean over its pixels that count: (B, classes, ...), (B, ...) -> (B,).

    With `class_weights` (classes,) each pixel counts times the weight of its true class. The sum is divided by
    the number of pixels, not by the sum of their weights as torch does: that would cancel the weight of a sample
    with a single class, and of every sample in classification.
    """
    weights = None if class_weights is None else class_weights.to(logits)
    values = F.cross_entropy(logits, target, weight=weights, reduction="none")
    if mask is not None:
        counted = mask.flatten(1)
        return values.flatten(1).where(counted, 0).sum(1) / counted.sum(1).clamp_min(1)
    return values.flatten(1).mean(1) if values.dim() > 1 else values


def dice(logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """1 - Dice of each sample, the mean over classes; a class that is absent from its truth counts 0."""
    from segmentation_models_pytorch.losses import DiceLoss  # slow to import: it brings its encoders along

    ignored = None if mask is None else _IGNORED
    return _one_by_one(DiceLoss(mode="multiclass", ignore_index=ignored), logits, target, mask)


def focal(logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Focal loss with gamma 2 of each sample: one-versus-rest, mean over classes."""
    from segmentation_models_pytorch.losses import FocalLoss

    ignored = None if mask is None else _IGNORED
    return _one_by_one(FocalLoss(mode="multiclass", gamma=2.0, ignore_index=ignored), logits, target, mask)


def _one_by_one(
    batch_loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, target: Tensor, mask: Tensor | None
) -> Tensor:
    """A loss of the library, which pools the pixels of a batch, applied to each sample as a batch of its own: (B,)."""
    if len(logits) == 0:
        return logits.flatten(1).sum(1)
    if mask is not None:
        target = target.masked_fill(~mask, _IGNORED)
    losses = []
    for number, (one, true) in enumerate(zip(logits, target, strict=True)):
        if mask is None or mask[number].any():
            losses.append(batch_loss(one[None], true[None]).squeeze())
        else:
            # 0 with a gradient of 0: the library would divide by no pixel.
            losses.append(one[:0].sum())
    return torch.stack(losses)
