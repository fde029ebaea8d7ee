"""Volumes in plain files: .npy arrays, PNG and TIFF pictures and stacks, folders of slices."""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtneuro_ray.errors import InputError, MTNeuroError, SourceError
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.pictures import Description, describe_png, describe_tiff, read_png, read_tiff
from mtneuro_ray.volumes.source import VolumeSource, Voxels


@dataclass(frozen=True)
class Format:
    """How one kind of file is read: both functions open it anew, so that any thread or process may call them."""

    describe: Callable[[Path], Description]
    read: Callable[[Path, Roi], Voxels]


def describe_npy(path: Path) -> Description:
    """Shape (z, y, x; a 2D array is one plane) and type of a .npy file, from its header alone.

    Raises:
        InputError: it is no array of two or three axes of unsigned integers.
        OSError: it cannot be read.
    """
    array = _map_npy(path)
    if array.dtype.kind != "u" or array.ndim not in (2, 3) or array.size == 0:
        raise InputError(
            f"{path}: {array.dtype} array of shape {array.shape}; accepted: uint8, uint16, uint32 or uint64, "
            "axes z, y, x or y, x"
        )
    depth, height, width = (1, *array.shape)[-3:]
    return (depth, height, width), array.dtype.newbyteorder("=")


def read_npy(path: Path, roi: Roi) -> Voxels:
    """The voxels of a box, read through a memory map."""
    array = _map_npy(path)
    volume = array if array.ndim == 3 else array[None]
    return np.array(volume[roi.slices], dtype=array.dtype.newbyteorder("="), order="C")


FORMATS = {
    ".npy": Format(describe_npy, read_npy),
    ".png": Format(describe_png, read_png),
    ".tif": Format(describe_tiff, read_tiff),
    ".tiff": Format(describe_tiff, read_tiff),
}
PICTURES = (".png", ".tif", ".tiff")


class FileSource(VolumeSource):
    """A volume in one file.

    Args:
        path: Absolute, with a suffix of `FORMATS`.

    Raises:
        InputError: the file does not hold a volume of unsigned integers.
        SourceError: it could not be read.
    """

    def __init__(self, path: Path) -> None:
        self.uri = f"file:{path}"
        self._path = path
        self.shape, self.dtype = _describe(path)

    # Not in the constructor: a source must be cheap to build, and its file may hold gigabytes.
    @functools.cached_property
    def identity(self) -> str:  # type: ignore[override]
        """`file:sha256:` and the digest of the file, computed when first asked for."""
        return f"file:sha256:{digest_file(self._path)}"

    def _read(self, roi: Roi) -> Voxels:
        return _read_file(self._path, roi, self.uri)


class FolderSource(VolumeSource):
    """A folder whose pictures, in the natural order of their names (2 before 10), are the planes along z.

    Other files in it are ignored.

    Args:
        path: Absolute.

    Raises:
        InputError: it holds no pictures, or pictures that differ in size or type.
        SourceError: one could not be read.
    """

    def __init__(self, path: Path) -> None:
        self.uri = f"file:{path}"
        self._paths = _slices_of(path)
        (depth, height, width), self.dtype = _describe(self._paths[0])
        for other in self._paths:
            if _describe(other) != ((1, height, width), self.dtype):
                raise InputError(
                    f"{other}: {_describe(other)[0]} voxels of {_describe(other)[1]}, the folder's first slice "
                    f"is {(depth, height, width)} of {self.dtype}; accepted: single planes, all alike"
                )
        self.shape = (len(self._paths), height, width)

    @functools.cached_property
    def identity(self) -> str:  # type: ignore[override]
        """`file:sha256:` and the digest of the slices' names and digests, computed when first asked for."""
        entries = (f"{path.name}\0{digest_file(path)}\n" for path in self._paths)
        return f"file:sha256:{hashlib.sha256(''.join(entries).encode()).hexdigest()}"

    def _read(self, roi: Roi) -> Voxels:
        voxels = np.empty(roi.shape, self.dtype)
        for plane, z in zip(voxels, range(*roi.z), strict=True):
            plane[:] = _read_file(self._paths[z], Roi((0, 1), roi.y, roi.x), self.uri)[0]
        return voxels


def open_file(uri: str, base: Path) -> VolumeSource:
    """Open `file:` and a path: a file, a folder of slices, or either without its suffix.

    Args:
        uri: The suffix may be left out where only one file or folder has that name.
        base: Folder that a relative path starts from.

    Raises:
        InputError: there is no such file, it is ambiguous, or it holds no volume of unsigned integers.
        SourceError: it could not be read.
    """
    path = find_path(uri, base)
    return FolderSource(path) if path.is_dir() else FileSource(path)


def find_path(uri: str, base: Path) -> Path:
    """The absolute path of the one file or folder that a `file:` URI names.

    Raises:
        InputError: there is none, or more than one.
    """
    rest = uri.removeprefix("file:").removeprefix("//")
    if not rest:
        raise InputError(f"{uri}: names no file; accepted: file: and a path")
    path = Path(os.path.abspath(base / rest))
    if path.is_file():
        if path.suffix.lower() in FORMATS:
            return path
        raise InputError(f"file:{path}: no such kind of file; accepted: {', '.join(FORMATS)} or a folder of slices")
    candidates = [path] if path.is_dir() else []
    candidates += [found for suffix in FORMATS if (found := Path(f"{path}{suffix}")).is_file()]
    if len(candidates) > 1:
        names = ", ".join(f"{found.name}/" if found.is_dir() else found.name for found in candidates)
        raise InputError(f"file:{path}: ambiguous; accepted: one of {names} alone, or its full name")
    if not candidates:
        raise InputError(f"file:{path}: no such file")
    return candidates[0]


def digest_file(path: Path) -> str:
    """SHA-256 of a file's contents, in hex; computed once a process for a file that does not change.

    Raises:
        SourceError: it cannot be read.
    """
    try:
        status = path.stat()
        return _digest(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from None


@functools.lru_cache(maxsize=4096)
def _digest(path: Path, mtime_ns: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _map_npy(path: Path) -> Voxels:
    try:
        array: Voxels = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, EOFError) as error:
        raise InputError(f"{path}: no readable .npy array ({' '.join(str(error).split())})") from None
    return array


def _describe(path: Path) -> Description:
    try:
        return FORMATS[path.suffix.lower()].describe(path)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from None


def _read_file(path: Path, roi: Roi, uri: str) -> Voxels:
    try:
        return FORMATS[path.suffix.lower()].read(path, roi).copy()
    except MTNeuroError:
        raise
    except Exception as error:  # a damaged file makes its decoder raise nearly anything
        raise SourceError(f"{uri}: box {roi} of {path.name} cannot be read: {error}") from None


def _slices_of(folder: Path) -> Sequence[Path]:
    pictures = [path for path in folder.iterdir() if path.suffix.lower() in PICTURES and path.is_file()]
    if not pictures:
        raise InputError(f"file:{folder}: no slices in this folder; accepted: {', '.join(PICTURES)} files")
    return sorted(pictures, key=lambda path: (natural_key(path.name), path.name))


def natural_key(name: str) -> list[tuple[int, str]]:
    """Orders numbers by value and the text between them as text."""
    parts = re.findall(r"\d+|\D+", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
