"""U-Net in 2D and 3D (Task 2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from mtneuro_ray.models.unet import UNetSettings, unet_sizes

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "leaky": lambda: nn.LeakyReLU(0.1, inplace=True),
    "elu": lambda: nn.ELU(inplace=True),
}


class _Layers:
    """Layers of one U-Net, of its dimension, activation, norm and padding."""

    def __init__(self, settings: UNetSettings) -> None:
        self.settings = settings

    def named(self, kind: str, *args: Any, **options: Any) -> nn.Module:
        """The 2D or 3D layer of torch that `kind` begins the name of."""
        layer: nn.Module = getattr(nn, f"{kind}{self.settings.dim}d")(*args, **options)
        return layer

    def act_and_norm(self, filters: int) -> list[nn.Module]:
        """Activation, then norm: the order of the public settings."""
        activation, kind = _ACTIVATIONS[self.settings.activation](), self.settings.normalization
        if kind == "none":
            return [activation]
        if kind.startswith("group"):
            return [activation, nn.GroupNorm(int(kind.removeprefix("group")), filters)]
        return [activation, self.named(f"{kind.capitalize()}Norm", filters)]

    def convs(self, channels_in: int, filters: int) -> nn.Sequential:
        """Two 3x3 convolutions, each followed by activation and norm."""
        padding = 1 if self.settings.conv_mode == "same" else 0
        layers: list[nn.Module] = []
        for channels in (channels_in, filters):
            layers.append(self.named("Conv", channels, filters, kernel_size=3, padding=padding))
            layers.extend(self.act_and_norm(filters))
        return nn.Sequential(*layers)


class _Up(nn.Module):
    """Doubles the resolution, joins the skip and convolves."""

    def __init__(self, channels_in: int, filters: int, layers: _Layers) -> None:
        super().__init__()
        up = layers.named("ConvTranspose", channels_in, filters, kernel_size=2, stride=2)
        self.up = nn.Sequential(up, *layers.act_and_norm(filters))
        self.convs = layers.convs(2 * filters, filters)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        up: Tensor = self.up(features)
        joined: Tensor = self.convs(torch.cat([up, _centre_crop(skip, up.shape[2:])], dim=1))
        return joined


class UNet(nn.Module):
    """U-Net (Ronneberger et al. 2015; 3D: Cicek et al. 2016) with the options of the public MTNeuro settings.

    (B, C, Y, X) -> logits (B, classes, Y, X), or (B, C, Z, Y, X) -> (B, classes, Z, Y, X); all spatial axes are pooled
    alike. With "valid" convolutions the logits are smaller than the image and show its centre. Activation comes before
    the norm. Weights are Xavier uniform, biases zero. At 1 channel and 4 classes the defaults have 1,928,388 parameters
    in 2D and 5,603,076 in 3D.
    """

    def __init__(self, settings: UNetSettings, classes: int) -> None:
        super().__init__()
        layers = _Layers(settings)
        filters = [settings.start_filters * 2**i for i in range(settings.n_blocks)]
        self.sizes = unet_sizes(settings)
        self.down = nn.ModuleList(layers.convs(a, b) for a, b in pairwise([settings.in_channels, *filters]))
        self.pool = layers.named("MaxPool", 2)
        self.up = nn.ModuleList(_Up(a, b, layers) for a, b in pairwise(reversed(filters)))
        self.head = layers.named("Conv", settings.start_filters, classes, kernel_size=1)
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor:
        """Image to logits, shapes as in the class.

        Raises:
            ValueError: a spatial axis has a size that the strides do not divide.
        """
        self.sizes.check("U-Net", image.shape[2:])
        skips: list[Tensor] = []
        features = self.down[0](image)
        for block in self.down[1:]:
            skips.append(features)
            features = block(self.pool(features))
        for block, skip in zip(self.up, reversed(skips), strict=True):
            features = block(features, skip)
        logits: Tensor = self.head(features)
        return logits


def _centre_crop(skip: Tensor, shape: Sequence[int]) -> Tensor:
    """The middle of `skip` (B, C, *axes) with the spatial `shape`."""
    for axis, size in enumerate(shape, start=2):
        skip = skip.narrow(axis, (skip.shape[axis] - size) // 2, size)
    return skip


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
