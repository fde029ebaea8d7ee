"""Boxes of voxels. Every coordinate in this project is z, y, x and every range is half-open."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

Range = tuple[int, int]
Shape = tuple[int, int, int]

_NAME = re.compile(r"z(\d+)-(\d+)_y(\d+)-(\d+)_x(\d+)-(\d+)")


@dataclass(frozen=True, slots=True, order=True)
class Roi:
    """An axis-aligned box of voxels, `[z0, z1) x [y0, y1) x [x0, x1)`, never empty.

    Raises:
        ValueError: a range is empty, reversed or starts below zero.
    """

    z: Range
    y: Range
    x: Range

    def __post_init__(self) -> None:
        for axis, (start, stop) in zip("zyx", self.ranges, strict=True):
            if start < 0 or stop <= start:
                raise ValueError(f"{axis} range [{start}, {stop}) is not a box; accepted: 0 <= start < stop, half-open")

    @classmethod
    def parse(cls, name: str) -> Roi:
        """The box that `str(roi)` named, such as `z110-126_y900-1156_x4600-4856`."""
        match = _NAME.fullmatch(name)
        if match is None:
            raise ValueError(f"{name!r} names no box; accepted: zA-B_yC-D_xE-F")
        z0, z1, y0, y1, x0, x1 = map(int, match.groups())
        return cls((z0, z1), (y0, y1), (x0, x1))

    @classmethod
    def at(cls, origin: Sequence[int], shape: Sequence[int]) -> Roi:
        """The box of `shape` whose lowest corner is `origin`, both z, y, x."""
        z, y, x = ((int(o), int(o) + int(n)) for o, n in zip(origin, shape, strict=True))
        return cls(z, y, x)

    @property
    def ranges(self) -> tuple[Range, Range, Range]:
        """The three half-open ranges in z, y, x order."""
        return (self.z, self.y, self.x)

    @property
    def origin(self) -> Shape:
        """The lowest corner, z, y, x."""
        return (self.z[0], self.y[0], self.x[0])

    @property
    def shape(self) -> Shape:
        """Voxels along z, y, x."""
        return (self.z[1] - self.z[0], self.y[1] - self.y[0], self.x[1] - self.x[0])

    @property
    def num_voxels(self) -> int:
        """Voxels in the box."""
        return math.prod(self.shape)

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Index of this box in an array of the whole volume."""
        return (slice(*self.z), slice(*self.y), slice(*self.x))

    def slices_within(self, outer: Roi) -> tuple[slice, slice, slice]:
        """Index of this box in an array that holds `outer`."""
        z, y, x = (slice(lo - base, hi - base) for (lo, hi), (base, _) in zip(self.ranges, outer.ranges, strict=True))
        return (z, y, x)

    def moved(self, by: Sequence[int]) -> Roi:
        """The box moved by some voxels along z, y, x."""
        return Roi.at([low + step for low, step in zip(self.origin, by, strict=True)], self.shape)

    def relative_to(self, corner: Sequence[int]) -> Roi:
        """The box in coordinates that count from a corner, z, y, x."""
        return self.moved([-base for base in corner])

    def within(self, shape: Sequence[int]) -> bool:
        """Whether a volume of `shape` (z, y, x) holds the whole box."""
        return all(hi <= n for (_, hi), n in zip(self.ranges, shape, strict=True))

    def intersection(self, other: Roi) -> Roi | None:
        """The voxels in both boxes, or None where they do not meet."""
        ranges = [(max(a0, b0), min(a1, b1)) for (a0, a1), (b0, b1) in zip(self.ranges, other.ranges, strict=True)]
        if any(lo >= hi for lo, hi in ranges):
            return None
        return Roi(*ranges)

    def minus(self, other: Roi) -> list[Roi]:
        """The voxels of this box outside `other`, as at most six disjoint boxes."""
        overlap = self.intersection(other)
        if overlap is None:
            return [self]
        pieces: list[Roi] = []
        remaining = list(self.ranges)
        for axis, (lo, hi) in enumerate(overlap.ranges):
            start, stop = remaining[axis]
            for piece in ((start, lo), (hi, stop)):
                if piece[0] < piece[1]:
                    ranges = list(remaining)
                    ranges[axis] = piece
                    pieces.append(Roi(*ranges))
            remaining[axis] = (lo, hi)
        return pieces

    def outside(self, others: Iterable[Roi]) -> list[Roi]:
        """The voxels of this box outside all others, as disjoint boxes."""
        pieces = [self]
        for other in others:
            pieces = [rest for piece in pieces for rest in piece.minus(other)]
        return pieces

    def split(self, chunk: Sequence[int]) -> Iterator[Roi]:
        """Tile the box, from its lowest corner, by boxes of at most `chunk` voxels along z, y, x."""
        axes = (
            [(start, min(start + step, stop)) for start in range(begin, stop, step)]
            for (begin, stop), step in zip(self.ranges, chunk, strict=True)
        )
        yield from itertools.starmap(Roi, itertools.product(*axes))

    def __str__(self) -> str:
        return "_".join(f"{axis}{lo}-{hi}" for axis, (lo, hi) in zip("zyx", self.ranges, strict=True))


def corners(height: int, width: int) -> list[tuple[slice, slice]]:
    """Rows and columns of an image's corners of half its sides: upper left, upper right, lower left, lower right."""
    return _half_side_crops(height, width, steps=1)


def overlapping_crops(height: int, width: int) -> list[tuple[slice, slice]]:
    """Rows and columns of nine crops of half an image's sides in reading order: corners, edge middles, centre."""
    return _half_side_crops(height, width, steps=2)


def _half_side_crops(height: int, width: int, steps: int) -> list[tuple[slice, slice]]:
    rows, columns = (
        [slice(start, start + side // 2) for start in ((side - side // 2) * n // steps for n in range(steps + 1))]
        for side in (height, width)
    )
    return [(row, column) for row in rows for column in columns]
