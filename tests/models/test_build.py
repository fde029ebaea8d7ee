from __future__ import annotations

import pytest
import torch

from mtneuro_ray.models import MODELS
from mtneuro_ray.models.build import build_model
from tests.settings import network_settings


@pytest.mark.parametrize("name", MODELS.names())
def test_initial_weights_follow_from_the_seed_alone(name: str) -> None:
    known = MODELS.find(name)
    encoder = {"encoder_name": "resnet18"} if known.is_pretrained else {}
    method = {"method": "decomposition"} if "fit" in known.gives else {}
    network = network_settings(model=name, dim=known.dims[0], **encoder, **method)
    weights = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        weights.append(torch.cat([p.detach().flatten() for p in build_model(network).parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_builder_gets_the_settings_of_its_model() -> None:
    small, large = (build_model(network_settings(start_filters=filters)) for filters in (4, 8))
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in large.parameters())
