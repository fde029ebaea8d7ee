"""Networks for volumes (Task 2): VNetLight, a V-Net with one level less, and HighResNet, which keeps the resolution."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtneuro_ray.models.base import Settings3D
from mtneuro_ray.models.dropout import GlobalChannelDropout
from mtneuro_ray.models.volumetric import VNET_SIZES

_STEM_CHANNELS = 16
# Channels of the blocks and dilation of their convolutions (Li et al. 2017, figure 1).
_STAGES = ((16, 1), (32, 2), (64, 4))


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
        repeats = -(-_STEM_CHANNELS // image.shape[1])
        repeated = image.repeat(1, repeats, 1, 1, 1)[:, :_STEM_CHANNELS]
        features = self.stem_activation(self.stem(image) + repeated)
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


class HighResNet(nn.Module):
    """HighResNet (Li et al. 2017), as MedicalZooPytorch lays it out: dilated convolutions instead of pooling.

    (B, C, Z, Y, X) -> logits (B, classes, Z, Y, X), for any sizes. At 1 channel and 4 classes it has 809,876
    parameters. The masks of its dropout come from `set_dropout_key`. Each block reads the sum of the outputs of the two
    blocks before it; where these differ in channels, zeros are added to both sides of the narrower one.
    """

    def __init__(self, settings: Settings3D, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv3d(settings.in_channels, 16, kernel_size=3, padding=1)
        self.stem_norm = _norm_relu(16)
        self.blocks = nn.ModuleList()
        channels_in = 16
        for channels, dilation in _STAGES:
            for _ in range(3):
                self.blocks.append(_block(channels_in, channels, dilation))
                channels_in = channels
        self.widen = nn.Conv3d(64, 80, kernel_size=1)
        self.dropout = GlobalChannelDropout(0.5)
        self.head = nn.Sequential(_norm_relu(80), nn.Conv3d(80, classes, kernel_size=1))

    def forward(self, image: Tensor) -> Tensor:
        """Image to logits, shapes as in the class."""
        features = self.stem(image)
        # The input of the first block lacks the norm; the tensor that is added to its output has it.
        earlier, latest = self.stem_norm(features), self.blocks[0](features)
        for block in self.blocks[1:]:
            earlier, latest = latest, block(latest + _padded(earlier, latest.shape[1]))
        logits: Tensor = self.head(self.dropout(self.widen(latest + earlier)))
        return logits


def _norm_relu(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm3d(channels), nn.ReLU())


def _block(channels_in: int, channels: int, dilation: int) -> nn.Sequential:
    """Two pre-activation units of norm, ReLU and a 3x3x3 convolution."""
    layers: list[nn.Module] = []
    for before in (channels_in, channels):
        layers.append(_norm_relu(before))
        layers.append(nn.Conv3d(before, channels, kernel_size=3, padding=dilation, dilation=dilation))
    return nn.Sequential(*layers)


def _padded(features: Tensor, channels: int) -> Tensor:
    """(B, c, ...) with zero channels, half on each side, up to `channels`."""
    side = (channels - features.shape[1]) // 2
    return F.pad(features, (0, 0, 0, 0, 0, 0, side, side)) if side else features
