"""The built-in phantom: a procedural thalamocortical volume with exact labels, computed where it is read.

Written by hand because no dependency makes labelled tissue that is equal to the bit in any box, read in any process and
any order, out of one volume of 6 billion voxels: a voxel depends on (seed, channel, z, y, x) alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import numpy.typing as npt

from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.phantom import anatomy, objects, render
from mtneuro_ray.volumes.phantom.noise import Box
from mtneuro_ray.volumes.source import VolumeSource, Voxels

VERSION = 4  # part of the identity: raise it with every change of any voxel
EXPERIMENT = "thalamocortical"
_TILE = (64, 256, 256)  # voxels rendered at once: wide enough that the halo costs little
_THIN = 8  # planes up to which still wider tiles are faster
_WIDE = (_THIN, 512, 512)
_SEEDS = 2**32

_Renderer = Callable[[int, Box], npt.NDArray[np.uint8]]


def _roi_labels(seed: int, box: Box) -> npt.NDArray[np.uint8]:
    """Region labels do not depend on the seed."""
    return np.array(anatomy.ROI_LABELS, np.uint8)[anatomy.labels_in(box)]


_CHANNELS: dict[str, tuple[str, _Renderer]] = {
    "image": ("uint8", render.image),
    "roi_labels": ("uint64", _roi_labels),
    "pixel_labels": ("uint64", render.labels),
}


class PhantomSource(VolumeSource):
    """One channel of the phantom.

    Args:
        channel: `image` (uint8), `roi_labels` or `pixel_labels` (uint64, as BossDB serves them).
        seed: Seed of cells, vessels, fibres and grey values; the regions are the same for all seeds.
    """

    def __init__(self, channel: str, seed: int) -> None:
        dtype, _ = _CHANNELS[channel]
        self.uri = f"phantom://{EXPERIMENT}/{channel}?seed={seed}"
        self.identity = f"{self.uri}&version={VERSION}"
        self.shape = anatomy.SHAPE
        self.dtype = np.dtype(dtype)
        self._channel = channel
        self._seed = seed

    def _read(self, roi: Roi) -> Voxels:
        _, renderer = _CHANNELS[self._channel]
        out = np.empty(roi.shape, self.dtype)
        for tile in roi.split(_WIDE if roi.shape[0] <= _THIN else _TILE):
            out[tile.slices_within(roi)] = renderer(self._seed, tile.ranges)
        return out


def cell_centres(seed: int, box: Roi) -> npt.NDArray[np.float32]:
    """Centres (N, 3) of the cells of a phantom that lie in a box, z, y, x in voxels: the truth behind `pixel_labels`.

    Cells may touch or overlap each other, and vessels are drawn over them.
    """
    centres = objects.cell_solids(seed, box.ranges).centre.T
    low, high = np.array(box.ranges, np.float32).T
    # Voxel i holds the positions from i - 0.5 to i + 0.5.
    inside: npt.NDArray[np.float32] = centres[np.all((centres >= low - 0.5) & (centres < high - 0.5), axis=1)]
    return inside


def open_phantom(uri: str, base: Path) -> PhantomSource:
    """Open `phantom://thalamocortical/CHANNEL?seed=N`; without a query the seed is 0. `base` is not used.

    Raises:
        InputError: the experiment, the channel or the query is unknown.
    """
    parts, seed = urlsplit(uri), 0
    if parts.netloc != EXPERIMENT:
        raise InputError(f"{uri}: {parts.netloc!r} is no phantom; accepted: {EXPERIMENT}")
    channel = parts.path.strip("/")
    if channel not in _CHANNELS:
        raise InputError(f"{uri}: {channel!r} is no channel of it; accepted: {', '.join(_CHANNELS)}")
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        if key != "seed":
            raise InputError(f"{uri}: unknown option {key!r}; accepted: seed")
        if not re.fullmatch(r"[0-9]{1,10}", value) or int(value) >= _SEEDS:
            raise InputError(f"{uri}: seed {value!r} is not a seed; accepted: an integer from 0 to {_SEEDS - 1}")
        seed = int(value)
    return PhantomSource(channel, seed)
