from __future__ import annotations

import pytest
import torch

from mtneuro_ray.models import MODELS
from mtneuro_ray.models.build import build_model
from mtneuro_ray.models.dropout import DropoutKey, set_dropout_key
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


@pytest.mark.parametrize("name", [name for name, known in MODELS.all().items() if "gradients" in known.gives])
def test_the_smallest_batch_and_image_of_a_rule_can_be_trained_on(name: str) -> None:
    known = MODELS.find(name)
    encoder = {"encoder_name": "resnet18", "encoder_weights": None} if known.is_pretrained else {}
    network = network_settings(model=name, dim=known.dims[-1], batch_size=known.smallest_batch, **encoder)
    rule = known.size_rule(network.model)
    model = build_model(network)
    set_dropout_key(model, DropoutKey(seed=0, step=0, start=0, total=2))
    side = rule.smallest
    if rule.norm_stride:
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            model(torch.rand(1, 1, *[rule.norm_stride] * network.model.dim))
        side = 2 * rule.norm_stride
    image = torch.rand(known.smallest_batch, 1, *[side] * network.model.dim)
    assert model(image).isfinite().all()


def test_a_builder_gets_the_settings_of_its_model() -> None:
    small, large = (build_model(network_settings(start_filters=filters)) for filters in (4, 8))
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in large.parameters())
