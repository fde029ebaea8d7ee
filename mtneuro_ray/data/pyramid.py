"""Levels of a pyramid: their sizes, and how pixels of one become a pixel of the next."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mtneuro_ray.roi import Roi, Shape

Bytes = npt.NDArray[np.uint8]
Values = npt.NDArray[Any]

# A level that has no longer side than this is the last.
SMALLEST_SIDE = 256
_MOST_LEVELS = 24


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of an image, z, y, x.

    A pixel `i` of an axis covers the pixels `i * factor` to `(i + 1) * factor` of the finest level, as far as the image
    reaches, so levels lie exactly over each other whatever the image's offset.

    Attributes:
        factor: Pixels of the finest level that one pixel covers.
        offset: Place of the first pixel on the level's grid.
        shape: Number of pixels.
    """

    factor: Shape
    offset: Shape
    shape: Shape

    def finer(self, roi: Roi, below: Level) -> tuple[Roi, list[tuple[int, int]]]:
        """The part of the next finer level that a part of this one covers, and the pixels that it lacks at its ends.

        Both parts are relative to their levels.
        """
        ranges, lacking = [], []
        for axis, (low, high) in enumerate(roi.ranges):
            step = self.factor[axis] // below.factor[axis]
            first, last = ((edge + self.offset[axis]) * step - below.offset[axis] for edge in (low, high))
            ranges.append((max(0, first), min(below.shape[axis], last)))
            lacking.append((max(0, -first), max(0, last - below.shape[axis])))
        return Roi(*ranges), lacking


def levels_of(offset: Shape, shape: Shape, pixel_size: tuple[float, float, float]) -> list[Level]:
    """Levels from the finest on, until the longest side is at most `SMALLEST_SIDE` pixels.

    Each level halves the axes whose pixels are less than twice as long as the shortest, so pixels become cubes first.
    """
    levels = [Level((1, 1, 1), offset, shape)]
    while max(levels[-1].shape) > SMALLEST_SIDE and len(levels) < _MOST_LEVELS:
        last = levels[-1]
        sizes = [size * factor for size, factor in zip(pixel_size, last.factor, strict=True)]
        steps = [2 if size < 2 * min(sizes) else 1 for size in sizes]
        levels.append(_coarser(last, (steps[0], steps[1], steps[2])))
    return levels


def _coarser(level: Level, steps: Shape) -> Level:
    factor = [old * step for old, step in zip(level.factor, steps, strict=True)]
    offset = [first // step for first, step in zip(level.offset, steps, strict=True)]
    shape = [
        -(-(first + side) // step) - start
        for first, side, step, start in zip(level.offset, level.shape, steps, offset, strict=True)
    ]
    z, y, x = zip(factor, offset, shape, strict=True)
    return Level((z[0], y[0], x[0]), (z[1], y[1], x[1]), (z[2], y[2], x[2]))


def reduced(pixels: Values, lacking: list[tuple[int, int]], steps: Shape, *, classes: bool) -> Values:
    """Pixels of the next level, (..., Z, Y, X).

    Args:
        pixels: The pixels that they cover, as far as the image reaches.
        lacking: Pixels that are missing before and after them along z, y, x; only those that are there count.
        steps: Pixels along z, y, x that become one.
        classes: Whether values are classes, whose most frequent one is taken (the lowest of equals); otherwise the mean
            is, of bytes rounded half up.
    """
    lead = pixels.ndim - 3
    padded = np.pad(pixels, [*[(0, 0)] * lead, *lacking], mode="edge")
    shape = padded.shape[:lead]
    for side, step in zip(padded.shape[lead:], steps, strict=True):
        shape = (*shape, side // step, step)
    axes = tuple(lead + 1 + 2 * axis for axis in range(3))
    groups = padded.reshape(shape)
    return _most_frequent(groups, axes) if classes else _mean(groups, steps)


def _mean(groups: Values, steps: Shape) -> Values:
    # Adding slices is several times as fast as NumPy's sum over axes of two.
    is_bytes, count = groups.dtype == np.uint8, math.prod(steps)
    total: Values | None = None
    for z, y, x in itertools.product(*map(range, steps)):
        part = groups[..., z, :, y, :, x]
        if total is None:
            total = part.astype(np.uint32 if is_bytes else groups.dtype)
        else:
            total += part
    assert total is not None
    if not is_bytes:
        vectors: Values = total / np.asarray(count, total.dtype)
        return vectors
    mean: Bytes = ((2 * total + count) // (2 * count)).astype(np.uint8)
    return mean


def _most_frequent(groups: Bytes, axes: tuple[int, ...]) -> Bytes:
    # Classes are few and small numbers; a histogram would first make eight bytes of each pixel.
    first = int(groups.min())
    most = (groups == first).sum(axes, dtype=np.uint8)
    found = np.full(most.shape, first, np.uint8)
    for value in range(first + 1, int(groups.max()) + 1):
        count = (groups == value).sum(axes, dtype=np.uint8)
        found[count > most] = value
        np.maximum(most, count, out=most)
    return found
