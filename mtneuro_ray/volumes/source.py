"""The contract of a volume, and the door through which every URI is opened."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mtneuro_ray.errors import InputError, MTNeuroError, SourceError
from mtneuro_ray.roi import Roi, Shape
from mtneuro_ray.volumes import VOLUMES
from mtneuro_ray.volumes.address_options import Micrometers as Micrometers
from mtneuro_ray.volumes.address_options import with_channel
from mtneuro_ray.volumes.schemes import VolumeDeclaration

# Of one of the types below.
Voxels = npt.NDArray[Any]
_TYPES = {
    np.dtype(name) for name in ("bool", *(f"{kind}{bits}" for kind in ("uint", "int") for bits in (8, 16, 32, 64)))
} | {np.dtype(f"float{bits}") for bits in (16, 32, 64)}


class VolumeSource(ABC):
    """A read-only 3D volume of numbers, axes z, y, x, with one or several channels.

    Any box may be read in any process and in any order, and is the same part of the same volume. A source is cheap
    to build, can be pickled and may be used by several threads at once. `volumes.conformance` tests this contract.

    Attributes:
        uri: Canonical address. Never holds a secret: it is logged and stored with results.
        identity: Name of the data. Two sources with one identity hold the same voxels; voxels that change get another
            identity wherever the service or file system shows the change (see each scheme).
        shape: Voxels along z, y, x.
        dtype: bool, an integer of 8 to 64 bits, signed or not, or a float of 16, 32 or 64 bits; native byte order.
        parallel_reads: Reads that one process should have in flight: 1 where they compute, more where they wait.
        voxel_size_um: Micrometers along z, y, x; None where the metadata do not say.
        origin_um: Position of voxel (0, 0, 0) in micrometers; None where the metadata do not say.
        indexed: Values are indices into a palette: labels, not grey values.
        chunk_shape: Voxels along z, y, x that are stored together; None where the volume is not chunked.
        num_channels: Channels of the volume. Only a volume of one channel can be read: `channel` selects one.
        levels: Resolution levels at the address, of which this is one; 1 where there are no others.
    """

    uri: str
    identity: str
    shape: Shape
    dtype: np.dtype[Any]
    parallel_reads: int = 1
    voxel_size_um: Micrometers | None = None
    origin_um: Micrometers | None = None
    indexed: bool = False
    chunk_shape: Shape | None = None
    num_channels: int = 1
    levels: int = 1

    @property
    def domain(self) -> Roi:
        """The box that has voxels; some volumes have none below an offset."""
        return Roi.at((0, 0, 0), self.shape)

    def channel(self, index: int) -> VolumeSource:
        """One channel as a volume of its own, which `uri` and `identity` name.

        Args:
            index: Number of the channel, from 0.

        Raises:
            InputError: there is no such channel.
            SourceError: the volume can't be opened any more.
        """
        if not 0 <= index < self.num_channels:
            raise InputError(f"{self.uri}: channel: {index}; accepted: {self._channels}")
        return self if self.num_channels == 1 else open_volume(with_channel(self.uri, index))

    def read(self, roi: Roi) -> Voxels:
        """The voxels of `roi`, a C-contiguous array of shape `roi.shape` and type `dtype`.

        Raises:
            InputError: the box leaves the volume, or the volume has several channels.
            SourceError: the volume could not be read, changed since its identity was taken, or returned voxels of
                another shape or type.
        """
        if self.num_channels > 1:
            raise InputError(f"{self.uri}: has {self.num_channels} channels; accepted: one of them, {self._channels}")
        if not roi.within(self.shape):
            depth, height, width = self.shape
            raise InputError(
                f"{self.uri}: box {roi} leaves the volume; accepted: z 0-{depth}, y 0-{height}, x 0-{width}"
            )
        voxels = self._read_checked(roi)
        if not self._unchanged(roi):
            self._adopt_copy()
            voxels = self._read_checked(roi)
        if voxels.shape != roi.shape or voxels.dtype != self.dtype:
            raise SourceError(
                f"{self.uri}: box {roi} came back as {voxels.dtype} {voxels.shape}, not {self.dtype} {roi.shape}"
            )
        return np.ascontiguousarray(voxels)

    @property
    def _channels(self) -> str:
        return f"?channel=0 to {self.num_channels - 1}" if self.num_channels > 1 else "?channel=0"

    @abstractmethod
    def _read(self, roi: Roi) -> Voxels:
        """Read a box that is known to lie within the volume."""

    def _read_checked(self, roi: Roi) -> Voxels:
        try:
            return self._read(roi)
        except MTNeuroError:
            raise
        except Exception as error:  # a decoder of foreign bytes may raise anything
            problem = f"{type(error).__name__}: {error}"
            raise SourceError(f"{self.uri}: box {roi} cannot be read: {problem}") from None

    def _unchanged(self, roi: Roi) -> bool:
        """Whether the files that a box was just read from are those that `identity` names."""
        return True

    def _adopt_copy(self) -> None:
        """Continue with other files at the same place if they hold the same data: a machine may have its own copy.

        Raises:
            SourceError: they hold other data.
        """
        known = self.__dict__.get("identity")
        again = open_volume(self.uri) if known else None
        if again is None or again.identity != known:
            raise SourceError(f"{self.uri}: the data changed while they were read; run again when they are complete")
        self.__dict__.update(again.__dict__)


def voxel_type(dtype: np.dtype[Any], where: str) -> np.dtype[Any]:
    """A stored type in native byte order.

    Raises:
        InputError: voxels can't be of this type.
    """
    native = dtype.newbyteorder("=")
    if native not in _TYPES:
        raise InputError(
            f"{where}: voxels of type {dtype}; accepted: bool, int8 to int64, uint8 to uint64, float16 to float64"
        )
    return native


def agree(one_um: Micrometers, other_um: Micrometers) -> bool:
    """Whether two voxel sizes or origins are the same."""
    return np.allclose(one_um, other_um, rtol=1e-3, atol=1e-6)


def scheme_of(uri: str) -> str:
    """The scheme of a volume's URI: the part before `:`, or before `://` for `package.module:attribute://...`."""
    scheme, slashes, _ = uri.partition("://")
    return scheme if slashes and not uri.startswith("file:") else uri.partition(":")[0]


def declaration_of(uri: str) -> VolumeDeclaration:
    """The declaration of a volume's scheme.

    Raises:
        InputError: the scheme is unknown.
    """
    if ":" not in uri:
        forms = ", ".join(f"{name}:" for name in VOLUMES.names())
        raise InputError(f"{uri}: no volume: the scheme is missing; accepted: an address that starts with {forms}")
    return VOLUMES.find(scheme_of(uri), uri)


def open_volume(uri: str, base: Path | None = None) -> VolumeSource:
    """Open the volume that `uri` names.

    Args:
        uri: `phantom://...`, `bossdb://collection/experiment/channel`, `file:path`, `zarr://...`, `n5://...`,
            `precomputed://...`, or the scheme of an installed plugin. `?KEY=VALUE&...` behind it selects a channel and
            a level and overrides what the metadata say; see `AddressOptions`.
        base: Folder that relative paths start from; the working folder by default.

    Raises:
        InputError: the URI is malformed or names nothing.
        SourceError: the volume exists but could not be opened.
    """
    declaration = declaration_of(uri)
    try:
        source: VolumeSource = declaration.resolve()(uri, base or Path())
    except MTNeuroError:
        raise
    except Exception as error:  # a parser of foreign metadata may raise anything
        raise SourceError(f"{uri}: cannot be opened: {type(error).__name__}: {error}") from None
    return source
