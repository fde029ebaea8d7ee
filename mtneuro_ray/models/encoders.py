"""Encoders of whole images with a linear layer on their features: ResNet-18, PCA and NMF (paper, section 4.1)."""

from __future__ import annotations

from dataclasses import replace

from mtneuro_ray.config.base import Fraction, Positive
from mtneuro_ray.models.base import ModelDeclaration, Settings2D, SizeRule

FEATURES = 512
"""Features of the ResNet-18 encoder."""


class ResNet18Settings(Settings2D):
    """Keys of the ResNet-18 classifier."""

    dropout: Fraction = 0.2
    """Probability of dropping a feature before the classifier (paper, section 4.1)."""
    latent_dim: Positive | None = None
    """Width of a linear layer between the 512 encoder features and the classifier; none by default."""


class DecompositionSettings(Settings2D):
    """Keys of PCA and NMF."""

    components: Positive = 256
    """Number of components (paper, section 4.1); with fewer images or pixels than that, as many as there are."""


RESNET18 = ModelDeclaration(
    name="ResNet-18",
    summary="ResNet-18 with a 3x3 stem and without max-pool (He et al. 2016; paper, section 4.1)",
    build="mtneuro_ray.models.nets.resnet:build",
    settings=ResNet18Settings,
    predicts=("image",),
    sizes=SizeRule(norm_stride=8),
    gives=("gradients", "features"),
    parameters=11.2e6,
)
PCA = ModelDeclaration(
    name="PCA",
    summary="Principal components of images and a linear layer (paper, section 4.1)",
    build="mtneuro_ray.models.nets.decomposition:build",
    settings=DecompositionSettings,
    predicts=("image",),
    gives=("features", "fit"),
)
NMF = replace(
    PCA,
    name="NMF",
    summary="Non-negative factors of images and a linear layer (paper, section 4.1)",
    takes_negative=False,
)
