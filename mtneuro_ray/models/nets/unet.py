"""U-Net in 2D and 3D (Task 2)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from mtneuro_ray.errors import InputError
from mtneuro_ray.models.unet import UNetSettings, unet_size_rule

_CONV: dict[int, type[nn.Conv2d | nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_UP_CONV: dict[int, type[nn.ConvTranspose2d | nn.ConvTranspose3d]] = {
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
_POOL: dict[int, type[nn.MaxPool2d | nn.MaxPool3d]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
_BATCH_NORM: dict[int, type[nn.BatchNorm2d | nn.BatchNorm3d]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_INSTANCE_NORM: dict[int, type[nn.InstanceNorm2d | nn.InstanceNorm3d]] = {
    2: nn.InstanceNorm2d,
    3: nn.InstanceNorm3d,
}


@dataclass(frozen=True, slots=True)
class _Style:
    """The options that every convolution of one U-Net shares."""

    dim: int
    activation: str
    normalization: str
    padding: int

    def act_and_norm(self, filters: int) -> list[nn.Module]:
        """Activation, then norm: the order of the public settings."""
        return [self._activation(), *self._norm(filters)]

    def convs(self, channels_in: int, filters: int) -> nn.Sequential:
        """Two 3x3 convolutions, each followed by activation and norm."""
        layers: list[nn.Module] = []
        for channels in (channels_in, filters):
            layers.append(_CONV[self.dim](channels, filters, kernel_size=3, padding=self.padding))
            layers.extend(self.act_and_norm(filters))
        return nn.Sequential(*layers)

    def _activation(self) -> nn.Module:
        match self.activation:
            case "relu":
                return nn.ReLU()
            case "leaky":
                return nn.LeakyReLU(0.1)
            case "elu":
                return nn.ELU()
        raise InputError(f"activation: {self.activation!r} is unknown; accepted: relu, leaky, elu")

    def _norm(self, filters: int) -> list[nn.Module]:
        if self.normalization == "none":
            return []
        if self.normalization == "batch":
            return [_BATCH_NORM[self.dim](filters)]
        if self.normalization == "instance":
            return [_INSTANCE_NORM[self.dim](filters)]
        group = re.fullmatch(r"group([1-9]\d*)", self.normalization)
        if group is None:
            raise InputError(
                f"normalization: {self.normalization!r} is unknown; accepted: batch, instance, groupN, none"
            )
        if filters % int(group[1]):
            raise InputError(f"normalization: {group[1]} groups do not divide {filters} filters; accepted: a divisor")
        return [nn.GroupNorm(int(group[1]), filters)]


def _centre_crop(skip: Tensor, shape: Sequence[int]) -> Tensor:
    """The middle of `skip` (B, C, *axes) with the spatial `shape`."""
    for axis, size in enumerate(shape, start=2):
        skip = skip.narrow(axis, (skip.shape[axis] - size) // 2, size)
    return skip


class _Up(nn.Module):
    """Doubles the resolution, joins the skip and convolves."""

    def __init__(self, channels_in: int, filters: int, style: _Style) -> None:
        super().__init__()
        up = _UP_CONV[style.dim](channels_in, filters, kernel_size=2, stride=2)
        self.up = nn.Sequential(up, *style.act_and_norm(filters))
        self.convs = style.convs(2 * filters, filters)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        up: Tensor = self.up(features)
        joined: Tensor = self.convs(torch.cat([up, _centre_crop(skip, up.shape[2:])], dim=1))
        return joined


class UNet(nn.Module):
    """U-Net (Ronneberger et al. 2015; 3D: Cicek et al. 2016) with the options of the public MTNeuro settings.

    (B, C, Y, X) -> logits (B, classes, Y, X), or (B, C, Z, Y, X) -> (B, classes, Z, Y, X); all spatial axes
    are pooled alike. Activation comes before the norm. Weights are Xavier uniform, biases zero. At 1 channel
    and 4 classes the defaults have 1,928,388 parameters in 2D and 5,603,076 in 3D.

    Args:
        in_channels: channels of the image.
        classes: classes of the logits.
        dim: 2 or 3 spatial axes.
        n_blocks: resolutions, each half of the one before.
        start_filters: filters of the first block; every further block doubles them.
        activation: "relu", "leaky" (slope 0.1) or "elu".
        normalization: "batch", "instance", "groupN" with N groups (such as "group8") or "none".
        conv_mode: "same" pads; "valid" does not: the output is smaller than the input and shows its centre.

    Attributes:
        size_rule: the sizes that `forward` accepts along each spatial axis.

    Raises:
        InputError: an option is unknown.
    """

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 4,
        dim: int = 2,
        n_blocks: int = 4,
        start_filters: int = 32,
        activation: str = "relu",
        normalization: str = "batch",
        conv_mode: str = "same",
    ) -> None:
        super().__init__()
        if dim not in _CONV:
            raise InputError(f"dim: {dim} spatial axes; accepted: 2, 3")
        if conv_mode not in ("same", "valid"):
            raise InputError(f"conv_mode: {conv_mode!r} is unknown; accepted: same, valid")
        if n_blocks < 1:
            raise InputError(f"n_blocks: {n_blocks} blocks; accepted: 1 or more")
        style = _Style(dim, activation, normalization, padding=1 if conv_mode == "same" else 0)
        filters = [start_filters * 2**i for i in range(n_blocks)]
        self.size_rule = unet_size_rule(n_blocks, conv_mode)
        self.down = nn.ModuleList(style.convs(a, b) for a, b in pairwise([in_channels, *filters]))
        self.pool = _POOL[dim](2)
        self.up = nn.ModuleList(_Up(a, b, style) for a, b in pairwise(reversed(filters)))
        self.head = _CONV[dim](start_filters, classes, kernel_size=1)
        self.apply(_initialise)

    @property
    def size_divisor(self) -> int:
        """Product of the strides along each spatial axis."""
        return self.size_rule.divisor

    def forward(self, image: Tensor) -> Tensor:
        """Image to logits, shapes as in the class.

        Raises:
            ValueError: a spatial axis has a size that the strides do not divide.
        """
        self.size_rule.check("U-Net", image.shape[2:])
        skips: list[Tensor] = []
        features = self.down[0](image)
        for block in self.down[1:]:
            skips.append(features)
            features = block(self.pool(features))
        for block, skip in zip(self.up, reversed(skips), strict=True):
            features = block(features, skip)
        logits: Tensor = self.head(features)
        return logits


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def build(settings: UNetSettings, classes: int) -> UNet:
    """The network of its settings."""
    return UNet(**settings.model_dump(exclude={"name"}), classes=classes)
