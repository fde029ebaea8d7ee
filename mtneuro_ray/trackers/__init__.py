"""Trackers: TensorBoard, MLflow, Weights & Biases and Aim, filled from run files, during a sweep and afterwards."""

from mtneuro_ray.registry import Registry
from mtneuro_ray.trackers.base import TrackerDeclaration

TRACKERS = Registry(
    "trackers",
    TrackerDeclaration,
    {
        "tensorboard": "mtneuro_ray.trackers.tensorboard:TENSORBOARD",
        "mlflow": "mtneuro_ray.trackers.mlflow:MLFLOW",
        "wandb": "mtneuro_ray.trackers.wandb:WANDB",
        "aim": "mtneuro_ray.trackers.aim:AIM",
    },
)
