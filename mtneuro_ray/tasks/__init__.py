"""Kinds of task: samples, targets, losses and metrics. Knows nothing of epochs, workers or files."""

from mtneuro_ray.registry import Registry
from mtneuro_ray.tasks.declaration import TaskDeclaration

TASKS = Registry(
    "tasks",
    TaskDeclaration,
    {
        "classification": "mtneuro_ray.tasks.declared:CLASSIFICATION",
        "segmentation": "mtneuro_ray.tasks.declared:SEGMENTATION",
        "readout": "mtneuro_ray.tasks.declared:READOUT",
    },
)
