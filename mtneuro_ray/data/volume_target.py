"""Places that predictions of whole volumes are written to: OME-Zarr 0.5 or precomputed, in a folder or a bucket.

    TARGET              one image, with all its levels
    TARGET/uncertainty  a second one, where several models disagree
    TARGET/.mtneuro     settings of the prediction and its finished blocks, until it is complete

A target's metadata are written last: one with zarr.json or info is complete.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import tensorstore as ts

from mtneuro_ray.data import image_metadata
from mtneuro_ray.data.pyramid import Level, Values
from mtneuro_ray.errors import InputError, StoreError, parsing
from mtneuro_ray.roi import Roi, Shape
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.volumes.address import Address
from mtneuro_ray.volumes.address_options import AddressOptions, Micrometers

Scheme = Literal["zarr", "precomputed"]
ROOT_FILE: dict[Scheme, str] = {"zarr": "zarr.json", "precomputed": "info"}
# Files of a bucket that are written at once.
_WRITERS = 8


@dataclass(frozen=True)
class Layer:
    """One image of a target.

    Attributes:
        name: Folder in the target; empty for the target itself.
        channels: Names of the channels; empty where there is no channel axis.
        classes: Names of the classes that the values are; empty where values are grey.
        dtype: "uint8", or "float32" for vectors, whose channels are stored together.
    """

    name: str
    channels: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    dtype: str = "uint8"


@dataclass(frozen=True)
class Placement:
    """Where pixels of a prediction lie in the volume.

    Attributes:
        step: Voxels of the volume that a pixel covers, z, y, x.
        voxel_size_um: Micrometers; None where they are not known.
        origin_um: Middle of the volume's first voxel.
    """

    step: Shape
    voxel_size_um: Micrometers | None
    origin_um: Micrometers | None

    @property
    def pixel_size(self) -> Micrometers:
        """Size of a pixel along z, y, x, in micrometers or, where those are not known, in voxels."""
        z, y, x = (side * size for side, size in zip(self.step, self.voxel_size_um or (1.0, 1.0, 1.0), strict=True))
        return (z, y, x)


@dataclass(frozen=True)
class LevelArray:
    """One level of a layer, written and read by whole chunks."""

    folder: Folder
    scheme: Scheme
    number: int
    level: Level
    chunk: Shape
    num_channels: int
    """0 where there is no channel axis."""
    dtype: str = "uint8"

    def write(self, roi: Roi, pixels: Values) -> None:
        """Write pixels ([C,] Z, Y, X) of a box of whole chunks, relative to the level.

        Raises:
            StoreError: they can't be written.
        """
        files = _Files()
        array = files.array(self.spec)
        array[self._index(roi)].write(self._stored(pixels)).result()
        contents = [(name, content) for name, content in files.contents() if not image_metadata.is_metadata(name)]
        try:
            if self.folder.is_local:
                for name, content in contents:
                    self.folder.write(name, content)
            else:
                with ThreadPoolExecutor(_WRITERS) as pool:
                    list(pool.map(lambda file: self.folder.write(*file), contents))
        except OSError as error:
            raise StoreError(
                f"{self.folder}: box {roi} can't be written: {error.strerror or error}; accepted: the same command "
                "again once it can, which computes only what is missing"
            ) from None

    def read(self, roi: Roi) -> Values:
        """Pixels ([C,] Z, Y, X) of a box.

        Raises:
            StoreError: a chunk is missing.
        """
        files = _Files()
        array = files.array(self.spec)
        for name in (name for chunk in self._chunks(roi) for name in self._names(chunk)):
            try:
                files.write(name, self.folder.read(name))
            except FileNotFoundError:
                raise StoreError(
                    f"{self.folder}: chunk {name} is missing; accepted: predict into a new place"
                ) from None
        pixels = np.asarray(array[self._index(roi)].read(order="C").result())
        return pixels if self.scheme == "zarr" else _from_precomputed(pixels, self.num_channels)

    def metadata(self) -> bytes:
        """Content of the level's own zarr.json."""
        files = _Files()
        files.array(self.spec)
        return dict(files.contents())[f"{self.number}/zarr.json"]

    @cached_property
    def spec(self) -> dict[str, Any]:
        """The level for tensorstore."""
        build = image_metadata.zarr_spec if self.scheme == "zarr" else image_metadata.precomputed_spec
        return build(self.number, self.level, self.chunk, self.num_channels, self.dtype)

    def _chunks(self, roi: Roi) -> list[Roi]:
        """The chunks that a box touches."""
        ranges = []
        for (low, high), side, end in zip(roi.ranges, self.chunk, self.level.shape, strict=True):
            ranges.append((low // side * side, min(end, -(-high // side) * side)))
        return list(Roi(*ranges).split(self.chunk))

    def _names(self, chunk: Roi) -> list[str]:
        """Files of a chunk: one for each channel in Zarr."""
        if self.scheme == "zarr":
            place = "/".join(str(low // side) for low, side in zip(chunk.origin, self.chunk, strict=True))
            together = image_metadata.channels_of_chunk(self.num_channels, self.dtype)
            leads = [f"{lead}/" for lead in range(self.num_channels // together)] if self.num_channels else [""]
            return [f"{self.number}/c/{lead}{place}" for lead in leads]
        sides = zip(reversed(chunk.ranges), reversed(self.level.offset), strict=True)
        return [f"{self.number}/" + "_".join(f"{low + first}-{high + first}" for (low, high), first in sides)]

    def _index(self, roi: Roi) -> tuple[slice, ...]:
        if self.scheme == "zarr":
            return (*([slice(None)] if self.num_channels else []), *roi.slices)
        sides = zip(reversed(roi.ranges), reversed(self.level.offset), strict=True)
        return (*(slice(low + first, high + first) for (low, high), first in sides), slice(None))

    def _stored(self, pixels: Values) -> Values:
        if self.scheme == "zarr":
            return pixels
        return (pixels if self.num_channels else pixels[None]).transpose(3, 2, 1, 0)


def _from_precomputed(pixels: Values, num_channels: int) -> Values:
    ordered = np.ascontiguousarray(pixels.transpose(3, 2, 1, 0))
    return ordered if num_channels else ordered[0]


class _Files:
    """Files in memory, in which tensorstore encodes and decodes chunks; folders and buckets get them alike."""

    def __init__(self) -> None:
        self._context = ts.Context()
        self._store = ts.KvStore.open({"driver": "memory"}, context=self._context).result()

    def array(self, spec: dict[str, Any]) -> Any:
        return ts.open(spec, create=True, context=self._context).result()

    def write(self, name: str, content: bytes) -> None:
        self._store.write(name, content).result()

    def contents(self) -> list[tuple[str, bytes]]:
        return [(key.decode(), self._store.read(key).result().value) for key in self._store.list().result()]


@dataclass(frozen=True)
class Target:
    """The images that a prediction writes.

    Attributes:
        folder: Where they go.
        layers: The images, the prediction first.
        levels: Levels of each.
        chunk: Pixels of a chunk along z, y, x.
    """

    folder: Folder
    scheme: Scheme
    layers: tuple[Layer, ...]
    levels: tuple[Level, ...]
    chunk: Shape
    placement: Placement

    @property
    def uri(self) -> str:
        """Address of the target."""
        return f"{self.scheme}://{self.folder}"

    def array(self, layer: Layer, number: int) -> LevelArray:
        """One level of a layer."""
        folder = self.folder / layer.name if layer.name else self.folder
        level, channels = self.levels[number], len(layer.channels)
        return LevelArray(folder, self.scheme, number, level, self.chunk, channels, layer.dtype)

    def complete(self, about: dict[str, Any]) -> None:
        """Write the metadata of all layers, those of the target itself last.

        Raises:
            StoreError: they can't be written.
        """
        build = image_metadata.zarr_files if self.scheme == "zarr" else image_metadata.precomputed_files
        try:
            for layer in reversed(self.layers):
                arrays = [self.array(layer, number) for number in range(len(self.levels))]
                for name, content in build(arrays, layer, self.placement, about if not layer.name else {}):
                    arrays[0].folder.write(name, content)
        except OSError as error:
            raise StoreError(f"{self.folder}: can't be written: {error.strerror or error}") from None


def parse_target(uri: str) -> tuple[Scheme, Folder]:
    """Scheme and folder of a target's address.

    Raises:
        InputError: the address is of no kind that can be written.
    """
    scheme, _, place = uri.partition("://")
    accepted = "accepted: zarr:// or precomputed:// and a folder or an s3:// or gs:// address"
    if scheme not in get_args(Scheme) or not place.strip():
        raise InputError(f"--to: {uri}: nothing can be written there; {accepted}")
    if "://" in place and not place.startswith(("s3://", "gs://")):
        raise InputError(f"--to: {uri}: nothing can be written there; {accepted}")
    folder = Folder(place.rstrip("/") or "/")
    folder.check()
    return ("zarr" if scheme == "zarr" else "precomputed"), folder


def about(scheme: Scheme, folder: Folder) -> dict[str, Any] | None:
    """What a complete target says of the prediction in it; None where there is none.

    Raises:
        InputError: there is an image of somebody else's.
    """
    try:
        content = folder.read(ROOT_FILE[scheme])
    except FileNotFoundError:
        return None
    try:
        found = json.loads(content)
        return dict((found["attributes"] if scheme == "zarr" else found)["mtneuro"])
    except Exception:  # a file of another program may hold anything
        raise InputError(f"--to: {folder}: holds another image; accepted: a place without one") from None


def classes_at(uri: str) -> tuple[str, ...]:
    """Names of the classes of a prediction at the address of a volume, in the order of its values; empty elsewhere.

    Raises:
        InputError: its metadata are damaged.
        SourceError: they could not be read.
    """
    if uri.partition("://")[0] not in get_args(Scheme):
        return ()
    address = Address.parse(AddressOptions.split(uri)[0], Path())
    found = address.attributes()
    if "mtneuro" not in found:
        return ()
    with parsing(address.uri, "prediction of this version", "what `mtneuro-ray predict` has written"):
        if address.scheme == "precomputed" and "segment_properties" in found:
            inline = address.at(found["segment_properties"]).attributes()["inline"]
            [labels] = [each["values"] for each in inline["properties"] if each["type"] == "label"]
            if inline["ids"] != [str(value) for value in range(len(labels))]:
                raise ValueError("ids")
            found["classes"] = labels
        return tuple(map(str, found.get("classes", ())))
