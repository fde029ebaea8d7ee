"""The contract of a volume, and the one door through which every URI is opened."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mtneuro_ray.errors import InputError, SourceError
from mtneuro_ray.roi import Roi, Shape

Voxels = npt.NDArray[np.unsignedinteger]

# scheme -> "module:opener"; an opener takes (uri, base folder of relative paths) and returns a VolumeSource.
OPENERS = {
    "phantom": "mtneuro_ray.volumes.phantom:open_phantom",
    "bossdb": "mtneuro_ray.volumes.bossdb:open_bossdb",
    "file": "mtneuro_ray.volumes.files:open_file",
    "zarr": "mtneuro_ray.volumes.chunked:open_chunked",
    "n5": "mtneuro_ray.volumes.chunked:open_chunked",
    "precomputed": "mtneuro_ray.volumes.chunked:open_chunked",
}


class VolumeSource(ABC):
    """A read-only 3D volume of unsigned integers, axes z, y, x.

    Any box may be read in any process and in any order, and is the same part of the same volume.
    A source is cheap to build, holds no open connection that could not be pickled, and may be used by
    several threads at once.

    Attributes:
        uri: Canonical address. Never holds a secret: it is logged and stored with results.
        identity: Names the data themselves. Two sources with one identity hold the same voxels.
        shape: Voxels along z, y, x.
        dtype: An unsigned integer type.
        parallel_reads: Reads that one process should have in flight: 1 where they compute, more where they wait.
    """

    uri: str
    identity: str
    shape: Shape
    dtype: np.dtype[np.unsignedinteger]
    parallel_reads: int = 1

    def read(self, roi: Roi) -> Voxels:
        """The voxels of `roi`, a C-contiguous array of shape `roi.shape`.

        Raises:
            InputError: the box leaves the volume.
            SourceError: the volume could not be read, or gave something of another shape or type.
        """
        if not roi.within(self.shape):
            depth, height, width = self.shape
            raise InputError(
                f"{self.uri}: box {roi} leaves the volume; accepted: z 0-{depth}, y 0-{height}, x 0-{width}"
            )
        voxels = self._read(roi)
        if voxels.shape != roi.shape or voxels.dtype != self.dtype:
            raise SourceError(
                f"{self.uri}: box {roi} came back as {voxels.dtype} {voxels.shape}, not {self.dtype} {roi.shape}"
            )
        return np.ascontiguousarray(voxels)

    @abstractmethod
    def _read(self, roi: Roi) -> Voxels:
        """Read a box that is known to lie within the volume."""


def scheme_of(uri: str) -> str:
    """The part of a volume's URI before its first colon.

    Raises:
        InputError: it is none of `OPENERS`.
    """
    scheme, colon, _ = uri.partition(":")
    if not colon or scheme not in OPENERS:
        raise InputError(f"{uri}: no such kind of volume; accepted: {', '.join(OPENERS)}")
    return scheme


def open_volume(uri: str, base: Path | None = None) -> VolumeSource:
    """Open the volume that `uri` names.

    Args:
        uri: `phantom://...`, `bossdb://collection/experiment/channel`, `file:path`, `zarr://...`, `n5://...`
            or `precomputed://...`.
        base: Folder that relative `file:` paths start from; the working folder by default.

    Raises:
        InputError: the URI is malformed or names nothing.
        SourceError: the volume exists but could not be opened.
    """
    module, _, name = OPENERS[scheme_of(uri)].partition(":")
    source: VolumeSource = getattr(import_module(module), name)(uri, base or Path())
    return source
