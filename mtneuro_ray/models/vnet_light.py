"""VNetLight (Milletari et al. 2016, one level less), 3D."""

from __future__ import annotations

from typing import Literal

from mtneuro_ray.config.owners import ModelSettings
from mtneuro_ray.models.base import ModelDeclaration, SizeRule


class VNetLightSettings(ModelSettings):
    """Keys of VNetLight."""

    dim: Literal[3] = 3
    """Spatial axes."""


VNET_LIGHT = ModelDeclaration(
    name="VNetLight",
    summary="V-Net with one level less (Milletari et al. 2016), 3D",
    build="mtneuro_ray.models.nets.vnet_light:build",
    settings=VNetLightSettings,
    predicts=("voxel",),
    dims=(3,),
    sizes=SizeRule(8, 0, 8, norm_stride=8),
)
