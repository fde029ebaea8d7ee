"""From a box to voxels: fibres first, then cells, then vessels, then the optics and the scanner."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mtneuro_ray.volumes.phantom import acquisition, anatomy, objects, texture
from mtneuro_ray.volumes.phantom.noise import Box, Fixed

VESSEL, CELL, AXON = 1, 2, 3
_BLUR = 2  # passes of the optics' blur in a plane, one voxel of halo each
_FRINGES = (2, 3)  # taps of the wide blur that the fringes are made with
_FRINGE = sum(_FRINGES)
_SLAB = 8  # planes exposed at once, so that they stay in the cache
_VOID = 8  # grey value outside the tissue
_DARK = 14  # grey value below which there is nothing that could be grainy

# In this order: what comes later covers what came before.
_PAINTERS = ((AXON, objects.strands), (CELL, objects.cells), (VESSEL, objects.capillaries), (VESSEL, objects.trunks))


def _grown(box: Box, z: int, plane: int) -> Box:
    (z0, z1), (y0, y1), (x0, x1) = box
    return (z0 - z, z1 + z), (y0 - plane, y1 + plane), (x0 - plane, x1 + plane)


def _soften(values: Fixed, axis: int, apart: int = 1) -> Fixed:
    """Blur by 1-2-1 with taps `apart` voxels apart, which loses as many voxels at each end of the axis."""
    pairs = _neighbours(values, axis, apart)
    total = _neighbours(pairs, axis, apart)
    total += np.int16(2)
    total >>= 2
    return total


def _neighbours(values: Fixed, axis: int, apart: int) -> Fixed:
    """Sums of voxels and those `apart` further along an axis."""
    size = values.shape[axis] - apart
    low, high = (values[(slice(None),) * axis + (slice(start, start + size),)] for start in (0, apart))
    total: Fixed = low + high
    return total


def _blur(values: Fixed, passes: int) -> Fixed:
    values = _soften(values, 0)
    for _ in range(passes):
        values = _soften(_soften(values, 1), 2)
    return values


def _sharpen(values: Fixed, gain: Fixed) -> Fixed:
    """Bright fringes round dark things, as phase contrast leaves them; loses `_FRINGE` voxels in a plane.

    `gain` holds sixteenths for each plane.
    """
    smooth = values
    for apart in _FRINGES:
        smooth = _soften(_soften(smooth, 1, apart), 2, apart)
    inner = values[:, _FRINGE:-_FRINGE, _FRINGE:-_FRINGE]
    edge = inner - smooth
    edge *= gain[:, None, None]
    edge >>= 4
    edge += inner
    return edge


def labels(seed: int, box: Box) -> npt.NDArray[np.uint8]:
    """The microstructure of a box, uint8, axes z, y, x: 0 background, 1 vessel, 2 cell, 3 axon."""
    tissue = anatomy.labels_in(box) != anatomy.CLEAR
    out: npt.NDArray[np.uint8] = (texture.axons_in(seed, box) & tissue).view(np.uint8) * np.uint8(AXON)
    flat = out.reshape(-1)
    for label, painter in _PAINTERS:
        for where, _ in painter(seed, box):
            flat[where] = label
    return out


def image(seed: int, box: Box) -> npt.NDArray[np.uint8]:
    """The grey values of a box, uint8, axes z, y, x."""
    (z0, z1), y, x = _grown(box, 1, _BLUR + _FRINGE)
    scene = texture.shade_in(seed, ((z0, z1), y, x))
    flat = scene.reshape(-1)
    for _, painter in _PAINTERS:
        for where, grey in painter(seed, ((z0, z1), y, x)):
            flat[where] = grey * np.int16(texture.SHADE_SCALE)
    scene[anatomy.labels_in(((z0, z1), y, x)) == anatomy.CLEAR] = _VOID * texture.SHADE_SCALE
    out = np.empty([hi - lo for lo, hi in box], np.uint8)
    rings = acquisition.Rings(seed, box[1], box[2])
    for k in range(0, len(out), _SLAB):
        part = scene[k : k + _SLAB + 2]
        grey = _expose(seed, part, ((z0 + k, z0 + k + len(part)), y, x))
        out[k : k + _SLAB] = acquisition.record(seed, grey, z0 + k + 1, rings)
    return out


def _expose(seed: int, scene: Fixed, box: Box) -> Fixed:
    """Grey values of a scene of that box after grain, blur and fringes, `SHADE_SCALE` to one; loses the halo."""
    grain = texture.grain_in(seed, box)
    grain *= acquisition.noise(seed, box[0])[:, None, None]
    grain >>= 3
    grain[scene < _DARK * texture.SHADE_SCALE] >>= 2
    grain += scene
    return _sharpen(_blur(grain, _BLUR), acquisition.fringes(seed, (box[0][0] + 1, box[0][1] - 1)))
