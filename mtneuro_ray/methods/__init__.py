"""Methods: the ways a model learns, each with its declaration."""

from mtneuro_ray.methods.base import MethodDeclaration
from mtneuro_ray.registry import Registry

METHODS = Registry(
    "methods",
    MethodDeclaration,
    {
        "supervised": "mtneuro_ray.methods.declared:SUPERVISED",
        "byol": "mtneuro_ray.methods.declared:BYOL",
        "myow": "mtneuro_ray.methods.declared:MYOW",
        "myowmerged": "mtneuro_ray.methods.declared:MYOW_MERGED",
        "decomposition": "mtneuro_ray.methods.declared:DECOMPOSITION",
    },
)
