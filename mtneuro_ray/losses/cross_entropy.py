"""Cross-entropy (paper, section 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtneuro_ray.losses.base import LossDeclaration

if TYPE_CHECKING:
    from torch import Tensor


def cross_entropy(logits: Tensor, target: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Cross-entropy of each sample, the mean over its pixels: (B, classes, ...), (B, ...) -> (B,).

    With `class_weights` (classes,) each pixel counts times the weight of its true class. The sum is divided by
    the number of pixels, not by the sum of their weights as torch does: that would cancel the weight of a sample
    with a single class, and of every sample in classification.
    """
    from torch.nn import functional

    weights = None if class_weights is None else class_weights.to(logits)
    values = functional.cross_entropy(logits, target, weight=weights, reduction="none")
    return values.flatten(1).mean(1) if values.dim() > 1 else values


CROSS_ENTROPY = LossDeclaration(
    name="cross_entropy",
    summary="Cross-entropy, the mean over voxels (paper, section 4)",
    build=cross_entropy,
    takes_weights=True,
)
