"""Losses, each with its declaration; `functions` holds what they compute."""

from mtneuro_ray.losses.base import LossDeclaration
from mtneuro_ray.registry import Registry

CROSS_ENTROPY = LossDeclaration(
    name="cross_entropy",
    summary="Cross-entropy, the mean over voxels (paper, section 4)",
    build="mtneuro_ray.losses.functions:cross_entropy",
    takes_weights=True,
    takes_mask=True,
)
DICE = LossDeclaration(
    name="dice",
    summary="1 - Dice, the mean over classes (Milletari et al. 2016)",
    build="mtneuro_ray.losses.functions:dice",
    takes_mask=True,
)
FOCAL = LossDeclaration(
    name="focal",
    summary="Focal loss with gamma 2 (Lin et al. 2017)",
    build="mtneuro_ray.losses.functions:focal",
    takes_mask=True,
)
LOSSES = Registry(
    "losses",
    LossDeclaration,
    {
        "cross_entropy": "mtneuro_ray.losses:CROSS_ENTROPY",
        "dice": "mtneuro_ray.losses:DICE",
        "focal": "mtneuro_ray.losses:FOCAL",
    },
)
