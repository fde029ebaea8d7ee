from __future__ import annotations

import pytest
import torch

from mtneuro_ray.errors import InputError
from mtneuro_ray.models import MODELS, build_model


@pytest.mark.parametrize("name", MODELS)
def test_initial_weights_follow_from_the_seed_alone(name: str) -> None:
    weights = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        weights.append(torch.cat([p.detach().flatten() for p in build_model(name).parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"'VGG'; accepted: .*ResNet-18, UNet"):
        build_model("VGG")


def test_unknown_setting_is_refused() -> None:
    with pytest.raises(TypeError, match="depth"):
        build_model("UNet", depth=3)
