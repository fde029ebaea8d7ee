"""BYOL (Grill et al. 2020; paper, section 4.1 and Appendix 3)."""

from __future__ import annotations

from typing import Any, ClassVar

from mtneuro_ray.config.base import Fraction, Positive
from mtneuro_ray.methods.base import MethodDeclaration
from mtneuro_ray.methods.self_supervised import SelfSupervisedSettings

# The paper's momentum, and steps over which the target of a short training averages, as a share of all its steps.
_MOMENTUM, _HORIZON = 0.996, 0.05


class ByolSettings(SelfSupervisedSettings):
    """Keys of BYOL."""

    before_rules: ClassVar[dict[str, Any]] = {**SelfSupervisedSettings.before_rules, "base_momentum": _MOMENTUM}

    projector_hidden_size: Positive = 4096
    """Hidden width of projector and predictor."""
    projector_output_size: Positive = 256
    """Output width of projector and predictor."""
    base_momentum: Fraction | None = None
    """Share of the target's weights that the first step keeps; it rises to 1 by a cosine. By default 0.996, or
    1 - 20 / steps in a training of fewer than 5,000 steps."""

    def momentum(self, steps: int) -> float:
        """`base_momentum` of a training of so many steps."""
        if self.base_momentum is None:
            return min(_MOMENTUM, max(0.0, 1 - 1 / (_HORIZON * steps)))
        return self.base_momentum


BYOL = MethodDeclaration(
    name="byol",
    summary="Bootstrap your own latent (Grill et al. 2020), then a linear probe",
    build="mtneuro_ray.methods.training.byol:Byol",
    settings=ByolSettings,
    needs=("gradients", "features"),
    yields="encoder",
    departures=("the sum over both views, where the public code has the mean",),
)
