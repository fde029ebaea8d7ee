"""Boxes spread over a volume, so that a look at it reads a bounded number of voxels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from mtneuro_ray import rng
from mtneuro_ray.progress import progress
from mtneuro_ray.roi import Range, Roi, Shape
from mtneuro_ray.volumes.source import VolumeSource, Voxels

# Thin along z: boxes of one layer share the planes that a reader of compressed pictures has decoded.
BOX_SHAPE: Shape = (8, 64, 64)
# Voxels of one read where everything is read.
_AT_ONCE = 2**22
_PATIENCE_S = 2.0


def spread_boxes(bounds: Roi, most_voxels: int, shape: Sequence[int] = BOX_SHAPE, seed: int = 0) -> list[Roi]:
    """Boxes in every part of `bounds`, which together hold at most `most_voxels`.

    Where `bounds` holds no more than that, the boxes tile it. Elsewhere it is divided into equal cells, and each has
    one box of `shape`, whose place within its cell depends on `seed` and the cell alone.

    Args:
        bounds: Part of the volume to look at.
        most_voxels: Upper bound of all boxes together, at least one box.
        shape: Voxels of a box along z, y, x; less where `bounds` is narrower.
        seed: Seed of the places.

    Returns:
        The boxes in the order z, y, x.
    """
    if bounds.num_voxels <= most_voxels:
        return list(bounds.split((max(1, _AT_ONCE // math.prod(bounds.shape[1:])), *bounds.shape[1:])))
    box = [min(side, whole) for side, whole in zip(shape, bounds.shape, strict=True)]
    cells = _grid(bounds.shape, box, max(1, most_voxels // math.prod(box)))
    edges = [
        np.linspace(start, stop, count + 1).astype(int).tolist()
        for (start, stop), count in zip(bounds.ranges, cells, strict=True)
    ]
    found = []
    for z in range(cells[0]):
        layer = _place(edges[0], z, box[0], rng.generator(seed, z, rng.Purpose.INSPECTION).random())
        for number in range(cells[1] * cells[2]):
            y, x = divmod(number, cells[2])
            step = 1 + cells[0] + z * cells[1] * cells[2] + number
            at_y, at_x = rng.generator(seed, step, rng.Purpose.INSPECTION).random(2)
            found.append(Roi(layer, _place(edges[1], y, box[1], at_y), _place(edges[2], x, box[2], at_x)))
    return found


def _grid(shape: Sequence[int], box: Sequence[int], most: int) -> list[int]:
    """Cells along z, y, x: at most `most`, none smaller than a box, as many along an axis as it has room for boxes."""
    room = [max(1, whole // side) for whole, side in zip(shape, box, strict=True)]
    cells = [1, 1, 1]
    while True:
        wider = [axis for axis in range(3) if cells[axis] < room[axis]]
        axis = max(wider, key=lambda axis: room[axis] / cells[axis], default=None)
        if axis is None or math.prod(cells) // cells[axis] * (cells[axis] + 1) > most:
            return cells
        cells[axis] += 1


def _place(edges: Sequence[int], cell: int, side: int, where: float) -> Range:
    start = edges[cell] + int(where * (edges[cell + 1] - edges[cell] - side + 1))
    return start, start + side


def read_boxes(source: VolumeSource, boxes: Sequence[Roi], what: str) -> Iterator[tuple[Roi, Voxels]]:
    """Each box with its voxels; on stderr, how far it is after two seconds and then every ten.

    Args:
        source: The volume.
        boxes: Boxes to read, in this order.
        what: Work that the boxes are read for, as in "looking at image.tif".

    Raises:
        SourceError: a box can't be read.
    """
    total = sum(box.num_voxels for box in boxes)
    with progress(what, total, "voxels", every_s=5 * _PATIENCE_S, patience_s=_PATIENCE_S) as advance:
        for box in boxes:
            yield box, source.read(box)
            advance(box.num_voxels)
