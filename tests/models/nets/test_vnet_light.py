from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtneuro_ray.models.base import Settings3D
from mtneuro_ray.models.dropout import DropoutKey, GlobalDropout, set_dropout_key
from mtneuro_ray.models.nets.vnet_light import VNetLight
from mtneuro_ray.models.volumetric import VNET_LIGHT
from tests.models.training import (
    Layers,
    loss_after_training,
    parameter_count,
    parameters_without_gradient,
    quarters,
    shuffle_norms,
    without_dropout,
)


def network(classes: int = 4) -> VNetLight:
    return VNetLight(Settings3D(name="VNetLight"), classes)


def reference(model: nn.Module, image: Tensor) -> Tensor:
    """MODELS.md, line by line, with the layers of `model` in the order in which they are named there."""
    layers = Layers(model)

    def conv_norm_elu(x: Tensor) -> Tensor:
        return F.elu(layers.norm(layers.conv(x, padding=2)))

    def residual(x: Tensor, count: int) -> Tensor:
        y = x
        for _ in range(count):
            y = conv_norm_elu(y)
        return F.elu(y + x)

    def down(x: Tensor, count: int) -> Tensor:
        return residual(F.elu(layers.norm(layers.conv(x, stride=2))), count)

    def up(x: Tensor, skip: Tensor, count: int) -> Tensor:
        return residual(torch.cat([F.elu(layers.norm(layers.up(x))), skip], 1), count)

    a = F.elu(layers.norm(layers.conv(image, padding=2)) + torch.cat([image] * 16, 1))
    b = down(a, 1)
    c = down(b, 2)
    e = down(c, 3)
    y = up(up(up(e, c, 2), b, 1), a, 1)
    logits = layers.conv(conv_norm_elu(y))
    assert layers.are_used_up()
    return logits


def test_equals_the_layers_written_out() -> None:
    torch.manual_seed(0)
    model = shuffle_norms(network(classes=3)).eval()
    image = torch.randn(2, 1, 8, 16, 24)
    logits = model(image)
    assert logits.shape == (2, 3, 8, 16, 24)
    torch.testing.assert_close(logits, reference(model, image), rtol=1e-4, atol=1e-5)
    assert torch.equal(model(image), logits)


def test_parameter_count() -> None:
    assert parameter_count(network()) == 12_246_288


def test_dropout_lies_where_it_should() -> None:
    model = network()
    seen: list[tuple[int, ...]] = []
    for layer in model.modules():
        if isinstance(layer, GlobalDropout) and layer.p:
            assert layer.p == 0.5
            layer.register_forward_hook(lambda _layer, inputs, _out: seen.append(tuple(inputs[0].shape[1:])))
    set_dropout_key(model, DropoutKey(seed=0, step=0, start=0, total=1))
    model(torch.randn(1, 1, 8, 16, 16))
    lowest = (128, 1, 2, 2)
    assert seen == [lowest, lowest, (64, 2, 4, 4), (32, 4, 8, 8), (16, 8, 16, 16)]


@pytest.mark.parametrize("size", [4, 8, 12, 16, 20, 24])
@pytest.mark.parametrize("axis", [2, 3, 4])
def test_accepts_exactly_the_sizes_that_the_strides_divide(axis: int, size: int) -> None:
    model = network().eval()
    shape = [1, 1, 8, 16, 16]
    shape[axis] = size
    image = torch.zeros(shape)
    if VNET_LIGHT.size_rule(Settings3D(name="VNetLight")).accepts(size):
        assert model(image).shape[2:] == image.shape[2:]
    else:
        with pytest.raises(ValueError, match=r"pixels; accepted: .* 8, 16, 24, \.\.\. \(steps of 8\)"):
            model(image)


def test_gradient_reaches_every_parameter() -> None:
    torch.manual_seed(0)
    assert parameters_without_gradient(network(), torch.randn(1, 1, 8, 16, 16)) == []


def test_learns_one_batch_by_heart() -> None:
    torch.manual_seed(0)
    image, target = quarters((1, 8, 8, 16))
    assert loss_after_training(without_dropout(network()), image, target, steps=30, lr=0.03) < 0.15
