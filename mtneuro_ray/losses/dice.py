"""Dice loss (Milletari et al. 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtneuro_ray.losses.base import LossDeclaration

if TYPE_CHECKING:
    from torch import Tensor


def dice(logits: Tensor, target: Tensor) -> Tensor:
    """1 - Dice of each sample, the mean over classes; a class that is absent from its truth counts 0.

    The library pools the pixels of a batch before the ratio; here each sample is a batch of its own, so that the
    loss does not depend on how samples are grouped.
    """
    from segmentation_models_pytorch.losses import DiceLoss  # slow to import: it brings its encoders along

    from mtneuro_ray.losses.build import one_by_one

    return one_by_one(DiceLoss(mode="multiclass"), logits, target)


DICE = LossDeclaration(name="dice", summary="1 - Dice, the mean over classes (Milletari et al. 2016)", build=dice)
