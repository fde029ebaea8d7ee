"""PCA and NMF of images as encoders (paper, section 4.1)."""

from __future__ import annotations

from typing import Literal

from mtneuro_ray.config.base import Positive
from mtneuro_ray.config.owners import ModelSettings
from mtneuro_ray.models.base import ModelDeclaration


class DecompositionSettings(ModelSettings):
    """Keys of PCA and NMF."""

    dim: Literal[2] = 2
    """Spatial axes."""
    components: Positive = 256
    """Number of components (paper, section 4.1); with fewer images or pixels than that, as many as there are."""


PCA = ModelDeclaration(
    name="PCA",
    summary="Principal components of images and a linear layer (paper, section 4.1)",
    build="mtneuro_ray.models.nets.decomposition:build",
    settings=DecompositionSettings,
    predicts=("image",),
    gives=("features", "fit"),
)
NMF = ModelDeclaration(
    name="NMF",
    summary="Non-negative factors of images and a linear layer (paper, section 4.1)",
    build="mtneuro_ray.models.nets.decomposition:build",
    settings=DecompositionSettings,
    predicts=("image",),
    gives=("features", "fit"),
    takes_negative=False,
)
