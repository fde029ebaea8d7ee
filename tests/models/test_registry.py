from __future__ import annotations

import pytest
import torch
from mtneuro_ray.models.architectures import ARCHITECTURES, MODEL_NAMES, ModelName
from mtneuro_ray.models.registry import MODELS, build_model

from mtneuro_ray.config.network import DECOMPOSITIONS
from tests.settings import network_settings


def test_every_model_that_settings_can_name_is_known_and_can_be_built() -> None:
    assert list(ARCHITECTURES) == list(MODELS) == list(MODEL_NAMES)


@pytest.mark.parametrize("name", MODELS)
def test_initial_weights_follow_from_the_seed_alone(name: ModelName) -> None:
    known = ARCHITECTURES[name]
    encoder = {"encoder_name": "resnet18"} if known.encoder else {}
    method = {"method": "decomposition"} if name in DECOMPOSITIONS else {}
    network = network_settings(model=name, dim=known.dims[0], **encoder, **method)
    weights = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        weights.append(torch.cat([p.detach().flatten() for p in build_model(network).parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_builder_gets_the_keys_that_it_heeds() -> None:
    small, large = (build_model(network_settings(start_filters=filters)) for filters in (4, 8))
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in large.parameters())
