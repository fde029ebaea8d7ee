"""BYOL (Grill et al. 2020; paper, section 4.1 and Appendix 3)."""

from __future__ import annotations

from mtneuro_ray.config.base import Fraction, Positive
from mtneuro_ray.methods.base import MethodDeclaration
from mtneuro_ray.methods.self_supervised import SelfSupervisedSettings


class ByolSettings(SelfSupervisedSettings):
    """Keys of BYOL."""

    projector_hidden_size: Positive = 4096
    """Hidden width of projector and predictor."""
    projector_output_size: Positive = 256
    """Output width of projector and predictor."""
    base_momentum: Fraction = 0.996
    """Share of the target's weights that the first step keeps; it rises to 1 by a cosine."""


BYOL = MethodDeclaration(
    name="byol",
    summary="Bootstrap your own latent (Grill et al. 2020), then a linear probe",
    build="mtneuro_ray.methods.training.byol:Byol",
    settings=ByolSettings,
    needs=("gradients", "features"),
    yields="encoder",
    departures=("the sum over both views, where the public code has the mean",),
)
