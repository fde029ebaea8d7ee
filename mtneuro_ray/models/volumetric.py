"""Networks for volumes: VNetLight and HighResNet."""

from __future__ import annotations

from mtneuro_ray.models.base import ModelDeclaration, Settings3D, SizeRule

VNET_SIZES = SizeRule(8, 0, 8, norm_stride=8)
VNET_LIGHT = ModelDeclaration(
    name="VNetLight",
    summary="V-Net with one level less (Milletari et al. 2016), 3D",
    build="mtneuro_ray.models.nets.volumetric:VNetLight",
    settings=Settings3D,
    predicts=("voxel",),
    dims=(3,),
    sizes=VNET_SIZES,
    parameters=12.2e6,
)
HIGH_RES_NET = ModelDeclaration(
    name="HighResNet",
    summary="HighResNet with dilated residual blocks (Li et al. 2017), 3D",
    build="mtneuro_ray.models.nets.volumetric:HighResNet",
    settings=Settings3D,
    predicts=("voxel",),
    dims=(3,),
    sizes=SizeRule(norm_stride=1),
    parameters=0.81e6,
)
