"""Small settings and records that tests start from, and change one key of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.config.run import Role, RunSettings
from mtneuro_ray.config.task import TaskSettings

SHARED = Path(__file__).parents[2] / "shared"
NO_SHARED = "the public files lie beside this checkout only where they were put there"


def cube(region: str = "A", split: str = "train", z: Any = (0, 4), **changes: Any) -> dict[str, Any]:
    return {"region": region, "label": 0, "split": split, "z": list(z), "y": [0, 16], "x": [0, 16], **changes}


def task_values(kind: str = "segmentation", **changes: Any) -> dict[str, Any]:
    """One region, 16 x 16 tiles; 4, 2 and 2 slices."""
    return {
        "name": "small",
        "task": kind,
        "image_chan": "file:image.npy",
        "annotation_chan": "file:labels.npy",
        "classes": ["bg", "vessels", "cells"],
        "tile_size": [16, 16],
        "cubes": [cube(), cube(split="val", z=(5, 7)), cube(split="test", z=(8, 10))],
        **changes,
    }


def network_values(**changes: Any) -> dict[str, Any]:
    return {
        "name": "net_3class",
        "model": "UNet",
        "classes": 3,
        "n_blocks": 2,
        "start_filters": 4,
        "learning_rate": 0.01,
        "epochs": 2,
        "batch_size": 2,
        **changes,
    }


def task_settings(kind: str = "segmentation", **changes: Any) -> TaskSettings:
    return TaskSettings.load(task_values(kind, **changes), "task.json")


def network_settings(**changes: Any) -> NetworkSettings:
    return NetworkSettings.load(network_values(**changes), "network.json")


def run_settings(
    task: dict[str, Any] | None = None,
    network: dict[str, Any] | None = None,
    role: Role = "final",
    data: tuple[str, ...] = ("file:image", "file:labels"),
) -> RunSettings:
    return RunSettings(
        task=task_settings(**(task or {})), network=network_settings(**(network or {})), role=role, data=data
    )


def write_json(path: Path, values: Any) -> str:
    path.write_text(json.dumps(values))
    return str(path)
