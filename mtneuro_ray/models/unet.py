"""U-Net (Ronneberger et al. 2015), in 2D and 3D."""

from __future__ import annotations

from dataclasses import replace
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


def unet_size_rule(n_blocks: int = 4, conv_mode: str = "same") -> SizeRule:
    """Which image sizes a U-Net accepts.

    In "valid" mode each block takes 4 pixels off an axis before the next pooling halves it; every pooling must meet an
    even size (Ronneberger et al. 2015, section 2), and at least one pixel must come out at the end.
    """
    divisor = 2 ** (n_blocks - 1)
    if conv_mode == "same":
        return SizeRule(divisor, offset=0, smallest=divisor)
    # Each step up makes 2n - 4 of n: walk from an output of one pixel or more to the lowest level.
    lowest = 1
    for _ in range(n_blocks - 1):
        lowest = (lowest + 5) // 2
    return SizeRule(divisor, offset=-4, smallest=divisor * (lowest + 8) - 4)


def _sizes(settings: UNetSettings) -> SizeRule:
    rule = unet_size_rule(settings.n_blocks, settings.conv_mode)
    return replace(rule, norm_stride=rule.divisor) if settings.normalization == "batch" else rule


UNET = ModelDeclaration(
    name="UNet",
    summary="U-Net (Ronneberger et al. 2015), 2D or 3D",
    build="mtneuro_ray.models.nets.unet:build",
    settings=UNetSettings,
    predicts=("voxel",),
    dims=(2, 3),
    sizes=_sizes,
)
