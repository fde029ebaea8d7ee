"""A segmentation model: dilated convolutions at full resolution (after Yu & Koltun 2016), in 2D."""

from typing import Annotated

from pydantic import Field
from torch import nn

from mtneuro_ray.config.owners import ModelSettings
from mtneuro_ray.models.base import ModelDeclaration


class DilatedNetSettings(ModelSettings):
    """Keys of the model; `mtneuro-ray list models DilatedNet` prints them."""

    width: Annotated[int, Field(ge=1, le=1024)] = 16
    """Channels of every layer."""
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    """Dilation of each 3x3 convolution."""


def build(settings: DilatedNetSettings, classes: int) -> nn.Module:
    """The network: images (B, C, Y, X) -> logits (B, classes, Y, X)."""
    layers: list[nn.Module] = []
    channels = settings.in_channels
    for dilation in settings.dilations:
        layers += [nn.Conv2d(channels, settings.width, 3, padding=dilation, dilation=dilation)]
        layers += [nn.BatchNorm2d(settings.width), nn.ReLU(inplace=True)]
        channels = settings.width
    return nn.Sequential(*layers, nn.Conv2d(channels, classes, 1))


DILATED_NET = ModelDeclaration(
    name="DilatedNet",
    summary="Dilated convolutions at full resolution (after Yu & Koltun 2016)",
    build=build,
    settings=DilatedNetSettings,
    predicts=("voxel",),
)
