"""MYOW-m: MYOW with one projector and one predictor for both terms (paper, section 4.1 and Appendix 3)."""

from __future__ import annotations

from mtneuro_ray.config.base import Count, NonNegative, Positive, Rate
from mtneuro_ray.methods.base import MethodDeclaration
from mtneuro_ray.methods.byol import ByolSettings


class MyowMergedSettings(ByolSettings):
    """Keys of BYOL with mined views (Azabou et al. 2021)."""

    myow_base_weight: NonNegative = 0.1
    """Weight of the mined term against 1 for the augmented one, after the ramp."""
    byol_warmup_epochs: Count = 0
    """Epochs without the mined term."""
    myow_rampup_epochs: Count = 10
    """Epochs over which the weight of the mined term rises."""
    knn_nneighs: Positive = 1
    """Nearest neighbours of a view in the target's feature space (cosine) among which the mined view is drawn."""
    pool_ratio: Rate = 0.5
    """Crops of other images that are searched for mined views, for each image of a batch."""


MYOW_MERGED = MethodDeclaration(
    name="myowmerged",
    summary="Mine your own view with one projector and predictor for both terms, then a linear probe",
    build="mtneuro_ray.methods.training.myow:MyowMerged",
    settings=MyowMergedSettings,
    needs=("gradients", "features"),
    yields="encoder",
    mines_views=True,
)
