"""Methods without gradient steps: the encoder is fitted at once, or keeps its random weights (paper, section 4.1)."""

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
    by_steps=False,
)
# The row that every self-supervised encoder has to beat.
RANDOM = MethodDeclaration(
    name="random",
    summary="An encoder with random weights, then a linear probe",
    build="mtneuro_ray.methods.training.base:Method",
    settings=FrozenSettings,
    needs=("gradients", "features"),
    yields="encoder",
    by_steps=False,
)
