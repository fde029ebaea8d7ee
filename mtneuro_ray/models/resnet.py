"""ResNet-18 for small X-ray tiles (He et al. 2016; paper, section 4.1)."""

from __future__ import annotations

from typing import Literal

from mtneuro_ray.config.base import Fraction, Positive
from mtneuro_ray.config.owners import ModelSettings
from mtneuro_ray.models.base import ModelDeclaration, SizeRule


class ResNet18Settings(ModelSettings):
    """Keys of the ResNet-18 classifier."""

    dim: Literal[2] = 2
    """Spatial axes."""
    dropout: Fraction = 0.2
    """Probability of dropping a feature before the classifier (paper, section 4.1)."""
    latent_dim: Positive | None = None
    """Width of a linear layer between the 512 encoder features and the classifier; none by default."""


RESNET18 = ModelDeclaration(
    name="ResNet-18",
    summary="ResNet-18 with a 3x3 stem and without max-pool (He et al. 2016; paper, section 4.1)",
    build="mtneuro_ray.models.nets.resnet:build",
    settings=ResNet18Settings,
    predicts=("image",),
    sizes=SizeRule(norm_stride=8),
    gives=("gradients", "features"),
)
