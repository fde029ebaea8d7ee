"""What the scanner adds: gain, offset and sharpness that change from slice to slice, and rings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mtneuro_ray.volumes.phantom.noise import (
    Fixed,
    Floats,
    Range,
    derive_key,
    grid_noise,
    hash_points,
    unit,
)
from mtneuro_ray.volumes.phantom.texture import SHADE_SCALE

OFFSET = 16.0  # grey values between the darkest and the brightest slices
GAIN = 0.3  # the same for the gain, as a share
SHARPNESS = 8.0  # the same for the fringes, sixteenths
FRINGES = 12  # sixteenths of the fringes in an average slice
NOISE = 12.0  # the same for the noise, eighths of the grain
_AIR = 8  # grey value that a change of gain leaves alone
_AXIS = (760, 2900)  # y, x of the axis of rotation, the centre of the rings
_RING = 3  # voxels across a ring
_RINGS_Z = 4  # planes with the same rings
RING_STRENGTH = 24.0  # grey values between the strongest dark and bright rings; most are far weaker


def _course(seed: int, purpose: int, span: Range, size: float, jitter: float) -> Floats:
    """A number in [-0.5, 0.5) for each plane: a slow course with features of `size` planes and a share of jitter."""
    planes, zero = np.arange(*span), np.zeros(1, np.float32)
    slow = grid_noise(derive_key(seed, purpose), planes.astype(np.float32) * np.float32(1 / size), zero, zero)[:, 0, 0]
    quick = unit(hash_points(derive_key(seed, purpose + 1), planes))
    course: Floats = slow + np.float32(jitter) * (quick - slow) - np.float32(0.5)
    return course


def _per_plane(values: Floats) -> Fixed:
    return np.rint(values).astype(np.int16)


def fringes(seed: int, span: Range) -> Fixed:
    """Strength of the fringes of each plane, sixteenths."""
    return _per_plane(np.float32(FRINGES) + np.float32(SHARPNESS) * _course(seed, 60, span, 20, 0.3))


def noise(seed: int, span: Range) -> Fixed:
    """Strength of the grain of each plane, eighths."""
    return _per_plane(np.float32(8) + np.float32(NOISE) * _course(seed, 68, span, 16, 0.7))


class Rings:
    """Rings around the axis of rotation in a window of the planes."""

    def __init__(self, seed: int, y: Range, x: Range) -> None:
        down, right = (np.arange(*r).astype(np.float32) - np.float32(c) for r, c in zip((y, x), _AXIS, strict=True))
        radius = np.sqrt((down * down)[:, None] + (right * right)[None, :])
        index = (radius * np.float32(1 / _RING)).astype(np.int64)
        self._first, self._last = int(index.min()), int(index.max())
        self._index = index - self._first
        self._key = derive_key(seed, 66)

    def at(self, block: int) -> Fixed:
        """Grey values of a block of planes, `SHADE_SCALE` to one, axes y, x."""
        radii = np.arange(self._first, self._last + 1)
        part = unit(hash_points(self._key, np.full_like(radii, block), radii)) - np.float32(0.5)
        # The cube makes a few rings strong and most of them weak.
        strength = np.rint(part * part * part * np.float32(4 * RING_STRENGTH * SHADE_SCALE)).astype(np.int16)
        found: Fixed = strength[self._index]
        return found


def record(seed: int, grey: Fixed, z: int, rings: Rings) -> npt.NDArray[np.uint8]:
    """Bytes of planes from z on as the scanner leaves them; changes `grey`, which has `SHADE_SCALE` to one."""
    span = (z, z + len(grey))
    gain = _per_plane(np.float32(GAIN * 256) * _course(seed, 62, span, 24, 0.4))
    offset = _per_plane(np.float32(OFFSET * SHADE_SCALE) * _course(seed, 64, span, 24, 0.4))
    change = grey - np.int16(_AIR * SHADE_SCALE)
    change >>= 3
    change *= gain[:, None, None]
    change >>= 5
    grey += change
    grey += offset[:, None, None]
    last = None
    for plane, block in zip(grey, (np.arange(*span) // _RINGS_Z).tolist(), strict=True):
        if block != last:
            ring, last = rings.at(block), block
        plane += ring
    grey >>= 3
    out: npt.NDArray[np.uint8] = np.clip(grey, 0, 255).astype(np.uint8)
    return out
