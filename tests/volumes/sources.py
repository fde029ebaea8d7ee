"""A volume in memory that remembers what was asked of it."""

from __future__ import annotations

import numpy as np

from mtneuro_ray.errors import SourceError
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.source import VolumeSource, Voxels


class MemoryVolume(VolumeSource):
    """Counts how often each voxel is read.

    Args:
        voxels: The volume.
        name: Of the data.
        fails_after: Reads that succeed; every later one raises. None: all of them.
    """

    def __init__(self, voxels: Voxels, name: str = "memory", fails_after: int | None = None) -> None:
        self.uri = self.identity = f"memory:{name}"
        depth, height, width = voxels.shape
        self.shape = (depth, height, width)
        self.dtype = voxels.dtype
        self.fails_after = fails_after
        self.reads = np.zeros(voxels.shape, np.int64)
        self._voxels = voxels

    def _read(self, roi: Roi) -> Voxels:
        if self.fails_after is not None:
            if self.fails_after == 0:
                raise SourceError(f"{self.uri}: gone")
            self.fails_after -= 1
        self.reads[roi.slices] += 1
        return self._voxels[roi.slices]
