"""What is known of a loss without importing torch, and the declarations of the package's own."""

from __future__ import annotations

from dataclasses import dataclass

from mtneuro_ray.registry import Declaration


@dataclass(frozen=True, kw_only=True)
class LossDeclaration(Declaration):
    """One loss.

    `build` is a function of logits (B, classes, ...) and true classes (B, ...), int64, which gives a loss per sample
    (B,); an empty batch gives (0,). With `takes_weights` it has a keyword `class_weights`, (classes,) or None.
    """

    takes_weights: bool = False


CROSS_ENTROPY = LossDeclaration(
    name="cross_entropy",
    summary="Cross-entropy, the mean over voxels (paper, section 4)",
    build="mtneuro_ray.losses.functional:cross_entropy",
    takes_weights=True,
)
DICE = LossDeclaration(
    name="dice",
    summary="1 - Dice, the mean over classes (Milletari et al. 2016)",
    build="mtneuro_ray.losses.functional:dice",
)
FOCAL = LossDeclaration(
    name="focal",
    summary="Focal loss with gamma 2 (Lin et al. 2017)",
    build="mtneuro_ray.losses.functional:focal",
)
