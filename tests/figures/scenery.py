"""Scenes with shapes that are easy to tell apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from mtneuro_ray.data.mosaic import EMPTY
from mtneuro_ray.data.store import Bytes
from mtneuro_ray.figures.scenes import Layer, Scene

FOUR = ("bg", "vessels", "cells", "axons")
THREE = ("bg+axons", "vessels", "cells")


def truth(depth: int = 6, side: int = 20) -> Bytes:
    """A vessel below, a cell at the upper left, axons at the right; slice 3 has all of them."""
    classes = np.zeros((depth, side, side), np.uint8)
    classes[:, side - 4 : side - 1, :] = 1
    classes[2:5, 2:7, 2:7] = 2
    classes[3, 2:12, 12:18] = 3
    return classes


def layer(classes: tuple[str, ...] = FOUR, **changes: Any) -> Layer:
    values = truth()
    if len(classes) == 3:
        values[values == 3] = 0
    predicted = values.copy()
    predicted[5] = EMPTY
    fields = {"setting": f"task_{len(classes)}class", "classes": classes, "truth": values, "predicted": predicted}
    return Layer(**{**fields, **changes})


def scene(*layers: Layer, **changes: Any) -> Scene:
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
