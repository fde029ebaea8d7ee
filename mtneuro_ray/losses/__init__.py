"""Losses, each with its declaration."""

from mtneuro_ray.losses.base import LossDeclaration
from mtneuro_ray.registry import Registry

LOSSES = Registry(
    "losses",
    LossDeclaration,
    {
        "cross_entropy": "mtneuro_ray.losses.cross_entropy:CROSS_ENTROPY",
        "dice": "mtneuro_ray.losses.dice:DICE",
        "focal": "mtneuro_ray.losses.focal:FOCAL",
    },
)
