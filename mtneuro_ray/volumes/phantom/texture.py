"""Fibres and shades: smooth fields known on a coarse grid of nodes and interpolated to voxels."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from mtneuro_ray.volumes.phantom import anatomy
from mtneuro_ray.volumes.phantom.anatomy import by_label
from mtneuro_ray.volumes.phantom.noise import Box, Fixed, Floats, Ints, derive_key, value_noise

STEP = 4  # voxels between nodes
FIBRE_SCALE = 8000  # int16 units of one unit of fibre noise
SHADE_SCALE = 8  # int16 units of one grey value
_MAP_STEP = 16  # voxels between entries of the maps of tissue numbers
_LIMIT = 8000  # four times this still fits an int16


@lru_cache(maxsize=8)
def _tissue_map(name: str) -> Floats:
    """A number of the tissue on a grid of 16 voxels in y and x, smoothed across the regions' borders."""
    stride = _MAP_STEP // anatomy.CELL
    values = by_label(name)[anatomy.whole_table()[::stride, ::stride]]
    for axis in (0, 1):
        rows = np.arange(values.shape[axis])
        near, here, far = (np.take(values, rows + k, axis=axis, mode="clip") for k in (-1, 0, 1))
        values = (near + here + far) * np.float32(1 / 3)
    smooth: Floats = values
    return smooth


def _map_at(name: str, z: Ints, y: Ints, x: Ints) -> Floats:
    """A number of the tissue at points, bilinear between the entries of its map."""
    table = _tissue_map(name)
    dy, dx = anatomy.drift(z)
    corners, parts = [], []
    for position, size in ((y - dy, table.shape[0]), (x - dx, table.shape[1])):
        inside = np.clip(position, 0, (size - 1) * _MAP_STEP - 1)
        corners.append(inside // _MAP_STEP)
        parts.append((inside % _MAP_STEP).astype(np.float32) * np.float32(1 / _MAP_STEP))
    (i, j), (ty, tx) = corners, parts
    low = table[i, j] + tx * (table[i, j + 1] - table[i, j])
    high = table[i + 1, j] + tx * (table[i + 1, j + 1] - table[i + 1, j])
    found: Floats = low + ty * (high - low)
    return found


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


def _noise(seed: int, purpose: int, size: float, z: Floats, y: Floats, x: Floats) -> Floats:
    """Smooth noise in [-0.5, 0.5) with features of `size` voxels."""
    scale = np.float32(1 / size)
    return value_noise(derive_key(seed, purpose), z * scale, y * scale, x * scale) - np.float32(0.5)


def fibres_at(seed: int, z: Ints, y: Ints, x: Ints) -> tuple[Floats, Floats]:
    """Excess of the fibre noise over the region's threshold, and grey value of neuropil and axons, at integer points.

    Axons are where the excess is positive. The coordinates have one shape.
    """
    fz, fy, fx = (v.astype(np.float32) for v in (z, y, x))
    bump = np.float32(70) * _noise(seed, 5, 90, fz, fy, fx)
    wy, wx = (v + bump.astype(np.int64) for v in (y, x))
    labels = anatomy.labels_at(anatomy.whole_table(), z, wy, wx)
    across, along = fibre_frame(labels, fy + np.float32(0.35) * bump, fx)
    size = by_label("fibre")[labels]
    frame = (across / size[..., 0], along / size[..., 1], fz / size[..., 2])
    coarse = value_noise(derive_key(seed, 1), *frame)
    fine = value_noise(derive_key(seed, 2), *(v * np.float32(2.6) for v in frame))
    place = _noise(seed, 3, 330, fz, fy, fx)
    myelin = _map_at("myelin", z, wy, wx) + np.float32(0.05) * place
    excess = np.float32(0.66) * coarse + np.float32(0.34) * fine - myelin
    gain: Floats = np.clip(excess / by_label("softness")[labels] + np.float32(0.5), np.float32(0), np.float32(1))
    local = np.float32(34) * _noise(seed, 4, 300, fz, fy, fx) + np.float32(8) * _noise(seed, 6, 50, fz, fy, fx)
    shade = _map_at("grey", z, wy, wx) + local + gain * _map_at("shine", z, wy, wx)
    return excess, shade


def fibre_course(labels: anatomy.Labels, y: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Direction of the fibres at points, as steps along y and x of length one."""
    right, down = np.float32(0.49) * (x - np.float32(3500)), y - np.float32(1500)
    fan = labels == anatomy.STR
    dy = np.where(fan, y - np.float32(800), right)
    dx = np.where(fan, x - np.float32(1900), -down)
    length = np.sqrt(dy * dy + dx * dx) + np.float32(1)
    return dy / length, dx / length


def _upsample(nodes: Fixed, box: Box) -> Fixed:
    """Linear interpolation of nodes to the voxels of a box, in integers: x, then y, then plane by plane."""
    out = nodes
    for axis in (2, 1):
        index, part = _node_index(box[axis])
        weight = part.astype(np.int16).reshape([-1 if a == axis else 1 for a in range(3)])
        low, high = np.take(out, index, axis), np.take(out, index + 1, axis)
        low *= np.int16(STEP) - weight
        high *= weight
        low += high
        low >>= 2
        out = low
    index, part = _node_index(box[0])
    planes = np.empty((len(index), *out.shape[1:]), np.int16)
    scratch = np.empty_like(planes[0])
    for plane, i, k in zip(planes, index.tolist(), part.tolist(), strict=True):
        np.multiply(out[i], np.int16(STEP - k), out=plane)
        np.multiply(out[i + 1], np.int16(k), out=scratch)
        plane += scratch
        plane >>= 2
    return planes


def _node_index(span: tuple[int, int]) -> tuple[Ints, Ints]:
    """For each voxel of a range, the node at or below it counted from the first, and its distance."""
    voxels = np.arange(*span)
    return voxels // STEP - span[0] // STEP, voxels % STEP


def _nodes(box: Box) -> tuple[Ints, Ints, Ints]:
    axes = [np.arange(lo // STEP, (hi - 1) // STEP + 2, dtype=np.int64) * STEP for lo, hi in box]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return z, y, x


def _fixed(values: Floats, scale: int) -> Fixed:
    fixed: Fixed = np.clip(np.rint(values * np.float32(scale)), -_LIMIT, _LIMIT).astype(np.int16)
    return fixed


def shade_in(seed: int, box: Box) -> Fixed:
    """Grey values of neuropil and axons in a box, int16, `SHADE_SCALE` to the grey value."""
    return _upsample(_fixed(fibres_at(seed, *_nodes(box))[1], SHADE_SCALE), box)


def grain_in(box: Box) -> Fixed:
    """Strength of the grain in a box, int16, in sixteenths."""
    return _upsample(_fixed(_map_at("grain", *_nodes(box)), 16), box)


def axons_in(seed: int, box: Box) -> npt.NDArray[np.bool_]:
    """Which voxels of a box are myelinated axons (before cells and vessels are put in)."""
    inside: npt.NDArray[np.bool_] = _upsample(_fixed(fibres_at(seed, *_nodes(box))[0], FIBRE_SCALE), box) > 0
    return inside
