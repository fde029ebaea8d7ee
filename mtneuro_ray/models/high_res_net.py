"""HighResNet (Li et al. 2017), 3D."""

from __future__ import annotations

from typing import Literal

from mtneuro_ray.config.owners import ModelSettings
from mtneuro_ray.models.base import ModelDeclaration, SizeRule


class HighResNetSettings(ModelSettings):
    """Keys of HighResNet."""

    dim: Literal[3] = 3
    """Spatial axes."""


HIGH_RES_NET = ModelDeclaration(
    name="HighResNet",
    summary="HighResNet with dilated residual blocks (Li et al. 2017), 3D",
    build="mtneuro_ray.models.nets.high_res_net:build",
    settings=HighResNetSettings,
    predicts=("voxel",),
    dims=(3,),
    sizes=SizeRule(norm_stride=1),
)
