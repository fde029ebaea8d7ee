"""PCA or NMF of the training images (paper, section 4.1)."""

from __future__ import annotations

from mtneuro_ray.config.owners import FrozenSettings
from mtneuro_ray.methods.base import MethodDeclaration

DECOMPOSITION = MethodDeclaration(
    name="decomposition",
    summary="PCA or NMF of the training images, then a linear probe (paper, section 4.1)",
    build="mtneuro_ray.methods.training.decomposition:DecompositionMethod",
    settings=FrozenSettings,
    needs=("features", "fit"),
    yields="encoder",
)
