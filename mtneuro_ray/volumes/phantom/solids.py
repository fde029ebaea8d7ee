"""Ellipsoids and tubes as voxels: which voxels of a box a solid covers, by the same sums wherever the box lies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mtneuro_ray.volumes.phantom.noise import Box, Floats, Ints

MAX_BEND = 14  # voxels of bend along an axis, of which a tube strays by half
_MAX_CALIBRE = 4
_BEADS = 28  # balls along a tube from end to end
_CHUNK = 1 << 17  # voxels tested at once, so that they stay in the cache


class Painted(NamedTuple):
    """Voxels of a box that objects cover.

    Attributes:
        where: Positions in the flattened box; where one repeats, the last counts.
        grey: Grey values, one per position, int16.
    """

    where: Ints
    grey: npt.NDArray[np.int16]


class Solids(NamedTuple):
    """Prolate ellipsoids, one per entry.

    Attributes:
        centre: Three arrays z, y, x, in voxels.
        reach: Whole voxels from the one nearest to the centre that the solid can cover.
        girth: Short semi-axis in voxels.
        stretch: 1 / girth**2 - 1 / length**2, where length is the long semi-axis; 0 for a ball.
        pole: Unit vector z, y, x of the long axis.
    """

    centre: tuple[Floats, Floats, Floats]
    reach: Ints
    girth: Floats
    stretch: Floats
    pole: tuple[Floats, Floats, Floats]

    def take(self, chosen: npt.NDArray[np.intp]) -> Solids:
        """The chosen entries."""
        z, y, x = (v[chosen] for v in self.centre)
        pz, py, px = (v[chosen] for v in self.pole)
        return Solids((z, y, x), self.reach[chosen], self.girth[chosen], self.stretch[chosen], (pz, py, px))


def reach_of(radius: Floats) -> Ints:
    """Whole voxels from the one nearest to a centre that a radius can cover."""
    whole: Ints = np.floor(radius + np.float32(0.5)).astype(np.int64)
    return whole


def covered(solids: Solids, box: Box) -> Iterator[tuple[npt.NDArray[np.intp], Ints, Floats]]:
    """Voxels of the box inside each solid: its number, the flat position and the squared depth in [0, 1)."""
    near = np.ones(len(solids.reach), bool)
    for centre, (lo, hi) in zip(solids.centre, box, strict=True):
        near &= (centre > lo - solids.reach - 1) & (centre < hi + solids.reach)
    for reach in np.unique(solids.reach[near]).tolist():
        members = np.flatnonzero(near & (solids.reach == reach))
        size = max(1, _CHUNK // (2 * reach + 1) ** 3)
        for start in range(0, len(members), size):
            chosen = members[start : start + size]
            number, index, depth = _cover_chunk(solids.take(chosen), box, reach)
            yield chosen[number], index, depth


def _cover_chunk(solids: Solids, box: Box, reach: int) -> tuple[npt.NDArray[np.intp], Ints, Floats]:
    offsets = np.arange(-reach, reach + 1)
    _, height, width = (hi - lo for lo, hi in box)
    pitches = (height * width, width, 1)
    squares, leans = [], []
    first = np.zeros(len(solids.reach), np.int64)
    for centre, pole, (lo, hi), pitch in zip(solids.centre, solids.pole, box, pitches, strict=True):
        base = np.rint(centre).astype(np.int64)
        away = offsets.astype(np.float32) - (centre - base.astype(np.float32))[:, None]
        voxel = base[:, None] + offsets
        outside = np.where((voxel >= lo) & (voxel < hi), np.float32(0), np.float32(9))
        squares.append(away * away / (solids.girth * solids.girth)[:, None] + outside)
        leans.append(away * pole[:, None])
        first += (base - lo) * pitch
    depth = _sum_of_axes(squares)
    if solids.stretch.any():
        lean = _sum_of_axes(leans)
        lean *= lean
        lean *= solids.stretch[:, None, None, None]
        depth -= lean
    steps = _sum_of_axes([(offsets * pitch)[None] for pitch in pitches]).ravel()
    flat = depth.ravel()
    inside = np.flatnonzero(flat < 1)
    number = inside // len(steps)
    return number, first[number] + steps[inside - number * len(steps)], flat[inside]


def _sum_of_axes(parts: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """One number per solid and voxel of its cube from one per solid and step along z, y and x."""
    z, y, x = parts
    total: npt.NDArray[Any] = (z[:, :, None] + y[:, None, :])[..., None] + x[:, None, None, :]
    return total


def tubes(
    start: list[Floats], stop: list[Floats], bend: list[Floats], calibre: Floats, tone: Floats, box: Box
) -> Iterator[Painted]:
    """Balls along parabolas from `start` to `stop`, bent sideways by half of `bend`."""
    margin = MAX_BEND // 2 + _MAX_CALIBRE
    close = np.ones(len(calibre), bool)
    for a, b, (lo, hi) in zip(start, stop, box, strict=True):
        close &= (np.maximum(a, b) > lo - margin) & (np.minimum(a, b) < hi + margin)
    ends = [(a[close, None], b[close, None], c[close, None]) for a, b, c in zip(start, stop, bend, strict=True)]
    calibre, tone = calibre[close], tone[close]
    t = (np.arange(_BEADS, dtype=np.float32) + np.float32(0.5)) / np.float32(_BEADS)
    bow = np.float32(2) * t * (np.float32(1) - t)
    path = [a + (b - a) * t + c * bow for a, b, c in ends]
    near = np.ones(path[0].shape, bool)
    for v, (lo, hi) in zip(path, box, strict=True):
        near &= (v > lo - _MAX_CALIBRE) & (v < hi + _MAX_CALIBRE)
    edge, bead = np.nonzero(near)
    z, y, x = (v[edge, bead] for v in path)
    girth = calibre[edge]
    zero = np.zeros_like(girth)
    solids = Solids((z, y, x), reach_of(girth), girth, zero, (zero, zero, zero))
    for number, index, _ in covered(solids, box):
        yield Painted(index, tone[edge[number]].astype(np.int16))
