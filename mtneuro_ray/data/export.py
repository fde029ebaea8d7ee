"""A task's splits as NumPy files, for other frameworks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from mtneuro_ray.config.task import Split, TaskSettings
from mtneuro_ray.data.class_labels import IGNORED
from mtneuro_ray.data.samples import SplitArrays

Format = Literal["npz", "npy"]
_ARRAYS = ("images", "masks", "labels", "regions", "targets")


def export_splits(
    task: TaskSettings, data: Mapping[Split, SplitArrays], folder: Path, kind: Format = "npz"
) -> list[Path]:
    """Write the arrays of each split, and `task.json`, which describes them; return the files.

    `SPLIT.npz`, or `SPLIT_ARRAY.npy`, with the arrays "images" (N, C, Z, Y, X), "labels" (N,) int64, "regions" (N,)
    int64, and where the task has them "masks" (N, Z, Y, X) uint8, 255 where a voxel is ignored, and "targets" (N, 4, A)
    float64.

    Args:
        task: Task of the splits.
        data: The splits.
        folder: Folder of the files; files of the same names are replaced.
        kind: One file per split, or one per array, which can be memory-mapped.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    shapes: dict[str, dict[str, list[int]]] = {}
    for split, arrays in data.items():
        own = {name: array for name in _ARRAYS if (array := getattr(arrays, name)) is not None}
        shapes[split] = {name: list(array.shape) for name, array in own.items()}
        if kind == "npz":
            written.append(folder / f"{split}.npz")
            np.savez_compressed(written[-1], allow_pickle=False, **own)
        else:
            for name, array in own.items():
                written.append(folder / f"{split}_{name}.npy")
                np.save(written[-1], array)
    about = {
        "task": task.model_dump(mode="json"),
        "axes": {"images": "N, C, Z, Y, X", "masks": "N, Z, Y, X", "labels": "N", "regions": "N"},
        "classes": list(task.classes),
        **({"ignored": IGNORED} if task.ignoring else {}),
        "regions": list(next(iter(data.values())).region_names),
        "shapes": shapes,
    }
    written.append(folder / "task.json")
    written[-1].write_text(json.dumps(about, indent=1))
    return written
