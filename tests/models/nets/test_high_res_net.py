from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtneuro_ray.models.base import Settings3D
from mtneuro_ray.models.dropout import DropoutKey, GlobalDropout, set_dropout_key
from mtneuro_ray.models.nets.high_res_net import HighResNet
from mtneuro_ray.models.volumetric import HIGH_RES_NET
from tests.models.training import (
    Layers,
    loss_after_training,
    parameter_count,
    parameters_without_gradient,
    quarters,
    shuffle_norms,
    without_dropout,
)


def network(classes: int = 4) -> HighResNet:
    return HighResNet(Settings3D(name="HighResNet"), classes)


def reference(model: nn.Module, image: Tensor) -> Tensor:
    """MODELS.md, line by line, with the layers of `model` in the order in which they are named there."""
    layers = Layers(model)

    def block(x: Tensor, dilation: int) -> Tensor:
        for _ in range(2):
            x = layers.conv(F.relu(layers.norm(x)), padding=dilation, dilation=dilation)
        return x

    def upcast(x: Tensor) -> Tensor:
        half = torch.zeros_like(x[:, : x.shape[1] // 2])
        return torch.cat([half, x, half], 1)

    y = layers.conv(image, padding=1)
    s = F.relu(layers.norm(y))
    r1 = block(y, 1)
    r2 = block(r1 + s, 1)
    r3 = block(r2 + r1, 1)
    d1 = block(r3 + r2, 2)
    d2 = block(d1 + upcast(r3), 2)
    d3 = block(d2 + d1, 2)
    e1 = block(d3 + d2, 4)
    e2 = block(e1 + upcast(d3), 4)
    e3 = block(e2 + e1, 4)
    logits = layers.conv(F.relu(layers.norm(layers.conv(e3 + e2))))
    assert layers.are_used_up()
    return logits


def test_equals_the_layers_written_out() -> None:
    torch.manual_seed(0)
    model = shuffle_norms(network(classes=3)).eval()
    image = torch.randn(2, 1, 8, 9, 10)
    logits = model(image)
    assert logits.shape == (2, 3, 8, 9, 10)
    torch.testing.assert_close(logits, reference(model, image), rtol=1e-4, atol=1e-5)
    assert torch.equal(model(image), logits)


def test_parameter_count() -> None:
    assert parameter_count(network()) == 809_876


def test_dropout_lies_before_the_last_unit() -> None:
    model = network()
    (layer,) = (layer for layer in model.modules() if isinstance(layer, GlobalDropout))
    assert layer.p == 0.5
    seen: list[torch.Size] = []
    layer.register_forward_hook(lambda _layer, inputs, _out: seen.append(inputs[0].shape))
    set_dropout_key(model, DropoutKey(seed=0, step=0, start=0, total=1))
    model(torch.randn(1, 1, 2, 3, 4))
    assert seen == [(1, 80, 2, 3, 4)]


@pytest.mark.parametrize("shape", [(1, 1, 2), (8, 5, 7), (3, 8, 1)])
def test_accepts_any_size(shape: tuple[int, ...]) -> None:
    rule = HIGH_RES_NET.size_rule(Settings3D(name="HighResNet"))
    assert all(rule.accepts(size) for size in shape)
    model = network()
    set_dropout_key(model, DropoutKey(seed=0, step=0, start=0, total=1))
    assert model(torch.randn(1, 1, *shape)).shape == (1, 4, *shape)


def test_gradient_reaches_every_parameter() -> None:
    torch.manual_seed(0)
    assert parameters_without_gradient(network(), torch.randn(1, 1, 8, 9, 10)) == []


def test_learns_one_batch_by_heart() -> None:
    torch.manual_seed(0)
    image, target = quarters((1, 2, 8, 8))
    assert loss_after_training(without_dropout(network()), image, target, steps=30, lr=0.01) < 0.05
