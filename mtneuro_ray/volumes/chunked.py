"""Zarr, N5 and Neuroglancer precomputed volumes, on this machine or in a bucket, read with tensorstore."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

from mtneuro_ray.errors import InputError, SourceError
from mtneuro_ray.roi import Roi, Shape
from mtneuro_ray.volumes.address import Address
from mtneuro_ray.volumes.address_options import AddressOptions, Micrometers
from mtneuro_ray.volumes.array_metadata import ArrayMetadata, micrometers_of_unit
from mtneuro_ray.volumes.axes import AxisLayout, axis_names, named, short
from mtneuro_ray.volumes.chunk_grid import ChunkGrid
from mtneuro_ray.volumes.file_set import FileSet
from mtneuro_ray.volumes.pyramids import find_array
from mtneuro_ray.volumes.source import VolumeSource, Voxels, voxel_type

# tensorstore allocates a whole chunk to read a voxel of it, and aborts the process where memory does not suffice.
MOST_CHUNK_BYTES = 2**31
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

    Args:
        address: Place of the array, or of the group or volume that holds its levels.
        options: Channel, level, voxel size and names of axes.

    Raises:
        InputError: there is no such array, level or channel, or it is no volume of numbers with axes z, y, x.
        SourceError: it could not be opened.
    """

    parallel_reads = 8

    def __init__(self, address: Address, options: AddressOptions | None = None) -> None:
        options = options or AddressOptions()
        found = find_array(address, options)
        store, self._address, self.levels = found.store, found.address, found.num_levels
        self._layout = AxisLayout.of(
            _names(store, found.metadata, options.axes, address), store.domain.shape, address.uri
        )
        self._channel = self._layout.selected(options.channel, address.uri)
        self.num_channels = 1 if self._channel is not None else self._layout.num_channels
        # A chunk that is not stored is an error at first, so that it can be logged.
        self._fill = False
        level = str(found.level) if found.level else None
        self.uri = address.uri + replace(options, channel=self._channel, level=level, target_um=None).query
        part = AddressOptions(channel=self._channel, level=level).query.replace("?", " ")
        self._names = (address.uri if address.remote else address.scheme, part)
        self._view = view = _as_zyx(store, self._layout, self._channel)
        self.shape, self.dtype = _described(store, view, self.uri)
        found_um, self.origin_um = _placed(store, self._layout, found.metadata)
        self.voxel_size_um = options.voxel_size_um or found_um
        self._domain = _box_of(view.domain)
        self.chunk_shape = self._layout.sides(store.chunk_layout.read_chunk.shape)

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
        return _as_zyx(store, self._layout, self._channel)

    @functools.cached_property
    def identity(self) -> str:  # type: ignore[override]
        """Digest of the data; see the class."""
        spec = self._view.spec().to_json()
        metadata = {key: spec[key] for key in spec if key not in ("kvstore", "context", "fill_missing_data_reads")}
        digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
        if not self._address.remote:
            digest.update(self._files.digest().encode())
        name, part = self._names
        return f"{name} sha256:{digest.hexdigest()}{part}"

    @functools.cached_property
    def _grid(self) -> ChunkGrid | None:
        return ChunkGrid.of(self._address.open(fill=True), self._layout.names)

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

    `?channel=`, `?level=`, `?target_um=`, `?voxel_size=` and `?axes=` may follow. Of an OME-Zarr, N5 or precomputed
    pyramid the finest level is read by default. Errors are those of `Address.parse`, `Options.split` and
    `ChunkedSource`.
    """
    place, options = AddressOptions.split(uri)
    return ChunkedSource(Address.parse(place, base), options)


def _names(store: Any, metadata: ArrayMetadata, given: str, address: Address) -> list[str]:
    """Names of the array's axes: in the array, else in the metadata around it, else in the address."""
    own, around = short(store.domain.labels), metadata.axes
    if named(own) and around and address.scheme != "precomputed" and own != around:
        raise InputError(f"{address.uri}: axes {', '.join(own)} in the array, {', '.join(around)} in its metadata")
    found = next((names for names in (own, around) if names and named(names)), ())
    return axis_names(found, given, store.domain.shape, address.uri, reverse=address.scheme == "n5")


def _as_zyx(store: Any, layout: AxisLayout, channel: int | None) -> Any:
    """One channel of the array with axes z, y, x."""
    origin = store.domain.inclusive_min
    chosen = {axis: origin[axis] for axis in layout.single}
    if layout.channel_axis is not None:
        chosen[layout.channel_axis] = origin[layout.channel_axis] + (channel or 0)
    if chosen:
        axes = sorted(chosen)
        store = store[ts.d[tuple(axes)][tuple(chosen[axis] for axis in axes)]]
    kept = [axis for axis in range(len(layout.names)) if axis not in chosen]
    store = store.transpose([kept.index(axis) for axis in layout.order])
    return store if len(layout.order) == 3 else store[ts.newaxis]


def _placed(store: Any, layout: AxisLayout, metadata: ArrayMetadata) -> tuple[Micrometers | None, Micrometers | None]:
    """Voxel size and origin along z, y, x, in micrometers; None where they are not known."""
    if metadata.scale_um:
        return layout.size(metadata.scale_um), layout.place(metadata.origin_um)
    return layout.size([micrometers_of_unit(unit) or 0.0 for unit in store.dimension_units]), None


def _described(store: Any, view: Any, uri: str) -> tuple[Shape, np.dtype[Any]]:
    dtype = voxel_type(np.dtype(view.dtype.numpy_dtype), uri)
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
