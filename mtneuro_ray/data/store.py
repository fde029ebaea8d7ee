"""The cutout store: every voxel that was read from a volume, in checksummed Parquet shards.

A shard is one box of one source. Its file name is the box and its folder the hash of the source's identity, so runs,
workers and tasks that need the same voxels find the same file, and two writers of a shard write the same bytes. Voxels
keep their type; integers of 64 bits, which services use for labels of any size, take the least type that holds a box.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from mtneuro_ray.errors import StoreError
from mtneuro_ray.roi import Roi
from mtneuro_ray.storage.folder import Folder

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
_SUFFIX = ".parquet"
_ABOUT = "about.json"

Bytes = npt.NDArray[np.uint8]
Stored = npt.NDArray[Any]
"""Voxels of a box, (Z, Y, X), of a type in STORED."""

STORED = tuple(np.dtype(f"{kind}{size}") for kind in "uif" for size in (1, 2, 4, 8) if (kind, size) != ("f", 1))
"""Types of stored voxels: integers of 8 to 64 bits, floats of 16 to 64."""
_SHRUNK = 8


def as_stored(voxels: Stored) -> Stored:
    """Voxels (Z, Y, X) as the store keeps them, without loss: in their own type, in the machine's byte order.

    Integers of 64 bits take the smallest type that holds them all: BossDB serves labels of at most 8 bits as 64. Truth
    values are stored as 0 and 1.
    """
    dtype = voxels.dtype
    if dtype.kind == "b":
        dtype = np.dtype(np.uint8)
    elif dtype.kind in "iu" and dtype.itemsize == _SHRUNK and voxels.size:
        dtype = _common(np.min_scalar_type(voxels.min()), np.min_scalar_type(voxels.max()))
    return np.ascontiguousarray(voxels, dtype=dtype.newbyteorder("="))


def _common(one: np.dtype[Any], other: np.dtype[Any]) -> np.dtype[Any]:
    """The smallest type that holds all values of two; of integers, one of 64 bits."""
    dtype = np.result_type(one, other)
    # NumPy makes uint64 and a signed type a float. The voxels are of one volume: with signs, it is int64.
    return np.dtype(np.int64) if dtype.kind == "f" and one.kind != "f" and other.kind != "f" else dtype


class CutoutStore:
    """Shards of any number of sources under one folder.

    Args:
        folder: Folder of the shards; made on the first write.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    def _source_folder(self, identity: str) -> Folder:
        return self.folder / hashlib.sha256(identity.encode()).hexdigest()[:20]

    def note(self, identity: str, about: dict[str, Any]) -> None:
        """Keep what the metadata of a source say, beside its shards, where the store can be written to."""
        if self.about(identity) != about:
            with suppress(OSError):
                self._source_folder(identity).write(_ABOUT, json.dumps(about, sort_keys=True).encode())

    def about(self, identity: str) -> dict[str, Any]:
        """What the metadata of a source said; empty where nothing was kept, or the file is damaged."""
        try:
            found = json.loads(self._source_folder(identity).read(_ABOUT))
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def boxes(self, identity: str) -> list[Roi]:
        """Boxes of the source that have a shard."""
        names = self._source_folder(identity).list(_SUFFIX)
        return [roi for name in names if (roi := _box_named(name.removesuffix(_SUFFIX)))]

    def write(self, identity: str, roi: Roi, voxels: Stored) -> int:
        """Write one shard, whole or not at all, and return its size in bytes.

        Raises:
            StoreError: it can't be written.
        """
        if voxels.shape != roi.shape or voxels.dtype not in STORED:
            raise ValueError(f"{voxels.dtype} {voxels.shape} is not {roi.shape} integers or floats")
        content = _encode(identity, roi, np.ascontiguousarray(voxels))
        folder = self._source_folder(identity)
        try:
            folder.write(f"{roi}{_SUFFIX}", content)
        except OSError as error:
            # The error of a full disk names no file.
            raise StoreError(f"{folder}: shard {roi} can't be written: {error.strerror or error}") from None
        return len(content)

    def read_shard(self, identity: str, roi: Roi) -> Stored:
        """The voxels of one shard, axes z, y, x.

        Raises:
            StoreError: there is no such shard, or it is damaged.
        """
        folder = self._source_folder(identity)
        try:
            # An error of the folder must not count as damage of the shard, which would be deleted.
            content = folder.read(f"{roi}{_SUFFIX}")
        except FileNotFoundError:
            raise StoreError(f"{folder}: no shard {roi}") from None
        try:
            return _decode(content, identity, roi)
        except Exception as error:  # Parquet that is damaged makes its reader raise nearly anything
            raise StoreError(f"{folder}: shard {roi} is damaged ({type(error).__name__})") from None

    def drop_damaged(self, identity: str, needed: Iterable[Roi], dtype: np.dtype[Any] | None = None) -> list[Roi]:
        """Check the shards that hold voxels of `needed`; delete those that are damaged and return their boxes.

        So are those of another type than `dtype`, that of the volume, unless it is one of those that `as_stored` makes
        smaller: an earlier version stored 16 bits in 8 where all voxels of a box fitted.

        Raises:
            StoreError: a shard can't be deleted.
        """
        wanted = list(needed)
        own = (
            dtype if dtype is not None and dtype in STORED and (dtype.kind == "f" or dtype.itemsize < _SHRUNK) else None
        )
        damaged = []
        for roi in self.boxes(identity):
            if not any(roi.intersection(box) for box in wanted):
                continue
            try:
                found = self.read_shard(identity, roi).dtype
                if own is not None and found != own:
                    raise StoreError(f"shard {roi} is {found}, not {own}")
            except StoreError as damage:
                try:
                    self._source_folder(identity).delete(f"{roi}{_SUFFIX}")
                except OSError as error:
                    raise StoreError(f"{damage}, and can't be deleted: {error.strerror or error}") from None
                damaged.append(roi)
        return damaged

    def read(self, identity: str, boxes: Iterable[Roi]) -> list[Stored]:
        """The voxels of any boxes that shards cover, each (z, y, x), every shard decoded once.

        All are of one type, the smallest that holds those of the shards.

        Raises:
            StoreError: voxels are missing or a shard is damaged.
        """
        wanted = list(boxes)
        out: list[Stored] = []
        left = [box.num_voxels for box in wanted]
        seen: list[list[Roi]] = [[] for _ in wanted]
        for shard, numbers in self._touching(identity, wanted):
            targets = [(n, overlap) for n in numbers if (overlap := wanted[n].intersection(shard))]
            voxels = self.read_shard(identity, shard)
            if not out:
                out = [np.empty(box.shape, voxels.dtype) for box in wanted]
            elif out[0].dtype != (dtype := _common(out[0].dtype, voxels.dtype)):
                out = [each.astype(dtype) for each in out]
            for n, overlap in targets:
                out[n][overlap.slices_within(wanted[n])] = voxels[overlap.slices_within(shard)]
                left[n] -= sum(piece.num_voxels for piece in overlap.outside(seen[n]))
                seen[n].append(shard)
        for box, voxels_left in zip(wanted, left, strict=True):
            if voxels_left:
                raise StoreError(f"{self.folder}: {voxels_left} voxels of box {box} of {identity} are not stored")
        return out or [np.empty(box.shape, np.uint8) for box in wanted]

    def dtype(self, identity: str, boxes: Sequence[Roi]) -> np.dtype[Any]:
        """Type of the voxels that `read` returns for boxes, without reading them.

        Raises:
            StoreError: no shard holds a voxel of them, or one is damaged.
        """
        found: np.dtype[Any] | None = None
        for shard, _ in self._touching(identity, boxes):
            folder = self._source_folder(identity)
            try:
                schema = pq.read_schema(pa.BufferReader(folder.read(f"{shard}{_SUFFIX}")))
                own = np.dtype(schema.field("voxels").type.value_type.to_pandas_dtype())
            except Exception as error:  # As in `read_shard`.
                raise StoreError(f"{folder}: shard {shard} is damaged ({type(error).__name__})") from None
            found = own if found is None else _common(found, own)
        if found is None:
            raise StoreError(f"{self.folder}: no voxels of {identity} are stored")
        return found

    def _touching(self, identity: str, boxes: Sequence[Roi]) -> Iterator[tuple[Roi, list[int]]]:
        """Shards that hold voxels of boxes, each with the numbers of those boxes."""
        ranges = np.array([box.ranges for box in boxes], np.int64).reshape(-1, 3, 2)
        for shard in self.boxes(identity):
            # All boxes at once: there may be thousands, for each of thousands of shards.
            starts, stops = np.array(shard.ranges).T
            numbers = np.flatnonzero(((ranges[..., 0] < stops) & (starts < ranges[..., 1])).all(1))
            if len(numbers):
                yield shard, numbers.tolist()


@contextmanager
def ingest_lock(store: CutoutStore) -> Iterator[None]:
    """One ingest at a time into a store on this machine, so that no voxel is asked for twice.

    A store in a bucket has no lock: two ingests at once may both read a cutout, and write the same shard. Nor has one
    that can only be read; it is complete, or the first cutout that it lacks is an error.
    """
    if not store.folder.is_local:
        yield
        return
    path = store.folder.local_path
    lock = FileLock(path / "ingest.lock")
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=1)
    except Timeout:
        logger.warning("%s: another ingest is at work here; waiting for it", store.folder)
        lock.acquire()
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS) or not path.is_dir():
            raise
    try:
        yield
    finally:
        lock.release()


def _box_named(name: str) -> Roi | None:
    """The box of a shard's name; None for a file that the store did not write."""
    try:
        roi = Roi.parse(name)
    except ValueError:
        return None
    return roi if str(roi) == name else None


def _digest(identity: str, roi: Roi, voxels: Stored) -> str:
    # Bytes are the usual case, and name no type.
    dtype = [] if voxels.dtype == np.uint8 else [voxels.dtype.name]
    header = json.dumps([FORMAT_VERSION, identity, str(roi), list(voxels.shape), *dtype])
    digest = hashlib.sha256(header.encode())
    digest.update(memoryview(voxels.view(np.uint8).data))
    return digest.hexdigest()


def _encode(identity: str, roi: Roi, voxels: Stored) -> bytes:
    planes = pa.FixedShapeTensorArray.from_numpy_ndarray(voxels)
    table = pa.table({"z": pa.array(np.arange(*roi.z, dtype=np.int32)), "voxels": planes})
    table = table.replace_schema_metadata(
        {
            "mtneuro.version": str(FORMAT_VERSION),
            "mtneuro.source": identity,
            "mtneuro.box": str(roi),
            "mtneuro.sha256": _digest(identity, roi, voxels),
            **(table.schema.metadata or {}),
        }
    )
    sink = pa.BufferOutputStream()
    # Parquet has no integers below 32 bits. Split into streams, the zero bytes of each voxel compress to nothing.
    encoding = {"voxels.list.element": "BYTE_STREAM_SPLIT"}
    pq.write_table(table, sink, compression="zstd", compression_level=1, use_dictionary=False, column_encoding=encoding)
    return bytes(sink.getvalue())


def _decode(content: bytes, identity: str, roi: Roi) -> Stored:
    table = pq.read_table(pa.BufferReader(content))
    planes = table.column("voxels").combine_chunks()
    if not isinstance(planes, pa.FixedShapeTensorArray):
        raise ValueError(f"type {planes.type}")
    voxels: Stored = np.ascontiguousarray(planes.to_numpy_ndarray())
    if voxels.shape != roi.shape or voxels.dtype not in STORED:
        raise ValueError(f"{voxels.dtype} {voxels.shape}")
    if (table.schema.metadata or {})[b"mtneuro.sha256"].decode() != _digest(identity, roi, voxels):
        raise ValueError("checksum")
    return voxels
