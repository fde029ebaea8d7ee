"""Scenes with shapes that are easy to tell apart, and what else figures are drawn from."""

from __future__ import annotations

from typing import Any

import numpy as np

from mtneuro_ray.data.embeddings import About, Embeddings
from mtneuro_ray.data.mined_views import Views
from mtneuro_ray.data.mosaic import EMPTY
from mtneuro_ray.data.store import Bytes
from mtneuro_ray.results.charts.scenes import Scene, SceneLayer

FOUR = ("bg", "vessels", "cells", "axons")
THREE = ("bg+axons", "vessels", "cells")


def truth(depth: int = 6, side: int = 20) -> Bytes:
    """A vessel below, a cell at the upper left, axons at the right; slice 3 has all of them."""
    classes = np.zeros((depth, side, side), np.uint8)
    classes[:, side - 4 : side - 1, :] = 1
    classes[2:5, 2:7, 2:7] = 2
    classes[3, 2:12, 12:18] = 3
    return classes


def layer(classes: tuple[str, ...] = FOUR, **changes: Any) -> SceneLayer:
    values = truth()
    if len(classes) == 3:
        values[values == 3] = 0
    predicted = values.copy()
    predicted[5] = EMPTY
    fields = {"task": f"task_{len(classes)}class", "classes": classes, "truth": values, "predicted": predicted}
    return SceneLayer(**{**fields, **changes})


def scene(*layers: SceneLayer, **changes: Any) -> Scene:
    values: dict[str, Any] = {
        "model": "net",
        "region": "CTX",
        "split": "test",
        "offset": (420, 10, 30),
        "step": (1, 2, 2),
        "voxel_size_um": 1.17,
        "image": np.full((6, 20, 20), 100, np.uint8),
        "layers": layers or (layer(THREE), layer()),
    }
    return Scene(**{**values, **changes})


def examples(images: int = 2, shown: int = 3) -> Views:
    """Noise in crops of 8 pixels of images of 16."""
    random = np.random.default_rng(3)
    return Views(
        regions=np.array(["CTX", "STR"])[:images],
        images=random.integers(0, 255, (images, 16, 16), np.uint8),
        corners=np.array([[[0, 4], [8, 8]], [[2, 2], [3, 5]]])[:images],
        views=random.integers(0, 255, (images, 2, 8, 8), np.uint8),
        pool_regions=np.array([["CTX", "STR", "VP"], ["VP", "VP", "CTX"]])[:images, :shown],
        pool=random.integers(0, 255, (images, shown, 8, 8), np.uint8),
        cosines=np.array([[0.9, 0.5, -0.25], [1.0, 0.75, 0.5]], np.float32)[:images, :shown],
        pool_size=np.array([128]),
    )


def embeddings(run_id: str = "run", *, task: str = "task3", network: str = "SSL_MYOW", count: int = 40) -> Embeddings:
    """Two regions; the attributes of a corner are its number, times 1 to 5."""
    random = np.random.default_rng(4)
    return Embeddings(
        about=About(run_id, "train", network, 1, task, task.replace("3", "1", 1), ("phantom:image", "phantom:labels")),
        regions=np.repeat(["CTX", "STR"], count // 2),
        splits=np.repeat("train", count),
        corners=np.arange(count) % 4,
        origins=np.zeros((count, 3), np.int64),
        targets=np.outer(np.arange(count), np.arange(1, 6)).astype(np.float64),
        vectors=random.normal(size=(count, 6)).astype(np.float32),
    )
