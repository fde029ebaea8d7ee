from typing import Any

import pytest

from mtneuro_ray.methods.myowmerged import MyowMergedSettings
from mtneuro_ray.methods.training.myow import mined_weight


def settings_of(**changes: Any) -> MyowMergedSettings:
    return MyowMergedSettings(name="myow", **changes)


@pytest.mark.parametrize(("step", "weight"), [(0, 0.0), (7, 0.0), (8, 0.01), (12, 0.05), (17, 0.1), (1000, 0.1)])
def test_the_mined_term_comes_in_after_the_warm_up(step: int, weight: float) -> None:
    settings = settings_of(myow_base_weight=0.1, byol_warmup_epochs=4, myow_rampup_epochs=5)
    assert mined_weight(settings, step, steps_per_epoch=2) == pytest.approx(weight)


def test_without_a_ramp_the_mined_term_has_its_weight_at_once() -> None:
    settings = settings_of(myow_base_weight=1.0, byol_warmup_epochs=1, myow_rampup_epochs=0)
    assert [mined_weight(settings, step, 3) for step in range(5)] == [0, 0, 0, 1, 1]
