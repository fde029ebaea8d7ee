"""Kinds of task, each with its declaration: samples, targets and metrics. `training` holds what they compute."""

from mtneuro_ray.registry import Registry
from mtneuro_ray.tasks.base import TaskDeclaration

TASKS = Registry(
    "tasks",
    TaskDeclaration,
    {
        "classification": "mtneuro_ray.tasks.kinds:CLASSIFICATION",
        "segmentation": "mtneuro_ray.tasks.kinds:SEGMENTATION",
        "readout": "mtneuro_ray.tasks.kinds:READOUT",
    },
)
