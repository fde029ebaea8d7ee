"""Focal loss (Lin et al. 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtneuro_ray.losses.base import LossDeclaration

if TYPE_CHECKING:
    from torch import Tensor


def focal(logits: Tensor, target: Tensor) -> Tensor:
    """Focal loss with gamma 2 of each sample: one-versus-rest, mean over classes."""
    from segmentation_models_pytorch.losses import FocalLoss

    from mtneuro_ray.losses.build import one_by_one

    return one_by_one(FocalLoss(mode="multiclass", gamma=2.0), logits, target)


FOCAL = LossDeclaration(name="focal", summary="Focal loss with gamma 2 (Lin et al. 2017)", build=focal)
