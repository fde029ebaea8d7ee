"""Zarr, N5 and Neuroglancer precomputed volumes, on this machine or in a bucket, read with tensorstore."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

from mtneuro_ray.errors import InputError, SourceError
from mtneuro_ray.roi import Roi, Shape
from mtneuro_ray.volumes.address import Address
from mtneuro_ray.volumes.array_metadata import ArrayMetadata, dimension_names, micrometers_of_unit, multiscale, named
from mtneuro_ray.volumes.chunk_grid import ChunkGrid
from mtneuro_ray.volumes.file_set import FileSet
from mtneuro_ray.volumes.source import Micrometers, VolumeSource, Voxels

# Axes of arrays that do not name theirs, by number of axes. tensorstore presents an N5 array in the order of its
# `dimensions` attribute, which is x first by convention.
UNNAMED_AXES = {
    "zarr": {3: "zyx", 4: "czyx", 5: "tczyx"},
    "n5": {3: "xyz", 4: "xyzc", 5: "xyzct"},
    "precomputed": {4: "xyzc"},
}
# tensorstore allocates a whole chunk to read a voxel of it, and aborts the process where memory does not suffice.
MOST_CHUNK_BYTES = 2**31
_PYRAMID_DEPTH = 2
_METADATA_FILES = ("zarr.json", "attributes.json")

logger = logging.getLogger(__name__)


class ChunkedSource(VolumeSource):
    """An array of chunks, seen as z, y, x in absolute coordinates.

    `shape` is the upper bound of the array's domain. A precomputed volume with a voxel offset has no voxels below it:
    to read there is an error. Chunks that are not stored read as the array's fill value, which is logged with their
    number; an array without a single chunk where its metadata say they are is refused.

    The identity of a local array is a digest of its metadata and of the contents of its chunks, so it is the same for
    a moved copy and another one after a voxel changed. A remote array is identified by its address and metadata:
    voxels that are rewritten in place there are found only by `ingest --verify`.

    Raises:
        InputError: there is no such array, or it is no 3D volume of unsigned integers.
        SourceError: it could not be opened.
    """

    parallel_reads = 8

    def __init__(self, address: Address) -> None:
        self.uri = address.uri
        store, self._address, metadata = _find(address)
        # A chunk that is not stored is an error at first, so that it can be logged.
        self._fill = False
        self._axes = _axes(store, address, metadata)
        self._view = view = _as_zyx(store, self._axes, address)
        self.shape, self.dtype = _described(store, view, self.uri)
        self.voxel_size_um, self.origin_um = _placed(store, self._axes, metadata)
        self._domain = _box_of(view.domain)
        depth, height, width = view.chunk_layout.read_chunk.shape
        self.chunk_shape = (int(depth), int(height), int(width))

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_view"}

    @property
    def domain(self) -> Roi:
        """The box that has voxels."""
        return self._domain

    @functools.cached_property
    def _view(self) -> Any:
        """The open array, axes z, y, x; opened again in every process."""
        store = self._address.open(self._fill)
        if store is None:
            raise InputError(f"{self.uri}: no {self._address.scheme} array there")
        return _as_zyx(store, self._axes, self._address)

    @functools.cached_property
    def identity(self) -> str:  # type: ignore[override]
        """Digest of the data; see the class."""
        spec = self._view.spec().to_json()
        metadata = {key: spec[key] for key in spec if key not in ("kvstore", "context", "fill_missing_data_reads")}
        digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
        if self._address.remote:
            return f"{self.uri} sha256:{digest.hexdigest()}"
        digest.update(self._files.digest().encode())
        return f"{self._address.scheme} sha256:{digest.hexdigest()}"

    @functools.cached_property
    def _grid(self) -> ChunkGrid | None:
        return ChunkGrid.of(self._address.open(fill=True), self._axes)

    @functools.cached_property
    def _files(self) -> FileSet:
        """The files of a local array; their number is compared with that of the chunks.

        Raises:
            InputError: no chunk is stored.
        """
        grid, folder = self._grid, Path(self._address.place)
        if grid is not None and grid.separator is None:  # one level below the folder of all scales
            folder /= self._view.spec().to_json()["scale_metadata"]["key"]
        files = FileSet.below(folder, _METADATA_FILES)
        stored = grid.count(files.stamps) if grid else 0
        if grid and not stored:
            nested = "; its files are nested otherwise than dimension_separator says" if files.stamps else ""
            example = next(grid.files(self._domain))
            raise InputError(
                f"{self.uri}: none of its {grid.num_chunks} chunks is stored{nested}; accepted: files such as {example}"
            )
        if grid and stored < grid.num_chunks:
            self._fill = True
            self.__dict__.pop("_view", None)
            missing = grid.num_chunks - stored
            logger.warning(
                "%s: %d of %d chunks are not stored and read as the fill value", self.uri, missing, grid.num_chunks
            )
        return files

    def _read(self, roi: Roi) -> Voxels:
        if roi.intersection(self._domain) != roi:
            raise InputError(f"{self.uri}: box {roi} leaves the volume's domain; accepted: within {self._domain}")
        num_bytes = roi.num_voxels * self.dtype.itemsize
        calls = itertools.count()

        def start() -> Any:
            if next(calls):
                # tensorstore joins a new read of a chunk to the one under way: of no use when that one is stuck.
                self.__dict__.pop("_view", None)
            return self._view[roi.slices].read(order="C")

        try:
            voxels: Voxels = self._address.finish(start, f"box {roi}", num_bytes)
        except FileNotFoundError as error:
            if self._fill or "chunk" not in str(error):
                raise SourceError(f"{self.uri}: box {roi} could not be read: {error}") from None
            logger.warning("%s: chunks are not stored and read as the fill value", self.uri)
            self._fill = True
            voxels = self._address.finish(start, f"box {roi}", num_bytes)
        return voxels

    def _unchanged(self, roi: Roi) -> bool:
        if "_files" not in self.__dict__:  # no identity was taken
            return True
        if self._grid is None:
            return FileSet.below(self._files.root, _METADATA_FILES) == self._files
        return self._files.unchanged(self._grid.files(roi))


def open_chunked(uri: str, base: Path) -> ChunkedSource:
    """Open `zarr://`, `n5://` or `precomputed://` and a folder, which may be relative to `base`, or a bucket's address.

    Of an OME-Zarr group the first level is read, of a precomputed volume scale 0 and channel 0. Errors are those of
    `Address.parse` and `ChunkedSource`.
    """
    return ChunkedSource(Address.parse(uri, base))


def _find(address: Address) -> tuple[Any, Address, ArrayMetadata]:
    """The open array, its address, and the metadata around it; the first level of a group."""
    if not address.remote and not Path(address.place).is_dir():
        raise InputError(f"{address.uri}: no such folder")
    store = address.open(fill=False)
    if store is not None:
        return store, address, _metadata_of_array(address) if address.scheme == "zarr" else ArrayMetadata()
    if address.scheme == "zarr":
        metadata = multiscale(address.attributes(), address.uri) or ArrayMetadata(level="0")
        store = address.at(metadata.level).open(fill=False)
        if store is not None:
            return store, address.at(metadata.level), metadata
    raise InputError(f"{address.uri}: no {address.scheme} array there")


def _metadata_of_array(address: Address) -> ArrayMetadata:
    """Metadata of a Zarr array in the pyramid above it, else in its own attributes."""
    for parent, path in address.parents(_PYRAMID_DEPTH):
        found = multiscale(parent.attributes(), parent.uri, path)
        if found is not None:
            return found
    return ArrayMetadata(dimension_names(address.attributes(), address.uri))


def _as_zyx(store: Any, names: Sequence[str], address: Address) -> Any:
    """The array with axes z, y, x: others are dropped where they are one long (or a precomputed channel)."""
    if sorted(set(names) & set("zyx")) != ["x", "y", "z"] or len(set(names)) < len(names):
        raise InputError(f"{address.uri}: axes {', '.join(names)}; accepted: z, y, x and others of length 1")
    origin, shape = store.domain.inclusive_min, store.domain.shape
    others = [axis for axis, name in enumerate(names) if name not in "zyx"]
    for axis in others:
        if shape[axis] != 1 and address.scheme != "precomputed":
            raise InputError(f"{address.uri}: axis {names[axis]} is {shape[axis]} long; accepted: 1")
    if others:
        store = store[ts.d[tuple(others)][tuple(origin[axis] for axis in others)]]
    kept = [name for name in names if name in "zyx"]
    return store.transpose([kept.index(name) for name in "zyx"])


def _axes(store: Any, address: Address, metadata: ArrayMetadata) -> tuple[str, ...]:
    """Names of the array's axes: in the array, else in the metadata around it, else by the number of axes."""
    own, around = tuple(label.lower() for label in store.domain.labels), metadata.axes
    rank = store.rank
    if named(own) and around and own != around:
        raise InputError(f"{address.uri}: axes {', '.join(own)} in the array, {', '.join(around)} in its metadata")
    for names in (own, around):
        if names and named(names):
            if len(names) != rank:
                raise InputError(f"{address.uri}: {rank} axes with {len(names)} names; accepted: a name for each")
            return names
    if rank not in UNNAMED_AXES[address.scheme]:
        raise InputError(f"{address.uri}: {rank} axes; accepted: z, y, x and others of length 1")
    return tuple(UNNAMED_AXES[address.scheme][rank])


def _placed(store: Any, axes: Sequence[str], metadata: ArrayMetadata) -> tuple[Micrometers | None, Micrometers | None]:
    """Voxel size and origin along z, y, x, in micrometers; None where they are not known."""
    order = [axes.index(axis) for axis in "zyx"]
    if metadata.scale_um:
        z, y, x = order
        scale, origin = metadata.scale_um, metadata.origin_um
        return (scale[z], scale[y], scale[x]), (origin[z], origin[y], origin[x])
    sizes = [micrometers_of_unit(store.dimension_units[axis]) for axis in order]
    known = [size for size in sizes if size]
    return ((known[0], known[1], known[2]) if len(known) == 3 else None), None


def _described(store: Any, view: Any, uri: str) -> tuple[Shape, np.dtype[np.unsignedinteger]]:
    dtype = np.dtype(view.dtype.numpy_dtype)
    if dtype.kind != "u":
        raise InputError(f"{uri}: voxels are {dtype}; accepted: uint8, uint16, uint32, uint64")
    depth, height, width = (int(stop) for stop in view.domain.exclusive_max)
    if min(view.domain.shape) < 1 or min(depth, height, width) < 1:
        raise InputError(f"{uri}: holds no voxel at z, y, x of 0 or above")
    chunk_bytes = math.prod(store.chunk_layout.read_chunk.shape) * dtype.itemsize
    if chunk_bytes > MOST_CHUNK_BYTES:
        raise InputError(f"{uri}: chunks of {chunk_bytes} bytes; accepted: at most {MOST_CHUNK_BYTES}")
    return (depth, height, width), dtype


def _box_of(domain: Any) -> Roi:
    z, y, x = (
        (max(0, int(start)), int(stop)) for start, stop in zip(domain.inclusive_min, domain.exclusive_max, strict=True)
    )
    return Roi(z, y, x)
