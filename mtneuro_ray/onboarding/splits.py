"""Train, val and test boxes of a volume, apart from each other, with every class in each where the data allow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mtneuro_ray.config.task import SPLITS, Split
from mtneuro_ray.roi import Range, Roi, Shape

# Orders of the parts along the axis that is cut; the first are simplest. In the later ones a split has two parts.
_ORDERS: tuple[tuple[Split, ...], ...] = (
    ("train", "val", "test"),
    ("test", "train", "val"),
    ("val", "train", "test"),
    ("train", "test", "val"),
    ("val", "test", "train"),
    ("test", "val", "train"),
    ("train", "val", "train", "test"),
    ("val", "train", "test", "train"),
    ("test", "train", "val", "train"),
    ("train", "test", "train", "val"),
    ("train", "val", "train", "test", "train"),
    ("train", "test", "train", "val", "train"),
)
# Shares of train, val and test of the length of the axis.
_SHARES = ((0.7, 0.15, 0.15), (0.6, 0.2, 0.2), (0.8, 0.1, 0.1), (0.5, 0.25, 0.25), (0.4, 0.3, 0.3))

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Plan:
    """Boxes of the three splits.

    Attributes:
        axis: The axis that the boxes divide: 0, 1 or 2 for z, y, x.
        gap: Voxels between the boxes along it.
        parts: Splits with their boxes, in the order along the axis.
        counts: Split -> voxels of each class that were counted in its slices, (classes,).
    """

    axis: int
    gap: int
    parts: tuple[tuple[Split, Roi], ...]
    counts: dict[Split, Counts]

    def missing(self) -> list[tuple[Split, int]]:
        """Splits with the index of each class of which they have no voxel."""
        return [(split, int(n)) for split in SPLITS for n in np.flatnonzero(self.counts[split] == 0)]


def plan_splits(bounds: Roi, tile: Shape, gaps: Sequence[int], counts: Sequence[Counts], origin: Shape) -> Plan | None:
    """The best division of a box into train, val and test along one axis.

    Best is, in this order: the gap in full, the fewest (split, class) without a voxel, the most even shares of the
    rarest class, and the most tiles.

    Args:
        bounds: The box to divide.
        tile: Voxels of an image along z, y, x; every part holds whole images.
        gaps: Voxels to leave between parts, for each axis.
        counts: For z, y, x: voxels of each class in each slice across the axis, (slices, classes).
        origin: Voxel of the volume that the first slices of `counts` are at.

    Returns:
        The plan; None where no axis has room for three parts.
    """
    found = [
        plan
        for axis in range(3)
        for gap in sorted({gaps[axis], max(1, gaps[axis] // 2), 1}, reverse=True)
        for plan in _along(axis, bounds, tile, gap, counts[axis], origin[axis])
    ]
    return min(found, key=lambda plan: _cost(plan, tile, gaps), default=None)


def _cost(plan: Plan, tile: Shape, gaps: Sequence[int]) -> tuple[float, ...]:
    total = np.maximum(1, np.sum([*plan.counts.values()], axis=0))
    uneven = max(
        float(np.abs(np.log(np.maximum(plan.counts[split] / total, 1e-3) / share)).max())
        for split, share in zip(SPLITS, _SHARES[0], strict=True)
    )
    return (
        gaps[plan.axis] - plan.gap,
        len(plan.missing()),
        len(plan.parts) > len(SPLITS),
        round(2 * uneven),
        -sum(count_tiles(box, tile) for _, box in plan.parts),
    )


def count_tiles(box: Roi, tile: Shape) -> int:
    """Images that a box holds side by side."""
    return math.prod(side // step for side, step in zip(box.shape, tile, strict=True))


def _along(axis: int, bounds: Roi, tile: Shape, gap: int, counts: Counts, origin: int) -> Iterator[Plan]:
    if any(side < step for side, step in zip(bounds.shape, tile, strict=True)):
        return
    start, stop = bounds.ranges[axis]
    for order in _ORDERS:
        room = stop - start - gap * (len(order) - 1)
        for shares in _SHARES:
            ranges = _ranges(start, room, gap, order, shares, tile[axis])
            if ranges is None:
                continue
            parts = tuple((split, _box(bounds, axis, each, tile)) for split, each in zip(order, ranges, strict=True))
            within = {split: np.zeros(counts.shape[1], np.int64) for split in SPLITS}
            for split, (first, last) in zip(order, ranges, strict=True):
                within[split] += counts[first - origin : last - origin].sum(axis=0)
            yield Plan(axis, gap, parts, within)


def _ranges(
    start: int, room: int, gap: int, order: Sequence[Split], shares: Sequence[float], tile: int
) -> list[Range] | None:
    """Ranges of whole tiles along an axis, with at least one tile each; None where they do not fit."""
    tiles = room // tile
    if tiles < len(order):
        return None
    wanted = [shares[SPLITS.index(split)] / order.count(split) * tiles for split in order]
    lengths = [max(1, math.floor(each)) for each in wanted]
    while sum(lengths) > tiles:
        lengths[lengths.index(max(lengths))] -= 1
    largest = max(range(len(order)), key=lambda n: wanted[n] - lengths[n])
    while sum(lengths) < tiles:
        lengths[largest] += 1
        largest = max(range(len(order)), key=lambda n: wanted[n] - lengths[n])
    ranges = []
    for length in lengths:
        ranges.append((start, start + length * tile))
        start += length * tile + gap
    return ranges


def _box(bounds: Roi, axis: int, along: Range, tile: Shape) -> Roi:
    """The part of the bounds between two places of an axis, cut to whole tiles around the middle of the others."""
    ranges = []
    for other, ((start, stop), side) in enumerate(zip(bounds.ranges, tile, strict=True)):
        whole = (stop - start) // side * side
        first = start + (stop - start - whole) // 2
        ranges.append(along if other == axis else (first, first + whole))
    return Roi(*ranges)


def shrunk(bounds: Roi, tile: Shape, most_voxels: int, counts: Sequence[Counts], origin: Shape) -> Roi:
    """The bounds, halved along their longest axis with room for two images until they hold at most `most_voxels`.

    The half that is kept has more of the class that is rarer in it than in the other, so that rare classes stay.

    Args:
        bounds: The box to shrink.
        tile: Voxels of an image along z, y, x.
        most_voxels: Upper bound of the voxels.
        counts: As of `plan_splits`.
        origin: As of `plan_splits`.
    """
    while bounds.num_voxels > most_voxels:
        sides = [side if side >= 2 * step else 0 for side, step in zip(bounds.shape, tile, strict=True)]
        axis = sides.index(max(sides))
        if not sides[axis]:
            break
        start, stop = bounds.ranges[axis]
        middle = start + round(sides[axis] / tile[axis] / 2) * tile[axis]
        lower, upper = (
            counts[axis][first - origin[axis] : last - origin[axis]].sum(axis=0)
            for first, last in ((start, middle), (middle, stop))
        )
        total = np.maximum(1, lower + upper)
        keep = (start, middle) if (lower / total).min() >= (upper / total).min() else (middle, stop)
        bounds = Roi(*(keep if other == axis else each for other, each in enumerate(bounds.ranges)))
    return bounds
