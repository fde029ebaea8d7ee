from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from mtneuro_ray.models.fusing import fuse_norms
from mtneuro_ray.models.nets.unet import UNet
from mtneuro_ray.models.unet import UNetSettings


def trained(module: nn.Module) -> nn.Module:
    """Norms with statistics and weights as training might leave them: some negative, one of zero."""
    for each in module.modules():
        if isinstance(each, (nn.BatchNorm2d, nn.BatchNorm3d)):
            each.running_mean = torch.randn(each.num_features)
            each.running_var = torch.rand(each.num_features) + 0.1
            if each.affine:
                each.weight.data = torch.randn(each.num_features)
                each.weight.data[0] = 0.0
                each.bias.data = torch.randn(each.num_features)
    return module.eval()


def fused_alike(module: nn.Module, images: Tensor) -> int:
    """Check that a module computes the same when it is fused; the number of norms that are left."""
    module, images = module.double(), images.double()
    with torch.no_grad():
        before = module(images.clone())
        fuse_norms(module)
        # Twice and at another size: bounds are kept for a row.
        for _ in range(2):
            torch.testing.assert_close(module(images.clone()), before)
        module(torch.cat([images, images], -1))
        torch.testing.assert_close(module(images.clone()), before)
    return sum(isinstance(each, (nn.BatchNorm2d, nn.BatchNorm3d)) for each in module.modules())


@pytest.mark.parametrize("dim", [2, 3])
def test_a_unet_computes_the_same_without_its_norms(dim: int) -> None:
    torch.manual_seed(0)
    model = trained(UNet(UNetSettings(name="UNet", dim=dim, n_blocks=3, start_filters=4), 3))  # type: ignore[arg-type]
    layout = torch.channels_last if dim == 2 else torch.channels_last_3d
    for memory_format in (torch.contiguous_format, layout):
        images = torch.rand(2, 1, *[8] * dim).to(memory_format=memory_format)
        assert fused_alike(model.to(memory_format=memory_format), images) == 0


@pytest.mark.parametrize(
    ("layers", "left"),
    [
        (lambda: [nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU()], 0),
        (
            lambda: [
                nn.Conv2d(2, 4, 3, bias=False),
                nn.ReLU(),
                nn.BatchNorm2d(4),
                nn.Conv2d(4, 4, 1),
                nn.BatchNorm2d(4),
            ],
            0,
        ),
        (lambda: [nn.Conv2d(2, 4, 3, groups=2), nn.ReLU(), nn.BatchNorm2d(4, affine=False)], 0),
        (lambda: [nn.ConvTranspose2d(2, 4, 2, stride=2), nn.ReLU(), nn.BatchNorm2d(4)], 0),
        (lambda: [nn.ConvTranspose2d(2, 4, 2, stride=2, groups=2), nn.ReLU(), nn.BatchNorm2d(4)], 1),
        (lambda: [nn.Conv2d(2, 4, 3), nn.LeakyReLU(), nn.BatchNorm2d(4)], 1),
        (lambda: [nn.Conv2d(2, 4, 3), nn.ReLU(), nn.BatchNorm2d(4, track_running_stats=False)], 1),
        (lambda: [nn.BatchNorm2d(2), nn.Conv2d(2, 4, 3)], 1),
        (lambda: [nn.ReLU(), nn.BatchNorm2d(2)], 1),
    ],
)
def test_what_can_be_fused_is_and_the_rest_stays(layers: Callable[[], list[nn.Module]], left: int) -> None:
    torch.manual_seed(0)
    made = layers()
    for each in made:
        if isinstance(each, nn.BatchNorm2d) and not each.track_running_stats:
            assert fused_alike(nn.Sequential(*made).eval(), torch.randn(2, 2, 9, 7)) == left
            return
    assert fused_alike(trained(nn.Sequential(*made)), torch.randn(2, 2, 9, 7)) == left


def test_a_convolution_that_is_used_twice_and_one_that_is_watched_stay_as_they_are() -> None:
    torch.manual_seed(0)
    shared = nn.Conv2d(2, 2, 1)
    model = trained(nn.Sequential(nn.Sequential(shared, nn.BatchNorm2d(2)), nn.Sequential(shared, nn.BatchNorm2d(2))))
    assert fused_alike(model, torch.randn(2, 2, 4, 4)) == 0

    watched = trained(nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)))
    next(iter(watched.children())).register_forward_hook(lambda *_: None)
    assert fused_alike(watched, torch.randn(2, 2, 4, 4)) == 1
