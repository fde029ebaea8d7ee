"""Settings of self-supervised methods: rules where nothing is stated, and values that mean what they say."""

from __future__ import annotations

from typing import Any, cast

import pytest

from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.methods.byol import ByolSettings
from mtneuro_ray.methods.myow import MyowSettings
from tests.settings import network_settings, run_settings

BEFORE = {"lr_warmup_epochs": 10, "base_learning_rate": 0.03, "base_momentum": 0.996}


def byol(**method: Any) -> NetworkSettings:
    return network_settings(model="ResNet-18", method={"name": "byol", "epochs": 100, **method}, opt_momentum=0.9)


def settings(**method: Any) -> ByolSettings:
    return cast(ByolSettings, byol(**method).method)


@pytest.mark.parametrize("batch_size", [16, 64, 256])
def test_a_stated_rate_is_scaled_by_the_batch_and_the_rule_s_is_not(batch_size: int) -> None:
    assert settings(base_learning_rate=0.03).rate(batch_size, 0.9) == pytest.approx(0.03 * batch_size / 256)
    assert settings().rate(batch_size, 0.9) == settings().rate(8, 0.9) > 0.03


def test_the_rule_s_rate_takes_a_weight_equally_far_with_any_momentum() -> None:
    assert settings().rate(16, 0.9) / (1 - 0.9) == pytest.approx(settings().rate(16, 0.0))


def test_a_short_training_has_a_faster_target_and_a_long_one_that_of_the_paper() -> None:
    found = [settings().momentum(steps) for steps in (1, 10, 100, 1_000, 10_000, 1_000_000)]
    assert found == sorted(found)
    assert 0 <= found[0] < found[2] < 0.9
    assert found[-1] == found[-2] == 0.996
    assert settings(base_momentum=0.5).momentum(1_000_000) == 0.5


@pytest.mark.parametrize(("epochs", "warmup"), [(1, 0), (2, 1), (9, 1), (10, 1), (11, 2), (100, 10), (800, 10)])
def test_the_warm_up_is_a_tenth_of_a_short_training(epochs: int, warmup: int) -> None:
    assert settings(epochs=epochs).warmup == warmup
    assert settings(epochs=epochs, lr_warmup_epochs=0).warmup == 0


def test_runs_from_before_the_rules_keep_their_ids() -> None:
    """Their settings are written out in full; the ids were made without keys at the defaults of that time."""
    network: dict[str, Any] = {"model": "ResNet-18", "method": {"name": "byol", **BEFORE}}
    stated, ruled = run_settings(network=network), run_settings(network={**network, "method": "byol"})
    assert stated.run_id == "5fa0067619d8a3bf"
    assert ruled.run_id != stated.run_id
    assert type(stated).load(ruled.model_dump(mode="json"), "file").run_id == ruled.run_id


def test_every_rule_has_the_default_of_before() -> None:
    ruled = {key for key, field in MyowSettings.model_fields.items() if field.default is None} - {"batch_size"}
    assert ruled == set(MyowSettings.before_rules)
