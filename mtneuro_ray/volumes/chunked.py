"""Zarr, N5 and Neuroglancer precomputed volumes, on this machine or in a bucket, read with tensorstore."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tensorstore as ts

from mtneuro_ray.errors import InputError, SourceError
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.retry import TransientError, persist
from mtneuro_ray.volumes.source import VolumeSource, Voxels

# tensorstore's drivers, in the order to try.
DRIVERS = {"zarr": ("zarr3", "zarr"), "n5": ("n5",), "precomputed": ("neuroglancer_precomputed",)}
# Axes of arrays that do not name theirs, by number of axes. tensorstore presents an N5 array in the order of its
# `dimensions` attribute, which is x first by convention.
UNNAMED_AXES = {
    "zarr": {3: "zyx", 4: "czyx", 5: "tczyx"},
    "n5": {3: "xyz", 4: "xyzc", 5: "xyzct"},
    "precomputed": {4: "xyzc"},
}
TIMEOUT_S = 60.0
SLOWEST_BYTES_PER_S = 2**20
ATTEMPTS = 3
BACKOFF_S = 1.0

_HOPELESS = ("NOT_FOUND", "PERMISSION_DENIED", "UNAUTHENTICATED", "INVALID_ARGUMENT", "OUT_OF_RANGE")
_STATUS = re.compile(r"[A-Z_]+: ")
_REMOTE = re.compile(r"(s3|gs|https?)://[^/?#]+(/[^?#]*)?")
_T = TypeVar("_T")


@dataclass(frozen=True)
class Address:
    """Where an array is, and how patiently to read it.

    Attributes:
        scheme: `zarr`, `n5` or `precomputed`.
        place: Absolute folder, or `s3://`, `gs://`, `http://` or `https://` address, without a last slash.
        timeout_s: Seconds that one operation may take, beside its voxels at 1 MiB/s.
        attempts: How often an operation on a remote array is tried, at most.
    """

    scheme: str
    place: str
    timeout_s: float = TIMEOUT_S
    attempts: int = ATTEMPTS

    @classmethod
    def parse(cls, uri: str, base: Path) -> Address:
        """The address in `zarr://...`, `n5://...` or `precomputed://...`; relative folders start at `base`.

        Raises:
            InputError: it is malformed, or holds a user, password or query, which would be stored with results.
        """
        scheme, _, rest = uri.partition("://")
        accepted = f"accepted: {scheme}:// and a folder or an s3://, gs://, http:// or https:// address"
        if not rest or scheme not in DRIVERS:
            raise InputError(f"{uri}: malformed; {accepted}")
        if "://" not in rest:
            return cls(scheme, os.path.abspath(base / rest))
        host = rest.partition("://")[2].partition("/")[0]
        if not _REMOTE.fullmatch(rest) or "@" in host:
            shown = rest.partition("?")[0].replace(host, host.rpartition("@")[2])
            raise InputError(f"{scheme}://{shown}: no user, password, query or other service; {accepted}")
        return cls(scheme, rest.rstrip("/"))

    @property
    def uri(self) -> str:
        """Canonical, equal for every way of writing the same address."""
        return f"{self.scheme}://{self.place}"

    @property
    def remote(self) -> bool:
        """Whether a network lies in between."""
        return not self.place.startswith("/")


class ChunkedSource(VolumeSource):
    """An array of chunks, seen as z, y, x in absolute coordinates.

    `shape` is the upper bound of the array's domain. A precomputed volume with a voxel offset has no voxels
    below it: to read there is an error. Chunks that were never written hold the array's fill value.

    Identity is the address and the array's metadata: voxels that are rewritten in place go unnoticed.

    Raises:
        InputError: there is no such array, or it is no 3D volume of unsigned integers.
        SourceError: it could not be opened.
    """

    parallel_reads = 8

    def __init__(self, address: Address) -> None:
        self._address = address
        self.uri = address.uri
        view = self._view
        self.shape, self.dtype = _described(view, self.uri)
        self._domain = _box_of(view.domain)
        self.identity = f"{self.uri} sha256:{_digest(view)}"

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_view"}

    @functools.cached_property
    def _view(self) -> Any:
        """The open array, axes z, y, x; opened again in every process."""
        return _as_zyx(_open(self._address), self._address)

    def _read(self, roi: Roi) -> Voxels:
        if roi.intersection(self._domain) != roi:
            raise InputError(f"{self.uri}: box {roi} leaves the volume's domain; accepted: within {self._domain}")
        calls = itertools.count()

        def start() -> Any:
            if next(calls):
                # tensorstore joins a new read of a chunk to the one under way: of no use when that one is stuck.
                self.__dict__.pop("_view", None)
            return self._view[roi.slices].read(order="C")

        try:
            voxels: Voxels = _finish(start, self._address, f"box {roi}", num_bytes=roi.num_voxels * self.dtype.itemsize)
        except FileNotFoundError as error:
            raise SourceError(f"{self.uri}: box {roi} could not be read: {error}") from None
        return voxels


def open_chunked(uri: str, base: Path) -> ChunkedSource:
    """Open `zarr://`, `n5://` or `precomputed://` and a folder or a bucket's address.

    Args:
        uri: A Zarr array (version 2 or 3, or an OME-Zarr group, of which level 0 is taken), an N5 data set or a
            precomputed volume (scale 0, channel 0).
        base: Folder that a relative one starts from.

    Raises:
        InputError: the URI is malformed, or names no 3D volume of unsigned integers.
        SourceError: the volume could not be opened.
    """
    return ChunkedSource(Address.parse(uri, base))


def _new_context() -> Any:
    """Caches and connections of one opening; single requests are retried once by tensorstore itself, not 32 times."""
    retries = {"max_retries": 1, "initial_delay": "500ms", "max_delay": "8s"}
    return ts.Context({f"{kind}_request_retries": retries for kind in ("http", "s3", "gcs")})


def _open(address: Address) -> Any:
    if not address.remote and not Path(address.place).is_dir():
        raise InputError(f"{address.uri}: no such folder")
    levels = ("/", "/0/") if address.scheme == "zarr" else ("/",)
    for level in levels:
        for driver in DRIVERS[address.scheme]:
            spec = {"driver": driver, "kvstore": _kvstore(address.place + level)}
            try:
                return _finish(functools.partial(_start_open, spec), address, "metadata")
            except FileNotFoundError:
                continue
    raise InputError(f"{address.uri}: no {address.scheme} array there")


def _start_open(spec: dict[str, Any]) -> Any:
    return ts.open(spec, read=True, open=True, context=_new_context())


def _kvstore(place: str) -> str | dict[str, str]:
    return {"driver": "file", "path": place} if place.startswith("/") else place


def _finish(start: Callable[[], Any], address: Address, what: str, num_bytes: int = 0) -> Any:
    """The result of a tensorstore operation, within the address's time limit and attempts.

    Raises:
        FileNotFoundError: what was to be opened does not exist.
        InputError: tensorstore can make nothing of the address.
        SourceError: anything else went wrong.
    """
    timeout_s = address.timeout_s + num_bytes / SLOWEST_BYTES_PER_S
    attempts = address.attempts if address.remote else 1

    def attempt() -> Any:
        try:
            return start().result(timeout=timeout_s)
        except TimeoutError:
            raise TransientError(f"no answer within {timeout_s:.3g} s") from None
        except ValueError as error:  # tensorstore's one type of error; its message starts with a status
            reason = _one_line(error)
        if reason.startswith("NOT_FOUND") or '"node_type"' in reason:  # the latter of a group in Zarr 3
            raise FileNotFoundError(reason)
        if not _STATUS.match(reason):
            raise InputError(f"{address.uri}: {reason}")
        if reason.startswith(_HOPELESS):
            raise SourceError(f"{address.uri}: {what}: {reason}")
        raise TransientError(reason)

    try:
        return persist(attempt, f"{address.uri}: {what}", attempts, BACKOFF_S)
    except TransientError as error:
        tries = f" in {attempts} attempts" if address.remote else ""
        raise SourceError(f"{address.uri}: {what} could not be read{tries}: {error.reason}") from None


def _one_line(error: Exception) -> str:
    """Its message without the specs, bodies and source locations that tensorstore appends in brackets."""
    return " ".join(re.split(r" \[\w+[ =]+'", str(error))[0].split())


def _as_zyx(store: Any, address: Address) -> Any:
    """The array with axes z, y, x: others are dropped where they are one long (or a precomputed channel)."""
    names = _axes(store, address)
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


def _axes(store: Any, address: Address) -> Sequence[str]:
    labels = [label.lower() for label in store.domain.labels]
    if {"z", "y", "x"} <= set(labels):
        return labels
    rank = store.rank
    if rank not in UNNAMED_AXES[address.scheme]:
        raise InputError(f"{address.uri}: {rank} axes; accepted: z, y, x and others of length 1")
    return UNNAMED_AXES[address.scheme][rank]


def _described(view: Any, uri: str) -> tuple[tuple[int, int, int], np.dtype[np.unsignedinteger]]:
    dtype = np.dtype(view.dtype.numpy_dtype)
    if dtype.kind != "u":
        raise InputError(f"{uri}: voxels are {dtype}; accepted: uint8, uint16, uint32, uint64")
    depth, height, width = (int(stop) for stop in view.domain.exclusive_max)
    if min(view.domain.shape) < 1 or min(depth, height, width) < 1:
        raise InputError(f"{uri}: holds no voxel at z, y, x of 0 or above")
    return (depth, height, width), dtype


def _box_of(domain: Any) -> Roi:
    z, y, x = (
        (max(0, int(start)), int(stop)) for start, stop in zip(domain.inclusive_min, domain.exclusive_max, strict=True)
    )
    return Roi(z, y, x)


def _digest(view: Any) -> str:
    spec = view.spec().to_json()
    metadata = {key: spec[key] for key in spec if key not in ("kvstore", "context")}
    return hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest()
