import math

import pytest
from mtneuro_ray.methods.schedule import mined_weight, scaled_rate, target_momentum

from mtneuro_ray.config.network import SslSettings


@pytest.mark.parametrize(("batch", "rate"), [(256, 0.03), (64, 0.0075), (1024, 0.12)])
def test_the_rate_is_in_proportion_to_the_global_batch(batch: int, rate: float) -> None:
    assert scaled_rate(SslSettings(), batch) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("step", "momentum"), [(0, 0.996), (25, 1 - 0.004 * (1 + math.sqrt(0.5)) / 2), (50, 0.998), (100, 1.0)]
)
def test_the_target_follows_more_slowly_until_it_rests(step: int, momentum: float) -> None:
    assert target_momentum(SslSettings(), step, 100) == pytest.approx(momentum, abs=1e-12)


@pytest.mark.parametrize(("step", "weight"), [(0, 0.0), (7, 0.0), (8, 0.01), (12, 0.05), (17, 0.1), (1000, 0.1)])
def test_the_mined_term_comes_in_after_the_warm_up(step: int, weight: float) -> None:
    ssl = SslSettings(myow_base_weight=0.1, byol_warmup_epochs=4, myow_rampup_epochs=5)
    assert mined_weight(ssl, step, steps_per_epoch=2) == pytest.approx(weight)


def test_without_a_ramp_the_mined_term_has_its_weight_at_once() -> None:
    ssl = SslSettings(myow_base_weight=1.0, byol_warmup_epochs=1, myow_rampup_epochs=0)
    assert [mined_weight(ssl, step, 3) for step in range(5)] == [0, 0, 0, 1, 1]
