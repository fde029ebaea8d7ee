"""Volumes in plain files: .npy arrays, PNG and TIFF pictures and stacks, folders of slices."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtneuro_ray.errors import InputError, MTNeuroError, SourceError
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.digest import Stamp, digest_file, digest_files
from mtneuro_ray.volumes.pictures import Description, describe_png, describe_tiff, read_png, read_tiff
from mtneuro_ray.volumes.slices import slices_of
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
    return Description((depth, height, width), array.dtype.newbyteorder("="))


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


class FileSource(VolumeSource):
    """A volume in one file. Its identity is the digest of the file's content.

    Args:
        path: Absolute, with a suffix of `FORMATS`.

    Raises:
        InputError: the file does not hold a volume of unsigned integers.
        SourceError: it could not be read.
    """

    def __init__(self, path: Path) -> None:
        self.uri = f"file:{path}"
        self._path = path
        self._stamp = Stamp.of(path)
        described = _describe(path)
        self.shape, self.dtype, self.indexed = described.shape, described.dtype, described.indexed

    # Not in the constructor: a source must be cheap to build, and its file may hold gigabytes.
    @functools.cached_property
    def identity(self) -> str:  # type: ignore[override]
        """`file:sha256:` and the digest of the file, computed when first asked for."""
        return f"file:sha256:{digest_file(self._path)}"

    def _read(self, roi: Roi) -> Voxels:
        return _read_file(self._path, roi, self.uri)

    def _unchanged(self, roi: Roi) -> bool:
        return Stamp.of(self._path) == self._stamp


class FolderSource(VolumeSource):
    """A folder whose pictures, in the order of the number in their names, are the planes along z.

    Its identity is a digest of the slices' names and contents. See `slices_of` for which files are slices.

    Args:
        path: Absolute.

    Raises:
        InputError: it holds no pictures, pictures that are no series of slices, or that differ in size or type.
        SourceError: one could not be read.
    """

    def __init__(self, path: Path) -> None:
        self.uri = f"file:{path}"
        self._paths = slices_of(path)
        self._stamps = [Stamp.of(each) for each in self._paths]
        first = _describe(self._paths[0])
        for other, described in ((other, _describe(other)) for other in self._paths):
            if described.shape[0] != 1 or (described.shape, described.dtype) != (first.shape, first.dtype):
                raise InputError(
                    f"{other}: {described.shape} voxels of {described.dtype}, the folder's first slice is "
                    f"{first.shape} of {first.dtype}; accepted: single planes, all alike"
                )
            self.indexed = self.indexed or described.indexed
        self.dtype = first.dtype
        self.shape = (len(self._paths), *first.shape[1:])

    @functools.cached_property
    def identity(self) -> str:  # type: ignore[override]
        """`file:sha256:` and the digest of the slices' names and contents, computed when first asked for."""
        return f"file:sha256:{digest_files(self._paths[0].parent, (path.name for path in self._paths))}"

    def _read(self, roi: Roi) -> Voxels:
        voxels = np.empty(roi.shape, self.dtype)
        for plane, z in zip(voxels, range(*roi.z), strict=True):
            plane[:] = _read_file(self._paths[z], Roi((0, 1), roi.y, roi.x), self.uri)[0]
        return voxels

    def _unchanged(self, roi: Roi) -> bool:
        return all(Stamp.of(self._paths[z]) == self._stamps[z] for z in range(*roi.z))


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


def _map_npy(path: Path) -> Voxels:
    try:
        array: Voxels = np.lib.format.open_memmap(path, mode="r")
    except OSError:
        raise
    except Exception as error:  # a damaged header makes numpy raise nearly anything, tokenize.TokenError among them
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: no readable .npy array ({type(error).__name__}: {reason})") from None
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
        problem = f"{type(error).__name__}: {error}"
        raise SourceError(f"{uri}: box {roi} of {path.name} cannot be read: {problem}") from None
