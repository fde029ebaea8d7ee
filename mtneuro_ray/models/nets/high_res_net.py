"""HighResNet, which keeps the resolution throughout (Task 2)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from mtneuro_ray.models.base import Settings3D
from mtneuro_ray.models.dropout import GlobalChannelDropout

# Channels of the blocks and dilation of their convolutions (Li et al. 2017, figure 1).
_STAGES = ((16, 1), (32, 2), (64, 4))


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
