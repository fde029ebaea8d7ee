"""MYOW (Azabou et al. 2021; paper, section 4.1 and Appendix 3)."""

from __future__ import annotations

from mtneuro_ray.config.base import Positive
from mtneuro_ray.methods.base import MethodDeclaration
from mtneuro_ray.methods.myowmerged import MyowMergedSettings


class MyowSettings(MyowMergedSettings):
    """Keys of MYOW, whose mined term has a projector and predictor of its own."""

    projector_2_hidden_size: Positive = 4096
    """Hidden width of the second, cascaded projector and predictor."""
    projector_2_output_size: Positive = 256
    """Output width of the second projector and predictor."""


MYOW = MethodDeclaration(
    name="myow",
    summary="Mine your own view (Azabou et al. 2021), cascaded heads, then a linear probe",
    build="mtneuro_ray.methods.training.myow:Myow",
    settings=MyowSettings,
    needs=("gradients", "features"),
    yields="encoder",
    mines_views=True,
)
