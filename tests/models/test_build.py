from __future__ import annotations

from typing import Any

import pytest
import torch

from mtneuro_ray.models import MODELS
from mtneuro_ray.models.build import autocast, build_model
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


@pytest.mark.parametrize(
    "settings",
    [
        *({"model": "UNet", "dim": dim, "n_blocks": blocks} for dim in (2, 3) for blocks in (2, 4)),
        {"model": "UNet", "start_filters": 8},
        {"model": "VNetLight", "dim": 3},
        {"model": "HighResNet", "dim": 3},
        {"model": "ResNet-18"},
        {"model": "PSPNet", "encoder_name": "resnet34", "encoder_weights": None},
        {"model": "UnetPlusPlus", "encoder_name": "efficientnet-b0", "encoder_weights": None},
    ],
    ids=str,
)
def test_the_declared_number_of_parameters_is_within_a_factor_of_two(settings: dict[str, Any]) -> None:
    network = network_settings(**settings)
    built = sum(p.numel() for p in build_model(network).parameters())
    assert built / 2 < network.declaration.count_parameters(network.model) < built * 2


@pytest.mark.parametrize("name", ["ResNet-18", "UNet", "VNetLight", "HighResNet"])
def test_a_batch_norm_has_one_value_up_to_the_stride_that_is_declared(name: str) -> None:
    known = MODELS.find(name)
    network = network_settings(model=name, dim=known.dims[-1])
    rule = known.size_rule(network.model)
    model = build_model(network)
    set_dropout_key(model, DropoutKey(seed=0, step=0, start=0, total=2))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        model(torch.rand(1, 1, *[rule.norm_stride] * network.model.dim))
    assert model(torch.rand(1, 1, *[2 * rule.norm_stride] * network.model.dim)).isfinite().all()


def test_a_builder_gets_the_settings_of_its_model() -> None:
    small, large = (build_model(network_settings(start_filters=filters)) for filters in (4, 8))
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in large.parameters())


NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@pytest.mark.parametrize(
    ("precision", "device", "expected"),
    [
        ("auto", "cpu", torch.float32),
        ("bf16", "cpu", torch.bfloat16),
        ("fp32", "cpu", torch.float32),
        pytest.param("auto", "cuda", torch.bfloat16, marks=[pytest.mark.gpu, NO_GPU]),
        pytest.param("fp32", "cuda", torch.float32, marks=[pytest.mark.gpu, NO_GPU]),
    ],
)
def test_the_arithmetic_of_a_precision(precision: str, device: str, expected: torch.dtype) -> None:
    with autocast(network_settings(precision=precision), torch.device(device)):
        square = torch.ones(2, 2, device=device)
        assert (square @ square).dtype == expected
