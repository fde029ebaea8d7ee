"""From a box to voxels: fibres first, then cells, then vessels, then the optics."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mtneuro_ray.data.phantom import objects, regions, texture
from mtneuro_ray.data.phantom.noise import Box, derive_key, white_bytes

VESSEL, CELL, AXON = 1, 2, 3
_BLUR = 2  # passes of the optics' blur in a plane, one voxel of halo each
_GRAIN = 2  # passes that the grain has seen before
_GRAIN_GAIN = 9  # raw grain, fixed-point units per step of a byte
_VOID = 8  # grey value outside the tissue

Fixed = npt.NDArray[np.int16]


def _grown(box: Box, z: int, plane: int) -> Box:
    (z0, z1), (y0, y1), (x0, x1) = box
    return (z0 - z, z1 + z), (y0 - plane, y1 + plane), (x0 - plane, x1 + plane)


def _shape(box: Box) -> tuple[int, int, int]:
    (z0, z1), (y0, y1), (x0, x1) = box
    return z1 - z0, y1 - y0, x1 - x0


def _soften(values: Fixed, axis: int) -> Fixed:
    """Blur by 1-2-1 along an axis, which loses a voxel at each end."""
    inner = [slice(None)] * 3
    first, middle, last = list(inner), list(inner), list(inner)
    first[axis], middle[axis], last[axis] = slice(None, -2), slice(1, -1), slice(2, None)
    total = values[tuple(first)] + values[tuple(last)]
    total += values[tuple(middle)]
    total += values[tuple(middle)]
    total += np.int16(2)
    total >>= 2
    return total


def _blur(values: Fixed, passes: int) -> Fixed:
    values = _soften(values, 0)
    for _ in range(passes):
        values = _soften(_soften(values, 1), 2)
    return values


def labels(seed: int, box: Box) -> npt.NDArray[np.uint8]:
    """The microstructure of a box, uint8, axes z, y, x: 0 background, 1 vessel, 2 cell, 3 axon."""
    tissue = regions.labels_in(box) != regions.CLEAR
    out: npt.NDArray[np.uint8] = (texture.axons_in(seed, box) & tissue).view(np.uint8) * np.uint8(AXON)
    flat = out.reshape(-1)
    for painted in objects.cells(seed, box):
        flat[painted.where] = CELL
    for painter in (objects.capillaries, objects.trunks):
        for painted in painter(seed, box):
            flat[painted.where] = VESSEL
    return out


def image(seed: int, box: Box) -> npt.NDArray[np.uint8]:
    """The grey values of a box, uint8, axes z, y, x."""
    wide = _grown(box, 1, _BLUR)
    scene = texture.shade_in(seed, wide)
    flat = scene.reshape(-1)
    for painter in (objects.cells, objects.capillaries, objects.trunks):
        for painted in painter(seed, wide):
            flat[painted.where] = painted.grey * np.int16(texture.SHADE_SCALE)
    raw = white_bytes(derive_key(seed, 40), _grown(wide, 1, _GRAIN)).astype(np.int16)
    raw *= np.int16(_GRAIN_GAIN)
    grain = _blur(raw, _GRAIN)
    void = regions.labels_in(wide) == regions.CLEAR
    if void.any():
        scene[void] = _VOID * texture.SHADE_SCALE
        grain[void] >>= 2
    scene += grain
    grey = _blur(scene, _BLUR)
    grey //= texture.SHADE_SCALE
    clipped: npt.NDArray[np.uint8] = np.clip(grey, 0, 255).astype(np.uint8)
    return clipped
