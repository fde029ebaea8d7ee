from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mtneuro_ray.errors import InputError
from mtneuro_ray.models.nets.unet import UNet
from mtneuro_ray.models.unet import UNetSettings, unet_sizes
from tests.models.training import loss_after_training, parameter_count, parameters_without_gradient


def settings_of(**settings: Any) -> UNetSettings:
    return UNetSettings.load({"name": "UNet", **settings}, "net.json")


def unet(classes: int = 4, **settings: Any) -> UNet:
    return UNet(settings_of(**settings), classes)


def striped(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """An image (B, 1, ...) and four classes that are bands of its grey values."""
    image = torch.rand(shape[0], 1, *shape[1:], generator=torch.Generator().manual_seed(0))
    return image, (image[:, 0] * 4).long()


@pytest.mark.parametrize(("dim", "expected"), [(2, 1_928_388), (3, 5_603_076)])
def test_parameter_count(dim: int, expected: int) -> None:
    assert parameter_count(unet(dim=dim)) == expected


@pytest.mark.parametrize("shape", [(2, 1, 32, 48), (1, 1, 8, 16, 32)])
def test_output_has_the_shape_of_the_image(shape: tuple[int, ...]) -> None:
    logits = unet(classes=3, dim=len(shape) - 2)(torch.randn(shape))
    assert logits.shape == (shape[0], 3, *shape[2:])


def test_eight_slices_shrink_to_one() -> None:
    model = unet(dim=3, start_filters=2)
    depths: list[int] = []
    for block in model.down:
        block.register_forward_hook(lambda _module, _inputs, output: depths.append(output.shape[2]))
    model(torch.zeros(1, 1, 8, 16, 16))
    assert depths == [8, 4, 2, 1]


@pytest.mark.parametrize("activation", ["relu", "leaky", "elu"])
@pytest.mark.parametrize("normalization", ["batch", "instance", "group4", "none"])
@pytest.mark.parametrize("dim", [2, 3])
def test_options_reach_every_parameter(activation: str, normalization: str, dim: int) -> None:
    torch.manual_seed(0)
    model = unet(dim=dim, n_blocks=3, start_filters=8, activation=activation, normalization=normalization)
    assert parameters_without_gradient(model, torch.randn(2, 1, *[8] * dim)) == []


def test_activation_comes_before_norm() -> None:
    kinds = [type(layer) for layer in unet().down[0].children()]
    assert kinds == [nn.Conv2d, nn.ReLU, nn.BatchNorm2d] * 2


def test_biases_start_at_zero_and_weights_within_the_xavier_bound() -> None:
    conv = unet().down[1].get_submodule("0")
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    assert not conv.bias.any()
    bound = (6 / (9 * (32 + 64))) ** 0.5
    assert 0.95 * bound < conv.weight.abs().max() <= bound


@pytest.mark.parametrize("option", [{"normalization": "layer"}, {"normalization": "group5"}, {"n_blocks": 1}], ids=str)
def test_options_that_no_network_has_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"net.json: (model.)?{next(iter(option))}: .*; accepted: "):
        settings_of(**option)


def test_sizes_that_the_strides_do_not_divide_are_refused() -> None:
    model = unet(dim=3, start_filters=2)
    with pytest.raises(ValueError, match=r"\(6, 16, 16\) pixels; accepted: .* 8, 16, 24, \.\.\. \(steps of 8\)"):
        model(torch.zeros(1, 1, 6, 16, 16))


@pytest.mark.parametrize("n_blocks", [2, 3, 4])
def test_valid_mode_accepts_exactly_the_sizes_that_pool_evenly(n_blocks: int) -> None:
    model = unet(n_blocks=n_blocks, start_filters=1, conv_mode="valid", normalization="none")
    for size in range(1, 101):
        levels, even = [size], True
        for _ in range(n_blocks - 1):
            even &= (levels[-1] - 4) % 2 == 0
            levels.append((levels[-1] - 4) // 2)
        out = levels[-1] - 4
        for _ in range(n_blocks - 1):
            out = 2 * out - 4
        assert model.sizes.accepts(size) == (even and out > 0)
        if model.sizes.accepts(size):
            assert model(torch.zeros(1, 1, size, size)).shape == (1, 4, out, out)


def test_the_size_of_the_original_paper_is_accepted() -> None:
    assert unet_sizes(settings_of(n_blocks=5, conv_mode="valid")).accepts(572)


@pytest.mark.parametrize("shape", [(2, 16, 16), (1, 4, 8, 8)])
def test_learns_one_batch_by_heart(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model = unet(dim=len(shape) - 1, n_blocks=3, start_filters=16)
    assert loss_after_training(model, *striped(shape), steps=60, lr=0.01) < 0.05


def test_channels_last_gives_the_same() -> None:
    torch.manual_seed(0)
    model = unet(start_filters=8).double()
    image = torch.randn(2, 1, 32, 32, dtype=torch.float64)
    expected = model(image)
    last: nn.Module = model.to(memory_format=torch.channels_last)
    torch.testing.assert_close(last(image.to(memory_format=torch.channels_last)), expected)
