from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtneuro_ray.models.base import ModelDeclaration, Settings3D
from mtneuro_ray.models.dropout import DropoutKey, GlobalDropout, set_dropout_key
from mtneuro_ray.models.volumetric import HIGH_RES_NET, VNET_LIGHT
from tests.models.training import (
    Layers,
    loss_after_training,
    parameter_count,
    parameters_without_gradient,
    quarters,
    shuffle_norms,
    without_dropout,
)


def vnet_light(model: nn.Module, image: Tensor) -> Tensor:
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


def high_res_net(model: nn.Module, image: Tensor) -> Tensor:
    """The same of HighResNet."""
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


@dataclass
class Case:
    """A network, its layers written out, and the places (channels, z, y, x) of its dropout for an 8 x 16 x 16 image."""

    declaration: ModelDeclaration
    reference: Callable[[nn.Module, Tensor], Tensor]
    shape: tuple[int, int, int]
    parameters: int
    dropped: list[tuple[int, ...]]
    batch: tuple[int, int, int, int]
    rate: float
    loss: float

    def build(self, classes: int = 4) -> nn.Module:
        model: nn.Module = self.declaration.resolve()(Settings3D(name=self.declaration.name), classes)
        return model


LOWEST = (128, 1, 2, 2)
CASES = {
    "VNetLight": Case(
        VNET_LIGHT,
        vnet_light,
        (8, 16, 24),
        12_246_288,
        [LOWEST, LOWEST, (64, 2, 4, 4), (32, 4, 8, 8), (16, 8, 16, 16)],
        (1, 8, 8, 16),
        0.03,
        0.15,
    ),
    "HighResNet": Case(HIGH_RES_NET, high_res_net, (8, 9, 10), 809_876, [(80, 8, 16, 16)], (1, 2, 8, 8), 0.01, 0.05),
}
over_cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@over_cases
def test_equals_the_layers_written_out(case: Case) -> None:
    torch.manual_seed(0)
    model = shuffle_norms(case.build(classes=3)).eval()
    image = torch.randn(2, 1, *case.shape)
    logits = model(image)
    assert logits.shape == (2, 3, *case.shape)
    torch.testing.assert_close(logits, case.reference(model, image), rtol=1e-4, atol=1e-5)
    assert torch.equal(model(image), logits)


@over_cases
def test_parameter_count(case: Case) -> None:
    assert parameter_count(case.build()) == case.parameters


@over_cases
def test_dropout_lies_where_it_should(case: Case) -> None:
    model = case.build()
    seen: list[tuple[int, ...]] = []
    for layer in model.modules():
        if isinstance(layer, GlobalDropout) and layer.p:
            assert layer.p == 0.5
            layer.register_forward_hook(lambda _layer, inputs, _out: seen.append(tuple(inputs[0].shape[1:])))
    set_dropout_key(model, DropoutKey(seed=0, step=0, start=0, total=1))
    model(torch.randn(1, 1, 8, 16, 16))
    assert seen == case.dropped


@pytest.mark.parametrize("size", [4, 8, 12, 16, 20, 24])
@pytest.mark.parametrize("axis", [2, 3, 4])
def test_vnet_light_accepts_exactly_the_sizes_that_the_strides_divide(axis: int, size: int) -> None:
    model = CASES["VNetLight"].build().eval()
    shape = [1, 1, 8, 16, 16]
    shape[axis] = size
    image = torch.zeros(shape)
    if VNET_LIGHT.size_rule(Settings3D(name="VNetLight")).accepts(size):
        assert model(image).shape[2:] == image.shape[2:]
    else:
        with pytest.raises(ValueError, match=r"pixels; accepted: .* 8, 16, 24, \.\.\. \(steps of 8\)"):
            model(image)


@pytest.mark.parametrize("shape", [(1, 1, 2), (8, 5, 7), (3, 8, 1)])
def test_high_res_net_accepts_any_size(shape: tuple[int, ...]) -> None:
    rule = HIGH_RES_NET.size_rule(Settings3D(name="HighResNet"))
    assert all(rule.accepts(size) for size in shape)
    model = CASES["HighResNet"].build()
    set_dropout_key(model, DropoutKey(seed=0, step=0, start=0, total=1))
    assert model(torch.randn(1, 1, *shape)).shape == (1, 4, *shape)


@over_cases
def test_gradient_reaches_every_parameter(case: Case) -> None:
    torch.manual_seed(0)
    shape = (8, 16, 16) if case.declaration is VNET_LIGHT else case.shape
    assert parameters_without_gradient(case.build(), torch.randn(1, 1, *shape)) == []


@over_cases
def test_learns_one_batch_by_heart(case: Case) -> None:
    torch.manual_seed(0)
    image, target = quarters(case.batch)
    assert loss_after_training(without_dropout(case.build()), image, target, steps=30, lr=case.rate) < case.loss
