"""A segmentation and a classification task small enough to train in seconds, from files made on the spot."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SHAPE = (24, 40, 80)
_SPLITS = {"train": [0, 12], "val": [13, 18], "test": [19, 24]}
_REGIONS = {"left": [0, 32], "right": [40, 72]}


@dataclass(frozen=True)
class Tiny:
    """Paths of a task, a network and a tune space."""

    task: Path
    network: Path
    space: Path
    image: Path
    labels: Path


def write_tiny(folder: Path, *, kind: str = "segmentation", axes: str = "", tile: int = 16, **network: Any) -> Tiny:
    """Volumes with bright discs on noise, a task over them, a small network and a 2 x 2 space with two seeds."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(7)
    labels = np.zeros(SHAPE, np.uint8)
    labels[:, 8:20, 4:20] = 1
    labels[:, 16:30, 50:66] = 2
    labels[::2, 2:6, :] = 1
    image = np.clip(60 + 50 * labels + random.normal(0, 12, SHAPE), 0, 255).astype(np.uint8)
    np.save(folder / "image.npy", image)
    np.save(folder / "labels.npy", labels)
    classes = ["bg", "one", "two"] if kind == "segmentation" else list(_REGIONS)
    task = {
        "name": f"tiny_{kind}",
        "task": kind,
        "image_chan": "file:image.npy",
        "annotation_chan": "file:labels.npy",
        "classes": classes,
        "tile_size": [tile, tile],
        "cubes": [
            {"region": region, "label": label, "split": split, "z": z, "y": [4, 36], "x": x}
            for split, z in _SPLITS.items()
            for label, (region, x) in enumerate(_REGIONS.items())
        ],
    }
    model: dict[str, Any] = (
        {"model": "UNet", "n_blocks": 2, "start_filters": 4} if kind == "segmentation" else {"model": "ResNet-18"}
    )
    settings = {**model, "classes": len(classes), "learning_rate": 0.01, "epochs": 2, "batch_size": 16, **network}
    for name, values in (("task", task), ("network", settings)):
        (folder / f"{name}.json").write_text(json.dumps(values))
    axes = axes or "axes.learning_rate = [0.01, 0.001]\naxes.batch_size = [16, 32]"
    paths = Tiny(*(folder / name for name in ("task.json", "network.json", "space.toml", "image.npy", "labels.npy")))
    pair = f'task = "{paths.task}"\nnetwork = "{paths.network}"\n'
    paths.space.write_text(f"{pair}seeds = [1, 100]\n\n[search]\n{axes}\n")
    return paths
