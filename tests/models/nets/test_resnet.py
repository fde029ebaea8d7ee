from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from mtneuro_ray.models.dropout import DropoutKey, set_dropout_key
from mtneuro_ray.models.encoders import ResNet18Settings
from mtneuro_ray.models.nets.resnet import EncoderClassifier, build, resnet18_encoder
from tests.models.training import loss_after_training, parameter_count, parameters_without_gradient


def resnet18_classifier(**settings: Any) -> EncoderClassifier:
    return build(ResNet18Settings(name="ResNet-18", **settings), 4)


@pytest.mark.parametrize("size", [32, 64])
def test_encoder_gives_512_features(size: int) -> None:
    encoder = resnet18_encoder(in_channels=1)
    assert encoder(torch.randn(2, 1, size, size)).shape == (2, 512)
    # 11,689,512 of the original, less its stem of 3 channels and 7x7, less its 1000-class layer.
    assert parameter_count(encoder) == 11_689_512 - 3 * 64 * 49 - 513_000 + 64 * 9


def test_the_stem_keeps_the_resolution() -> None:
    encoder = resnet18_encoder()
    shapes: list[torch.Size] = []
    encoder.get_submodule("layer1").register_forward_hook(lambda _m, _i, output: shapes.append(output.shape))
    encoder(torch.zeros(1, 1, 32, 32).add(torch.rand(1, 1, 32, 32)))
    assert shapes == [(1, 64, 32, 32)]


@pytest.mark.parametrize(("latent_dim", "extra"), [(None, 512 * 4 + 4), (256, 512 * 256 + 256 + 256 * 4 + 4)])
def test_classifier_adds_its_layers(latent_dim: int | None, extra: int) -> None:
    model = resnet18_classifier(latent_dim=latent_dim)
    assert parameter_count(model) == parameter_count(model.encoder) + extra
    image = torch.randn(2, 1, 32, 32)
    assert model.features(image).shape == (2, latent_dim or 512)
    assert model.eval()(image).shape == (2, 4)


def test_dropout_follows_its_key() -> None:
    model = resnet18_classifier(dropout=0.5)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.eval()
    image = torch.randn(4, 1, 16, 16)
    set_dropout_key(model, DropoutKey(seed=0, step=0, start=0, total=4))
    first, again = model(image), model(image)
    assert torch.equal(first, again)
    set_dropout_key(model, DropoutKey(seed=0, step=1, start=0, total=4))
    assert not torch.equal(model(image), first)


def test_gradient_reaches_every_parameter() -> None:
    torch.manual_seed(0)
    assert parameters_without_gradient(resnet18_classifier(latent_dim=32), torch.randn(4, 1, 16, 16)) == []


def test_learns_one_batch_by_heart() -> None:
    torch.manual_seed(0)
    image, target = torch.randn(4, 1, 8, 8), torch.arange(4)
    assert loss_after_training(resnet18_classifier(), image, target, steps=12, lr=1e-3) < 0.05
