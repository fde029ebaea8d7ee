"""Which voxels lie inside ellipsoids and tubes: runs along x, by the same sums wherever the box lies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mtneuro_ray.volumes.phantom.noise import Box, Fixed, Floats, Ints

MAX_BEND = 14  # voxels of bend along an axis, of which a tube strays by half
_MAX_CALIBRE = 4
MAX_STRAY = MAX_BEND // 2 + _MAX_CALIBRE  # voxels that a tube may lie outside of the box of its two ends
_BEADS = 28  # balls along a tube from end to end
_CHUNK = 1 << 17  # rows tested at once, so that they stay in the cache

# Positions of covered voxels in the flattened box, where the last of equal ones counts, and their grey values.
Painted = tuple[Ints, Fixed]


class Solids(NamedTuple):
    """Prolate ellipsoids, one per entry.

    Attributes:
        centre: (3, N) z, y, x, in voxels.
        reach: Whole voxels from the one nearest to the centre that the solid can cover.
        girth: Short semi-axis in voxels.
        stretch: 1 / girth**2 - 1 / length**2, where length is the long semi-axis; 0 for a ball.
        pole: (3, N) unit vector z, y, x of the long axis.
    """

    centre: Floats
    reach: Ints
    girth: Floats
    stretch: Floats
    pole: Floats

    def take(self, chosen: npt.NDArray[np.intp]) -> Solids:
        """The chosen entries."""
        centre, pole = self.centre[:, chosen], self.pole[:, chosen]
        return Solids(centre, self.reach[chosen], self.girth[chosen], self.stretch[chosen], pole)


def reach_of(radius: Floats) -> Ints:
    """Whole voxels from the one nearest to a centre that a radius can cover."""
    whole: Ints = np.floor(radius + np.float32(0.5)).astype(np.int64)
    return whole


class _Rows(NamedTuple):
    """Runs of voxels along x inside solids, one per entry.

    Attributes:
        number: Which solid.
        first: Flat position of the first voxel in the box.
        length: Voxels, at least one.
        step: Whole voxels along x from the one nearest to the solid's centre to the first voxel.
        offset: What that nearest voxel lies above the centre along x.
        slope: (2, N) squared depth at d voxels from the centre along x: (slope[0] * d + slope[1]) * d + depth.
        depth: See `slope`.
    """

    number: npt.NDArray[np.intp]
    first: Ints
    length: Ints
    step: Ints
    offset: Floats
    slope: Floats
    depth: Floats


def covered(solids: Solids, box: Box) -> Iterator[tuple[npt.NDArray[np.intp], Ints, Floats]]:
    """Voxels of the box inside each solid: its number, the flat position and the squared depth in [0, 1)."""
    for rows in _rows_inside(solids, box):
        row, along = _unrolled(rows.length)
        away = (rows.step[row] + along).astype(np.float32) + rows.offset[row]
        depth = (rows.slope[0][row] * away + rows.slope[1][row]) * away + rows.depth[row]
        yield rows.number[row], rows.first[row] + along, depth


def _unrolled(count: Ints) -> tuple[npt.NDArray[np.intp], Ints]:
    """For every voxel of runs of these lengths, its run and its place in it."""
    row = np.repeat(np.arange(len(count)), count)
    along: Ints = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    return row, along


def _rows_inside(solids: Solids, box: Box) -> Iterator[_Rows]:
    """The rows of the box that meet a solid; a later solid of one reach comes after an earlier one."""
    near = np.ones(len(solids.reach), bool)
    for centre, (lo, hi) in zip(solids.centre, box, strict=True):
        near &= (centre > lo - solids.reach - 1) & (centre < hi + solids.reach)
    for reach in np.unique(solids.reach[near]).tolist():
        members = np.flatnonzero(near & (solids.reach == reach))
        size = max(1, _CHUNK // (2 * reach + 1) ** 2)
        for start in range(0, len(members), size):
            chosen = members[start : start + size]
            yield _rows_of_chunk(solids.take(chosen), chosen, box, reach)


def _rows_of_chunk(solids: Solids, chosen: npt.NDArray[np.intp], box: Box, reach: int) -> _Rows:
    (z0, z1), (y0, y1), (x0, x1) = box
    base = np.rint(solids.centre).astype(np.int64)
    nearest = base.astype(np.float32) - solids.centre
    offsets = np.arange(-reach, reach + 1)
    # Planes of the box that a solid can meet, then rows of these planes.
    plane = base[0][:, None] + offsets
    number, dz = np.nonzero((plane >= z0) & (plane < z1))
    row = base[1][number][:, None] + offsets
    pair, dy = np.nonzero((row >= y0) & (row < y1))
    number, dz = number[pair], offsets[dz[pair]]
    down, right = dz.astype(np.float32) + nearest[0][number], offsets[dy].astype(np.float32) + nearest[1][number]
    curve = (np.float32(1) / (solids.girth * solids.girth))[number]
    depth = (down * down + right * right) * curve
    half = np.zeros_like(depth)
    if solids.stretch.any():
        stretch, pole = solids.stretch[number], solids.pole[2][number]
        lean = down * solids.pole[0][number] + right * solids.pole[1][number]
        depth -= stretch * lean * lean
        half, curve = -stretch * lean * pole, curve - stretch * pole * pole
    root = half * half - curve * (depth - np.float32(1))
    met = np.flatnonzero(root > 0)
    number, dz, dy = number[met], dz[met], dy[met]
    half, curve, depth, root = half[met], curve[met], depth[met], np.sqrt(root[met])
    offset, middle = nearest[2][number], base[2][number]
    step = np.maximum(np.ceil((-half - root) / curve - offset).astype(np.int64), x0 - middle)
    stop = np.minimum(np.floor((root - half) / curve - offset).astype(np.int64), x1 - 1 - middle)
    first = ((base[0][number] + dz - z0) * (y1 - y0) + base[1][number] + offsets[dy] - y0) * (x1 - x0)
    kept = np.flatnonzero(stop >= step)
    return _Rows(
        number=chosen[number[kept]],
        first=(first + middle + step - x0)[kept],
        length=(stop - step + 1)[kept],
        step=step[kept],
        offset=offset[kept],
        slope=np.stack([curve, np.float32(2) * half])[:, kept],
        depth=depth[kept],
    )


def tubes(
    start: list[Floats], stop: list[Floats], bend: list[Floats], calibre: Floats, tone: Floats, box: Box
) -> Iterator[Painted]:
    """Balls along parabolas from `start` to `stop`, bent sideways by half of `bend`."""
    close = np.ones(len(calibre), bool)
    for a, b, (lo, hi) in zip(start, stop, box, strict=True):
        close &= (np.maximum(a, b) > lo - MAX_STRAY) & (np.minimum(a, b) < hi + MAX_STRAY)
    ends = [(a[close, None], b[close, None], c[close, None]) for a, b, c in zip(start, stop, bend, strict=True)]
    calibre, tone = calibre[close], tone[close]
    t = (np.arange(_BEADS, dtype=np.float32) + np.float32(0.5)) / np.float32(_BEADS)
    bow = np.float32(2) * t * (np.float32(1) - t)
    path = [a + (b - a) * t + c * bow for a, b, c in ends]
    near = np.ones(path[0].shape, bool)
    for v, (lo, hi) in zip(path, box, strict=True):
        near &= (v > lo - _MAX_CALIBRE) & (v < hi + _MAX_CALIBRE)
    edge, bead = np.nonzero(near)
    centre, girth = np.stack(path)[:, edge, bead], calibre[edge]
    solids = Solids(centre, reach_of(girth), girth, np.zeros_like(girth), np.zeros_like(centre))
    shade = tone[edge].astype(np.int16)
    for rows in _rows_inside(solids, box):
        row, along = _unrolled(rows.length)
        yield rows.first[row] + along, shade[rows.number[row]]
