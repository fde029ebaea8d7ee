"""Noise without state: every number is a hash of a key and a coordinate.

Written by hand because noise libraries compute whole images, or sums whose last bits depend on the processor. Here only
integer arithmetic and IEEE additions, products and divisions are used, so a value has the same bits in every cutout, in
every process and on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint32]
Floats = npt.NDArray[np.float32]
Fixed = npt.NDArray[np.int16]
Range = tuple[int, int]
Box = tuple[Range, Range, Range]

_STRIDES = (np.uint32(0x9E3779B1), np.uint32(0x85EBCA77), np.uint32(0xC2B2AE3D))
_MASK = 0xFFFFFFFF


def _scramble(h: Hashes) -> Hashes:
    """Avalanche every bit of `h`, in place (the finaliser of MurmurHash3)."""
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x85EBCA6B)
    h ^= h >> np.uint32(13)
    h *= np.uint32(0xC2B2AE35)
    h ^= h >> np.uint32(16)
    return h


@lru_cache(maxsize=512)
def derive_key(seed: int, purpose: int) -> int:
    """The key of one stream of numbers, 32 bits, for a seed below 2**32 and the stream's own number."""
    start = np.array([seed], np.uint32)
    return int(_scramble(_scramble(start + np.uint32(0x632BE5AB)) + np.uint32(purpose))[0])


def hash_points(key: int, *coordinates: npt.NDArray[Any]) -> Hashes:
    """One hash per point of the integer coordinates, which broadcast against each other."""
    h: Hashes = np.array(key, np.uint32)
    for coordinate, stride in zip(coordinates, _STRIDES, strict=False):
        h = _scramble(h + coordinate.astype(np.uint32) * stride)
    return h


def uniforms(hashes: Hashes, count: int) -> list[Floats]:
    """`count` independent arrays of numbers in [0, 1), float32, one number per hash."""
    return [unit(_scramble(hashes + np.uint32((n + 1) * 0x9E3779B1 & _MASK))) for n in range(count)]


def unit(hashes: Hashes) -> Floats:
    """Hashes as float32 in [0, 1)."""
    return (hashes >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def white_bytes(key: int, box: Box) -> npt.NDArray[np.int8]:
    """White noise, int8 uniform over all values, of the box's shape z, y, x.

    One hash serves four neighbours along x, so the box is upcast to multiples of four and cropped.
    """
    z, y, (x0, x1) = (box[0], box[1], box[2])
    words = np.arange(x0 // 4, -(-x1 // 4))
    rows = hash_points(key, np.arange(*z)[:, None], np.arange(*y)[None, :])
    columns = hash_points(key ^ 0x5BD1E995, words)
    little_endian = _scramble(rows[:, :, None] + columns).astype("<u4", copy=False)
    return little_endian.view(np.int8)[:, :, x0 % 4 :][:, :, : x1 - x0]


def value_noise(key: int, a: Floats, b: Floats, c: Floats) -> Floats:
    """Smooth noise in [0, 1) with a feature size of one, at any points, float32.

    The corners of the unit cell hold hashes, blended by a cubic step. All coordinates have one shape.
    """
    (i, j, k), steps = zip(*map(_cell, (a, b, c)), strict=True)
    at = _corner_reader(key, i, j, k)
    faces = []
    for di in (0, 1):
        edges = []
        for dj in (0, 1):
            low, high = at(di, dj, 0), at(di, dj, 1)
            edges.append(low + steps[2] * (high - low))
        faces.append(edges[0] + steps[1] * (edges[1] - edges[0]))
    blended: Floats = faces[0] + steps[0] * (faces[1] - faces[0])
    return blended


def _cell(v: Floats) -> tuple[Ints, Floats]:
    """The unit cell of each coordinate and the cubic step within it."""
    corner = np.floor(v)
    t = v - corner
    return corner.astype(np.int64), t * t * (np.float32(3) - np.float32(2) * t)


def _corner_reader(key: int, i: Ints, j: Ints, k: Ints) -> Callable[[int, int, int], Floats]:
    """The noise at the corner (i + di, j + dj, k + dk) of each point, looked up where points share their corners."""
    if i.size:
        lows, spans = zip(*((int(v.min()), int(np.ptp(v)) + 2) for v in (i, j, k)), strict=True)
        if spans[0] * spans[1] * spans[2] <= 2 * i.size:
            table = _lattice(key, [np.arange(low, low + n) for low, n in zip(lows, spans, strict=True)]).ravel()
            first = ((i - lows[0]) * spans[1] + (j - lows[1])) * spans[2] + (k - lows[2])
            return lambda di, dj, dk: np.take(table[(di * spans[1] + dj) * spans[2] + dk :], first)
    return lambda di, dj, dk: unit(hash_points(key, i + di, j + dj, k + dk))


def _lattice(key: int, spans: Sequence[Ints]) -> Floats:
    """The noise at every point of a lattice, axes as the coordinates."""
    return unit(hash_points(key, *np.ix_(*spans)))


def grid_noise(key: int, a: Floats, b: Floats, c: Floats) -> Floats:
    """`value_noise` at every combination of three ranges of coordinates, axes a, b, c: the same bits for less work."""
    cells, steps = zip(*map(_cell, (a, b, c)), strict=True)
    field = _lattice(key, [np.arange(v.min(), v.max() + 2) for v in cells])
    for axis in (2, 1, 0):
        place = cells[axis] - cells[axis].min()
        low, high = np.take(field, place, axis), np.take(field, place + 1, axis)
        field = low + steps[axis].reshape([-1 if n == axis else 1 for n in range(3)]) * (high - low)
    return field
