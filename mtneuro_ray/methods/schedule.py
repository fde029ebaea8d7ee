"""What changes over the steps of a self-supervised training, besides the learning rate. Steps count from 0."""

from __future__ import annotations

import math

from mtneuro_ray.methods.declared import ByolSettings, MyowMergedSettings

_REFERENCE_BATCH = 256


def scaled_rate(ssl: ByolSettings, batch_size: int) -> float:
    """The learning rate for a global batch of this size (Grill et al. 2020: in proportion, the base for 256)."""
    return ssl.base_learning_rate * batch_size / _REFERENCE_BATCH


def target_momentum(ssl: ByolSettings, step: int, steps: int) -> float:
    """How much of the target is kept at a step of `steps`: from the base at the first to 1 at the end, by a cosine."""
    return 1 - (1 - ssl.base_momentum) * (math.cos(math.pi * step / steps) + 1) / 2


def mined_weight(ssl: MyowMergedSettings, step: int, steps_per_epoch: int) -> float:
    """Weight of the mined term against 1 for the augmented one: 0, then a linear rise, then constant."""
    since = step - ssl.byol_warmup_epochs * steps_per_epoch
    if since < 0:
        return 0.0
    rise = ssl.myow_rampup_epochs * steps_per_epoch
    return ssl.myow_base_weight * min(1.0, (since + 1) / rise if rise else 1.0)
