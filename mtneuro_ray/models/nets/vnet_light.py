"""VNetLight, a V-Net with one level less (Task 2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtneuro_ray.models.base import Settings3D
from mtneuro_ray.models.dropout import GlobalChannelDropout
from mtneuro_ray.models.volumetric import VNET_SIZES

_STEM_CHANNELS = 16


class _Residual(nn.Module):
    """`count` times (conv k5, norm, ELU) at constant width, plus the input: the residual function of a V-Net."""

    def __init__(self, channels: int, count: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = GlobalChannelDropout(dropout)
        self.convs = nn.Sequential(*(_conv_norm_elu(channels, channels) for _ in range(count)))
        self.activation = nn.ELU()

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.activation(self.convs(self.dropout(features)) + features)
        return out


class _Down(nn.Module):
    """Halves the resolution and doubles the channels."""

    def __init__(self, channels: int, count: int, dropout: float = 0.0) -> None:
        super().__init__()
        down = nn.Conv3d(channels, 2 * channels, kernel_size=2, stride=2)
        self.down = nn.Sequential(down, nn.BatchNorm3d(2 * channels), nn.ELU())
        self.residual = _Residual(2 * channels, count, dropout)

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.residual(self.down(features))
        return out


class _Up(nn.Module):
    """Doubles the resolution to `up` channels, joins as many of the skip."""

    def __init__(self, channels_in: int, up: int, count: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = GlobalChannelDropout(dropout)
        self.skip_dropout = GlobalChannelDropout(0.5)
        transposed = nn.ConvTranspose3d(channels_in, up, kernel_size=2, stride=2)
        self.up = nn.Sequential(transposed, nn.BatchNorm3d(up), nn.ELU())
        self.residual = _Residual(2 * up, count)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        up = self.up(self.dropout(features))
        out: Tensor = self.residual(torch.cat([up, self.skip_dropout(skip)], dim=1))
        return out


class VNetLight(nn.Module):
    """V-Net (Milletari et al. 2016) with ELU, batch norm and one level less, as MedicalZooPytorch lays it out.

    (B, C, Z, Y, X) -> logits (B, classes, Z, Y, X). At 1 channel and 4 classes it has 12,246,288 parameters.
    The masks of its dropout come from `set_dropout_key`.
    """

    def __init__(self, settings: Settings3D, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv5(settings.in_channels, _STEM_CHANNELS), nn.BatchNorm3d(_STEM_CHANNELS))
        self.stem_activation = nn.ELU()
        self.down = nn.ModuleList([_Down(16, count=1), _Down(32, count=2), _Down(64, count=3, dropout=0.5)])
        self.up = nn.ModuleList([_Up(128, 64, count=2, dropout=0.5), _Up(128, 32, count=1), _Up(64, 16, count=1)])
        self.head = nn.Sequential(_conv_norm_elu(32, classes), nn.Conv3d(classes, classes, kernel_size=1))

    def forward(self, image: Tensor) -> Tensor:
        """Image to logits, shapes as in the class.

        Raises:
            ValueError: a spatial axis has a size that the strides do not divide.
        """
        VNET_SIZES.check("VNetLight", image.shape[2:])
        repeats = _STEM_CHANNELS // image.shape[1]
        features = self.stem_activation(self.stem(image) + image.repeat(1, repeats, 1, 1, 1))
        skips: list[Tensor] = []
        for block in self.down:
            skips.append(features)
            features = block(features)
        for block, skip in zip(self.up, reversed(skips), strict=True):
            features = block(features, skip)
        logits: Tensor = self.head(features)
        return logits


def _conv5(channels_in: int, channels: int) -> nn.Conv3d:
    return nn.Conv3d(channels_in, channels, kernel_size=5, padding=2)


def _conv_norm_elu(channels_in: int, channels: int) -> nn.Sequential:
    return nn.Sequential(_conv5(channels_in, channels), nn.BatchNorm3d(channels), nn.ELU())
