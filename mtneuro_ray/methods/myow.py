"""MYOW and MYOW-m, BYOL with mined views (Azabou et al. 2021; paper, section 4.1 and Appendix 3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from mtneuro_ray.config.base import Count, NonNegative, Positive, Rate
from mtneuro_ray.methods.byol import BYOL, ByolSettings


class MyowMergedSettings(ByolSettings):
    """Keys of MYOW-m, which has one projector and one predictor for both terms."""

    before_rules: ClassVar[dict[str, Any]] = {**ByolSettings.before_rules, "myow_rampup_epochs": 10}

    myow_base_weight: NonNegative = 0.1
    """Weight of the mined term against 1 for the augmented one, after the ramp."""
    byol_warmup_epochs: Count = 0
    """Epochs without the mined term."""
    myow_rampup_epochs: Count | None = None
    """Epochs over which the weight of the mined term rises. By default 10, or a tenth of fewer than 100 `epochs`."""
    knn_nneighs: Positive = 1
    """Nearest neighbours of a view in the target's feature space (cosine) among which the mined view is drawn."""
    pool_ratio: Rate = 0.5
    """Crops of other images that are searched for mined views, for each image of a batch."""


class MyowSettings(MyowMergedSettings):
    """Keys of MYOW, whose mined term has a projector and predictor of its own."""

    projector_2_hidden_size: Positive = 4096
    """Hidden width of the second, cascaded projector and predictor."""
    projector_2_output_size: Positive = 256
    """Output width of the second projector and predictor."""


MYOW = replace(
    BYOL,
    name="myow",
    summary="Mine your own view (Azabou et al. 2021), cascaded heads, then a linear probe",
    build="mtneuro_ray.methods.training.myow:Myow",
    settings=MyowSettings,
    departures=(*BYOL.departures, "a mined term for both views, each mined by the target's features"),
    mines_views=True,
)
MYOW_MERGED = replace(
    MYOW,
    name="myowmerged",
    summary="Mine your own view with one projector and predictor for both terms, then a linear probe",
    build="mtneuro_ray.methods.training.myow:MyowMerged",
    settings=MyowMergedSettings,
)
