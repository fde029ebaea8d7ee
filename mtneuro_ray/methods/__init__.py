"""Methods: the ways a model learns, each with its settings and its declaration. `training` holds what they compute."""

from mtneuro_ray.methods.base import MethodDeclaration
from mtneuro_ray.registry import Registry

METHODS = Registry(
    "methods",
    MethodDeclaration,
    {
        "supervised": "mtneuro_ray.methods.supervised:SUPERVISED",
        "byol": "mtneuro_ray.methods.byol:BYOL",
        "myow": "mtneuro_ray.methods.myow:MYOW",
        "myowmerged": "mtneuro_ray.methods.myow:MYOW_MERGED",
        "decomposition": "mtneuro_ray.methods.frozen:DECOMPOSITION",
        "random": "mtneuro_ray.methods.frozen:RANDOM",
    },
)
