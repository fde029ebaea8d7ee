"""What a file holds: its arrays, from the header, and how a part of one is read."""

from __future__ import annotations

import importlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mtneuro_ray.errors import InputError
from mtneuro_ray.volumes.array_metadata import ArrayMetadata
from mtneuro_ray.volumes.source import Voxels

Index = tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """One array of a file.

    Attributes:
        lengths: Voxels along each axis, as stored.
        dtype: Type of the voxels that `read` returns, in native byte order.
        read: Reads a part: a slice without a step for each axis, as stored. A damaged file makes it raise nearly
            anything.
        metadata: Names of the axes, voxel size and origin.
        indexed: Values are palette indices. A palette that leaves every grey value as it is counts as none.
        part: Path of the array in the file; empty where a file holds but one.
        chunks: Voxels along each axis that are stored together; empty where that is not known.
    """

    lengths: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[Index], Voxels]
    metadata: ArrayMetadata = field(default_factory=ArrayMetadata)
    indexed: bool = False
    part: str = ""
    chunks: tuple[int, ...] = ()


def mapped(
    path: Path, stored: np.dtype[Any], offset: int, lengths: tuple[int, ...], order: Literal["C", "F"] = "C"
) -> Callable[[Index], Voxels]:
    """A reader of voxels that are stored plainly: it maps the file and copies the part alone."""

    def read(index: Index) -> Voxels:
        return np.array(np.memmap(path, stored, "r", offset, lengths, order)[index], stored.newbyteorder("="))

    return read


def needed(package: str, path: Path) -> Any:
    """A package of the extra `formats`.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError:
        raise InputError(
            f"{path}: needs the package {package}, which is not installed; accepted: with it, by "
            "pip install 'mtneuro-ray[formats]'"
        ) from None


class Decoded:
    """The decoded arrays that were used last, up to a number of bytes in total; several threads may use it.

    An array that alone is larger is kept until the next one comes.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[Hashable, Future[Voxels]] = OrderedDict()
        # Of the arrays that are decoded, not of those that are under way.
        self._num_bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable, decode: Callable[[], Voxels]) -> Voxels:
        """The array of `key`; threads that ask for it at once decode it once."""
        with self._lock:
            known = self._kept.get(key)
            if known is None:
                mine: Future[Voxels] = Future()
                self._kept[key] = mine
            else:
                self._kept.move_to_end(key)
        if known is not None:
            return known.result()
        try:
            mine.set_result(decode())
        except BaseException as error:
            mine.set_exception(error)
            with self._lock:
                self._kept.pop(key, None)
            raise
        self._drop_oldest(mine.result().nbytes)
        return mine.result()

    def _drop_oldest(self, added: int) -> None:
        with self._lock:
            self._num_bytes += added
            while self._num_bytes > self._most_bytes and len(self._kept) > 1:
                key, oldest = next(iter(self._kept.items()))
                if not oldest.done():
                    break
                del self._kept[key]
                self._num_bytes -= oldest.result().nbytes
