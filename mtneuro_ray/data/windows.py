"""Windows and blocks of a whole volume: where a network looks, and what is computed and written at a time.

The windows lie on one grid over the whole box, so a voxel is predicted from the same windows however the box is cut
into blocks. All coordinates here are z, y, x, relative to the box, in pixels of the prediction.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mtneuro_ray.roi import Roi, Shape

Index = tuple[int, int, int]
OVERLAP = 0.5
"""Part of a window that the next one shares, where nothing else is said."""


@dataclass(frozen=True, slots=True)
class WindowGrid:
    """Equal, overlapping windows that cover a box.

    The first window starts at 0 and each next one a `step` later; the last is shifted inwards to end with the box. A
    box shorter than a window lies in the middle of a single one.

    Attributes:
        extent: Size of the box.
        window: Size of a window's prediction.
        step: Distance between the starts of windows.
    """

    extent: Shape
    window: Shape
    step: Shape

    @classmethod
    def of(cls, extent: Shape, window: Shape, overlap: float = OVERLAP) -> WindowGrid:
        """The grid whose neighbouring windows share `overlap` (0 to below 1) of their length."""
        z, y, x = (max(1, int(side * (1 - overlap))) for side in window)
        return cls(extent, window, (z, y, x))

    def count(self, axis: int) -> int:
        """Number of windows along an axis."""
        return 1 + max(0, -(-(self.extent[axis] - self.window[axis]) // self.step[axis]))

    def start(self, index: Index) -> Index:
        """Lowest corner of a window; below 0 where the box is shorter than the window."""
        z, y, x = (self._start(axis, number) for axis, number in enumerate(index))
        return (z, y, x)

    def _start(self, axis: int, number: int) -> int:
        room = self.extent[axis] - self.window[axis]
        return min(number * self.step[axis], room) if room > 0 else -(-room // 2)

    def touching(self, roi: Roi) -> tuple[range, range, range]:
        """Numbers, along each axis, of the windows that share a pixel with a part of the box."""
        z, y, x = (self._touching(axis, *bounds) for axis, bounds in enumerate(roi.ranges))
        return (z, y, x)

    def _touching(self, axis: int, low: int, high: int) -> range:
        last, step = self.count(axis) - 1, self.step[axis]
        # The last window alone is off the grid, and it ends with the box.
        first = min(last, max(0, (low - self.window[axis]) // step + 1))
        stop = min(last, (high - 1) // step)
        return range(first, last + 1 if self._start(axis, last) < high else stop + 1)

    def indices(self, roi: Roi) -> Iterator[Index]:
        """The windows that share a pixel with a part of the box, in the order in which they are summed."""
        yield from itertools.product(*self.touching(roi))


@dataclass(frozen=True, slots=True)
class View:
    """What a network sees of a volume for one window of its prediction, z, y, x.

    Attributes:
        size: Pixels of the network's input.
        margin: Pixels of the input before the first of the window, as unpadded convolutions take them off.
        scale: Pixels of the volume from one pixel of the prediction to the next.
    """

    size: Shape
    margin: Shape = (0, 0, 0)
    scale: Shape = (1, 1, 1)


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """Blocks of a box, each computed and written as a whole.

    Attributes:
        extent: Size of the box.
        block: Size of a block, a multiple of the target's chunks; those at the end are smaller.
        axis: Axis along which consecutive blocks follow each other.
    """

    extent: Shape
    block: Shape
    axis: int = 2

    @classmethod
    def of(cls, grid: WindowGrid, chunk: Shape, most_pixels: int) -> BlockPlan:
        """Blocks of at most `most_pixels` (or one chunk) that compute few windows twice.

        A window that touches several blocks is computed for each of them, unless it is still kept from the block
        before.
        """

        def excess(axis: int, side: int) -> float:
            """Windows along an axis that are computed for a block, per window of its own."""
            return 1 + (grid.window[axis] - grid.step[axis]) / side if side < grid.extent[axis] else 1.0

        block = list(chunk)
        while True:
            gains = {
                axis: excess(axis, block[axis]) / excess(axis, 2 * block[axis])
                for axis in range(3)
                if block[axis] < grid.extent[axis] and 2 * math.prod(block) <= most_pixels
            }
            axis = max(gains, key=lambda axis: gains[axis], default=0)
            if gains.get(axis, 1.0) <= 1.0:
                break
            block[axis] *= 2
        z, y, x = block
        return cls(grid.extent, (z, y, x), max(range(3), key=lambda axis: (excess(axis, block[axis]), axis)))

    def counts(self) -> Shape:
        """Blocks along z, y, x."""
        z, y, x = (-(-side // step) for side, step in zip(self.extent, self.block, strict=True))
        return (z, y, x)

    def blocks(self) -> Iterator[Roi]:
        """All blocks, those along `axis` one after the other."""
        order = [*(axis for axis in range(3) if axis != self.axis), self.axis]
        counts = self.counts()
        for numbers in itertools.product(*(range(counts[axis]) for axis in order)):
            index = dict(zip(order, numbers, strict=True))
            yield self.at([index[axis] for axis in range(3)])

    def at(self, index: Sequence[int]) -> Roi:
        """One block."""
        ranges = (
            (number * side, min((number + 1) * side, end))
            for number, side, end in zip(index, self.block, self.extent, strict=True)
        )
        return Roi(*ranges)

    def rows(self, blocks: Sequence[Roi], most: int) -> list[list[Roi]]:
        """Runs of at most `most` of some blocks that follow each other along `axis`, in their order."""
        rows: list[list[Roi]] = []
        for block in blocks:
            row = rows[-1] if rows else []
            if row and len(row) < most and _follows(row[-1], block, self.axis):
                row.append(block)
            else:
                rows.append([block])
        return rows


def _follows(first: Roi, second: Roi, axis: int) -> bool:
    same = all(first.ranges[other] == second.ranges[other] for other in range(3) if other != axis)
    return same and first.ranges[axis][1] == second.ranges[axis][0]
