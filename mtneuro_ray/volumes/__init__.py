"""Volumes: where voxels come from. One contract, and one declaration for each URI scheme."""

from mtneuro_ray.registry import Registry
from mtneuro_ray.volumes.schemes import VolumeDeclaration

VOLUMES = Registry(
    "volumes",
    VolumeDeclaration,
    {
        "phantom": "mtneuro_ray.volumes.schemes:PHANTOM",
        "bossdb": "mtneuro_ray.volumes.schemes:BOSSDB",
        "file": "mtneuro_ray.volumes.schemes:FILE",
        "zarr": "mtneuro_ray.volumes.schemes:ZARR",
        "n5": "mtneuro_ray.volumes.schemes:N5",
        "precomputed": "mtneuro_ray.volumes.schemes:PRECOMPUTED",
    },
)
