"""ResNet-18 for small X-ray tiles (Tasks 1 and 3)."""

from __future__ import annotations

import torchvision
from torch import Tensor, nn

from mtneuro_ray.models.dropout import GlobalDropout
from mtneuro_ray.models.encoders import FEATURES, ResNet18Settings


def resnet18_encoder(in_channels: int = 1) -> nn.Module:
    """ResNet-18 (He et al. 2016) without its classifier: (B, C, Y, X) -> (B, 512).

    As in the MTNeuro paper (section 4.1) the stem is a 3x3 convolution of stride 1 without bias, and there is no
    max-pool, so that tiles of 32 or 64 pixels keep their resolution.
    """
    encoder: nn.Module = torchvision.models.resnet18(weights=None)
    stem = nn.Conv2d(in_channels, 64, kernel_size=3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    encoder.conv1 = stem
    encoder.maxpool = nn.Identity()
    encoder.fc = nn.Identity()
    return encoder


class EncoderClassifier(nn.Module):
    """Encoder (B, C, Y, X) -> (B, F), projection to `latent_dim` or none, dropout, and a linear head -> (B, classes).

    The masks of its dropout come from `set_dropout_key`.
    """

    def __init__(self, encoder: nn.Module, features: int, classes: int, dropout: float, latent_dim: int | None) -> None:
        super().__init__()
        self.encoder = encoder
        self.projection = nn.Identity() if latent_dim is None else nn.Linear(features, latent_dim)
        self.dropout = GlobalDropout(dropout)
        self.head = nn.Linear(latent_dim or features, classes)

    def features(self, image: Tensor) -> Tensor:
        """Input of the last layer, without dropout: (B, C, Y, X) -> (B, latent_dim or F)."""
        projected: Tensor = self.projection(self.encoder(image))
        return projected

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, Y, X) -> logits (B, classes)."""
        logits: Tensor = self.head(self.dropout(self.features(image)))
        return logits


def build(settings: ResNet18Settings, classes: int) -> EncoderClassifier:
    """The supervised network of Task 1 (MTNeuro paper, section 4.1)."""
    encoder = resnet18_encoder(settings.in_channels)
    return EncoderClassifier(encoder, FEATURES, classes, settings.dropout, settings.latent_dim)
