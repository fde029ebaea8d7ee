"""U-Net (Ronneberger et al. 2015), in 2D and 3D."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field

from mtneuro_ray.config.base import Positive
from mtneuro_ray.config.owners import ModelSettings
from mtneuro_ray.errors import InputError
from mtneuro_ray.models.base import ModelDeclaration, SizeRule


class UNetSettings(ModelSettings):
    """Keys of the U-Net (paper, section 4.2; MODELS, U-Net)."""

    n_blocks: Annotated[int, Field(ge=2, le=8)] = 4
    """Resolutions, each half of the one before."""
    start_filters: Positive = 32
    """Channels at full resolution; twice as many at each block below."""
    activation: Literal["relu", "leaky", "elu"] = "relu"
    """Activation after each convolution."""
    normalization: str = Field(default="batch", pattern=r"^(batch|instance|none|group[1-9]\d{0,5})$")
    """Normalization after each activation: batch, instance, none, or group with a number of groups, as group4."""
    conv_mode: Literal["same", "valid"] = "same"
    """Padding of convolutions: "valid" has none and shrinks the prediction, which is scored on its centre."""

    def check(self, where: str) -> None:
        """Check that groups divide the channels."""
        groups = self.normalization.removeprefix("group")
        if groups.isdecimal() and self.start_filters % int(groups):
            raise InputError(
                f"{where}: model.normalization: {groups} groups do not divide {self.start_filters} start_filters; "
                "accepted: a divisor"
            )


def unet_sizes(settings: UNetSettings) -> SizeRule:
    """Image sizes that a U-Net accepts.

    In "valid" mode each block takes 4 pixels off an axis before the next pooling halves it; every pooling must meet an
    even size (Ronneberger et al. 2015, section 2), and at least one pixel must come out at the end.
    """
    divisor = 2 ** (settings.n_blocks - 1)
    norm_stride = divisor if settings.normalization == "batch" else 0
    if settings.conv_mode == "same":
        return SizeRule(divisor, 0, divisor, norm_stride)
    # Each step up makes 2n - 4 of n: walk from an output of one pixel or more to the lowest level.
    lowest = 1
    for _ in range(settings.n_blocks - 1):
        lowest = (lowest + 5) // 2
    return SizeRule(divisor, -4, divisor * (lowest + 8) - 4, norm_stride)


def unet_parameters(settings: UNetSettings) -> float:
    """Weights of the convolutions: two of 3 pixels a side at each block and each step up, and one of 2 pixels up."""
    channels: list[int] = [settings.start_filters * 2**block for block in range(settings.n_blocks)]
    kernel, step_up = float(3**settings.dim), float(2**settings.dim)
    down = sum(kernel * width * (below + width) for below, width in pairwise([settings.in_channels, *channels]))
    return down + sum((3 * kernel + 2 * step_up) * width**2 for width in channels[:-1])


UNET = ModelDeclaration(
    name="UNet",
    summary="U-Net (Ronneberger et al. 2015), 2D or 3D",
    build="mtneuro_ray.models.nets.unet:UNet",
    settings=UNetSettings,
    predicts=("voxel",),
    dims=(2, 3),
    sizes=unet_sizes,
    parameters=unet_parameters,
)
