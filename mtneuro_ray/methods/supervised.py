"""Training with labels (paper, sections 4.1 and 4.2)."""

from __future__ import annotations

from mtneuro_ray.config.base import Probability, Rate
from mtneuro_ray.config.owners import MethodSettings
from mtneuro_ray.methods.base import MethodDeclaration


class SupervisedSettings(MethodSettings):
    """Keys of training with labels."""

    mixup_probability: Probability = 0.0
    """Probability that the images of a batch, and their labels, are mixed in pairs (Zhang et al. 2018; paper, Appendix
    3.2.4). For classification."""
    mixup_alpha: Rate = 1.0
    """Parameter of the Beta(alpha, alpha) distribution of their shares."""


SUPERVISED = MethodDeclaration(
    name="supervised",
    summary="Training on labels or masks, with mixup on demand",
    build="mtneuro_ray.methods.training.supervised:Supervised",
    settings=SupervisedSettings,
)
