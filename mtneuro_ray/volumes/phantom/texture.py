"""Fibres and shades: smooth fields known on a coarse grid of nodes and interpolated to voxels."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mtneuro_ray.volumes.phantom import anatomy
from mtneuro_ray.volumes.phantom.noise import (
    Box,
    Fixed,
    Floats,
    Ints,
    derive_key,
    grid_noise,
    value_noise,
    white_bytes,
)
from mtneuro_ray.volumes.phantom.tissues import by_label

STEP = 4  # voxels between nodes
FIBRE_SCALE = 8000  # int16 units of one unit of fibre noise
SHADE_SCALE = 8  # int16 units of one grey value
_MAP_STEP = 16  # voxels between entries of the maps of tissue numbers
_LIMIT = 8000  # four times this still fits an int16
_STREAK = (5.5, 22, 8)  # voxels across, along and in depth of a streak
_UPRIGHT = 0.7  # the texture is longer along y than along x by the inverse
OCTAVES = (4, 8, 16, 32, 64)  # voxels across a feature of each octave of the texture
_FINE_GRAIN, _COARSE_GRAIN = 2, 2  # raw grain, in units per step of a byte
_MOST_GRAIN = 5.2  # strength at which the loudest grain still fits an int16
# How much the tissue varies from place to place: threshold and brightness of myelin, grey value, strength of the
# texture and of each of its octaves, strength of the grain.
MYELIN_VARIES, SHINE_VARIES, GREY_VARIES = 0.16, 1.2, 50.0
TEXTURE_VARIES, OCTAVE_VARIES, GRAIN_VARIES = 1.4, 1.6, 1.0

Points = tuple[Floats, ...]


@lru_cache(maxsize=16)
def _tissue_map(name: str, part: int = 0) -> Floats:
    """A number of the tissue on a grid of 16 voxels in y and x, smoothed across the regions' borders."""
    stride = _MAP_STEP // anatomy.CELL
    numbers = by_label(name)
    numbers = numbers[:, part] if numbers.ndim == 2 else numbers
    values = numbers[anatomy.whole_table()[::stride, ::stride]]
    for axis in (0, 1):
        rows = np.arange(values.shape[axis])
        near, here, far = (np.take(values, rows + k, axis=axis, mode="clip") for k in (-1, 0, 1))
        values = (near + here + far) * np.float32(1 / 3)
    smooth: Floats = values
    return smooth


class _Spot(NamedTuple):
    """Places in the maps of tissue numbers: the flat entry below each and how far it is to the next along y and x."""

    entry: Ints
    down: Floats
    right: Floats


def _spot(z: Ints, y: Ints, x: Ints) -> _Spot:
    """Where points lie in the maps."""
    dy, dx = anatomy.drift(z)
    height, width = _tissue_map("grey").shape
    corners, parts = [], []
    for position, size in ((y - dy, height), (x - dx, width)):
        inside = np.clip(position, 0, (size - 1) * _MAP_STEP - 1)
        corners.append(inside // _MAP_STEP)
        parts.append((inside % _MAP_STEP).astype(np.float32) * np.float32(1 / _MAP_STEP))
    return _Spot(corners[0] * width + corners[1], *parts)


def _map_at(name: str, spot: _Spot) -> Floats:
    """A number of the tissue at points, bilinear between the entries of its map."""
    table = _tissue_map(name)
    width, flat = table.shape[1], table.ravel()
    ends = [(flat[shift:], flat[shift + 1 :]) for shift in (0, width)]
    upper, lower = (np.take(a, spot.entry) for a, _ in ends)
    upper += spot.right * (np.take(ends[0][1], spot.entry) - upper)
    lower += spot.right * (np.take(ends[1][1], spot.entry) - lower)
    found: Floats = upper + spot.down * (lower - upper)
    return found


def _entry_at(name: str, spot: _Spot, part: int = 0) -> Floats:
    """A number of the tissue at points, by the entry of its map: for what need not be smooth."""
    return np.take(_tissue_map(name, part).ravel(), spot.entry)


def fibre_frame(labels: anatomy.Labels, y: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Coordinates across and along the fibres, in voxels.

    They sweep round the internal capsule in the thalamus, fan out of it in the striatum and run
    up the corpus callosum.
    """
    right, down = np.float32(0.7) * (x - np.float32(3500)), y - np.float32(1500)
    across = np.sqrt(right * right + down * down)
    along = x - np.float32(0.5) * y
    fan = labels == anatomy.STR
    reach = np.maximum(x - np.float32(1900), np.float32(400))
    across = np.where(fan, (y - np.float32(800)) / reach * np.float32(2100), across)
    along = np.where(fan, x, along)
    upright = (labels == anatomy.CC) | (labels == anatomy.CTX)
    return np.where(upright, x, across), np.where(upright, y, along)


def _noise(seed: int, purpose: int, size: float, points: Points, depth: float | None = None) -> Floats:
    """Smooth noise in [-0.5, 0.5) with features of `size` voxels, and of `depth` along z, at points or on a grid."""
    z, y, x = (v * np.float32(1 / s) for v, s in zip(points, (depth or size, size, size), strict=True))
    key = derive_key(seed, purpose)
    if z.ndim == 3:
        return grid_noise(key, z.ravel(), y.ravel(), x.ravel()) - np.float32(0.5)
    return value_noise(key, z, y, x) - np.float32(0.5)


def fibres_at(seed: int, z: Ints, y: Ints, x: Ints) -> tuple[Floats, Floats]:
    """Excess of the fibre noise over the region's threshold, and grey value of neuropil and axons, at integer points.

    Axons are where the excess is positive. The coordinates have one dimension each and one length, or are an open grid
    of three dimensions (`numpy.ix_`).
    """
    fz, fy, fx = points = tuple(v.astype(np.float32) for v in (z, y, x))
    bump = np.float32(70) * _noise(seed, 5, 90, points)
    wy, wx = (v + bump.astype(np.int64) for v in (y, x))
    labels = anatomy.labels_at(anatomy.whole_table(), z, wy, wx)
    across, along = fibre_frame(labels, fy + np.float32(0.35) * bump, fx)
    size = by_label("fibre")[labels]
    deep = np.broadcast_to(fz, across.shape)
    frame = (across / size[..., 0], along / size[..., 1], deep / size[..., 2])
    coarse = value_noise(derive_key(seed, 1), *frame)
    fine = value_noise(derive_key(seed, 2), *(v * np.float32(2.6) for v in frame))
    streak = value_noise(
        derive_key(seed, 8), *(v * np.float32(1 / s) for v, s in zip((across, along, deep), _STREAK, strict=True))
    )
    spot = _spot(z, wy, wx)
    myelin = _map_at("myelin", spot) + np.float32(MYELIN_VARIES) * _noise(seed, 3, 330, points, 90)
    excess = np.float32(0.66) * coarse + np.float32(0.34) * fine - myelin
    gain: Floats = np.clip(excess / by_label("softness")[labels] + np.float32(0.5), np.float32(0), np.float32(1))
    gain *= np.float32(1) + np.float32(SHINE_VARIES) * _noise(seed, 7, 200, points, 60)
    shade: Floats = _map_at("grey", spot) + gain * _map_at("shine", spot)
    shade += np.float32(GREY_VARIES) * _noise(seed, 4, 300, points) + np.float32(8) * _noise(seed, 6, 50, points)
    shade += _map_at("streaks", spot) * (streak - np.float32(0.5))
    return excess, shade


def _octaves_at(seed: int, z: Ints, y: Ints, x: Ints) -> Floats:
    """The texture of the tissue on an open grid, grey values: noise of every octave, each of the region's strength."""
    points = tuple(v.astype(np.float32) * np.float32(s) for v, s in zip((z, y, x), (1, _UPRIGHT, 1), strict=True))
    spot = _spot(z, y, x)
    total = np.zeros(np.broadcast_shapes(z.shape, y.shape, x.shape), np.float32)
    for part, size in enumerate(OCTAVES):
        strength = np.float32(1) + np.float32(OCTAVE_VARIES) * _noise(seed, 90 + part, 200, points, 50)
        total += _entry_at("octaves", spot, part) * strength * _noise(seed, 50 + part, size, points)
    total *= np.float32(1) + np.float32(TEXTURE_VARIES) * _noise(seed, 49, 150, points, 50)
    return total


def fibre_course(labels: anatomy.Labels, y: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Direction of the fibres at points, as steps along y and x of length one."""
    right, down = np.float32(0.49) * (x - np.float32(3500)), y - np.float32(1500)
    fan = labels == anatomy.STR
    dy = np.where(fan, y - np.float32(800), right)
    dx = np.where(fan, x - np.float32(1900), -down)
    length = np.sqrt(dy * dy + dx * dx) + np.float32(1)
    return dy / length, dx / length


def _upsample(nodes: Fixed, box: Box, pitch: int = STEP) -> Fixed:
    """Linear interpolation of nodes to the voxels of a box, in integers: x, then y, then plane by plane."""
    shift = pitch // 2  # 1 for a pitch of 2, 2 for one of 4
    out = nodes
    for axis in (2, 1):
        index, part = _node_index(box[axis], pitch)
        weight = part.astype(np.int16).reshape([-1 if a == axis else 1 for a in range(3)])
        low, high = np.take(out, index, axis), np.take(out, index + 1, axis)
        low *= np.int16(pitch) - weight
        high *= weight
        low += high
        low >>= shift
        out = low
    index, part = _node_index(box[0], pitch)
    planes = np.empty((len(index), *out.shape[1:]), np.int16)
    scratch = np.empty_like(planes[0])
    for plane, i, k in zip(planes, index.tolist(), part.tolist(), strict=True):
        np.multiply(out[i], np.int16(pitch - k), out=plane)
        np.multiply(out[i + 1], np.int16(k), out=scratch)
        plane += scratch
        plane >>= shift
    return planes


def _node_index(span: tuple[int, int], pitch: int) -> tuple[Ints, Ints]:
    """For each voxel of a range, the node at or below it counted from the first, and its distance."""
    voxels = np.arange(*span)
    return voxels // pitch - span[0] // pitch, voxels % pitch


def _spans(box: Box, pitch: int) -> Box:
    """The nodes that interpolation in a box reads, counted in pitches."""
    (z0, z1), (y0, y1), (x0, x1) = ((lo // pitch, (hi - 1) // pitch + 2) for lo, hi in box)
    return (z0, z1), (y0, y1), (x0, x1)


def _nodes(box: Box) -> tuple[Ints, Ints, Ints]:
    """Coordinates of the nodes as an open grid."""
    z, y, x = np.ix_(*(np.arange(*span, dtype=np.int64) * STEP for span in _spans(box, STEP)))
    return z, y, x


def _fixed(values: Floats, scale: int) -> Fixed:
    fixed: Fixed = np.clip(np.rint(values * np.float32(scale)), -_LIMIT, _LIMIT).astype(np.int16)
    return fixed


def shade_in(seed: int, box: Box) -> Fixed:
    """Grey values of neuropil and axons in a box, int16, `SHADE_SCALE` to the grey value."""
    nodes = _nodes(box)
    return _upsample(_fixed(fibres_at(seed, *nodes)[1] + _octaves_at(seed, *nodes), SHADE_SCALE), box)


def grain_in(seed: int, box: Box) -> Fixed:
    """The grain of a box, which lies over everything: noise of one and two voxels, `SHADE_SCALE` to a grey value."""
    grain = white_bytes(derive_key(seed, 40), box).astype(np.int16)
    grain *= np.int16(_FINE_GRAIN)
    z_span, (y0, y1), x_span = _spans(box, 2)
    nodes = white_bytes(derive_key(seed, 41), (z_span, (y0 - 1, y1 + 1), x_span)).astype(np.int16)
    # Like the texture, the grain of the real slice is longer along y.
    nodes = (nodes[:, :-2] + nodes[:, 2:] + np.int16(2) * nodes[:, 1:-1]) * np.int16(_COARSE_GRAIN) >> 1
    grain += _upsample(nodes, box, 2)
    z, y, x = nodes_here = _nodes(box)
    points = tuple(v.astype(np.float32) for v in nodes_here)
    strength = _entry_at("grain", _spot(z, y, x)) * (
        np.float32(1) + np.float32(GRAIN_VARIES) * _noise(seed, 42, 250, points, 30)
    )
    grain >>= 1
    grain *= _upsample(_fixed(np.minimum(strength, np.float32(_MOST_GRAIN)), 16), box)
    grain >>= 4
    return grain


def axons_in(seed: int, box: Box) -> npt.NDArray[np.bool_]:
    """Which voxels of a box are myelinated axons (before cells and vessels are put in)."""
    inside: npt.NDArray[np.bool_] = _upsample(_fixed(fibres_at(seed, *_nodes(box))[0], FIBRE_SCALE), box) > 0
    return inside
