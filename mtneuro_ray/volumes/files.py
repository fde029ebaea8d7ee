"""Volumes in plain files: .npy arrays, PNG and TIFF pictures and stacks, folders of slices."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from mtneuro_ray.errors import InputError, MTNeuroError, SourceError
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.file_set import FileSet
from mtneuro_ray.volumes.formats import FORMATS, describe, read_box
from mtneuro_ray.volumes.source import VolumeSource, Voxels

PICTURES = (".png", ".tif", ".tiff")


class FileSource(VolumeSource):
    """A volume in one file, or in a folder whose pictures, in the order of the number in their names, are its planes.

    The identity is the digest of the file's content, or of the slices' names and contents.

    Args:
        path: Absolute: a file with a suffix of `FORMATS`, or a folder; see `slices_of` for which files are slices.

    Raises:
        InputError: there is no volume of unsigned integers, or slices differ in size or type or are no series.
        SourceError: a file could not be read.
    """

    def __init__(self, path: Path) -> None:
        self.uri = f"file:{path}"
        self._is_folder = path.is_dir()
        paths = slices_of(path) if self._is_folder else [path]
        self._names = [each.name for each in paths]
        self._files = FileSet.of(paths[0].parent, self._names)
        first = describe(paths[0])
        for each, described in ((each, describe(each)) for each in paths if self._is_folder):
            if described.shape[0] != 1 or (described.shape, described.dtype) != (first.shape, first.dtype):
                raise InputError(
                    f"{each}: {described.shape} voxels of {described.dtype}, the folder's first slice is "
                    f"{first.shape} of {first.dtype}; accepted: single planes, all alike"
                )
            self.indexed = self.indexed or described.indexed
        self.indexed = self.indexed or first.indexed
        self.dtype = first.dtype
        self.shape = (len(paths), *first.shape[1:]) if self._is_folder else first.shape

    # Not in the constructor: a source must be cheap to build, and its files may hold gigabytes.
    @functools.cached_property
    def identity(self) -> str:  # type: ignore[override]
        """`file:sha256:` and the digest, computed when first asked for."""
        return f"file:sha256:{self._files.digest(None if self._is_folder else self._names[0])}"

    def _parts(self, roi: Roi) -> list[tuple[str, Roi]]:
        """The names of the files that hold a box, each with its own part of it."""
        if not self._is_folder:
            return [(self._names[0], roi)]
        return [(self._names[z], Roi((0, 1), roi.y, roi.x)) for z in range(*roi.z)]

    def _read(self, roi: Roi) -> Voxels:
        planes = []
        for name, box in self._parts(roi):
            try:
                planes.append(read_box(self._files.root / name, box))
            except MTNeuroError:
                raise
            except Exception as error:  # a damaged file makes its decoder raise nearly anything
                problem = f"{type(error).__name__}: {error}"
                raise SourceError(f"{self.uri}: box {box} of {name} cannot be read: {problem}") from None
        return np.concatenate(planes)

    def _unchanged(self, roi: Roi) -> bool:
        return self._files.unchanged(name for name, _ in self._parts(roi))


def open_file(uri: str, base: Path) -> FileSource:
    """Open `file:` and a path: a file or a folder of slices. Errors are those of `find_path` and `FileSource`."""
    return FileSource(find_path(uri, base))


def find_path(uri: str, base: Path) -> Path:
    """The absolute path of the one file or folder that a `file:` URI names, with or without its suffix.

    A relative path starts at `base`.

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


def slices_of(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of the number that counts them.

    Other files, and hidden ones (such as the `._NAME` that macOS leaves), are ignored. All names must be alike but for
    their numbers, and one number must count the slices in even steps: a lost, doubled or foreign picture would shift
    every later plane.

    Raises:
        InputError: there are no pictures, or they are no such series.
    """
    pictures = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PICTURES and path.is_file() and not path.name.startswith(".")
    ]
    if not pictures:
        raise InputError(f"file:{folder}: no slices in this folder; accepted: {', '.join(PICTURES)} files")
    ordered = sorted(pictures, key=lambda path: (natural_key(path.name), path.name))
    first, *others = (re.sub(r"\d+", "#", path.name.lower()) for path in ordered)
    for path, text in zip(ordered[1:], others, strict=True):
        if text != first:
            raise InputError(
                f"{path}: is named unlike {ordered[0].name}; accepted: a folder whose pictures are the slices of one "
                "volume, names alike but for their number"
            )
    _check_count(ordered)
    return ordered


def natural_key(name: str) -> list[tuple[int, str]]:
    """Sort key that orders numbers by value and the text between them as text."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.findall(r"\d+|\D+", name)]


def _check_count(paths: Sequence[Path]) -> None:
    columns = zip(*([int(number) for number in re.findall(r"\d+", path.name)] for path in paths), strict=True)
    steps = [[b - a for a, b in pairwise(column)] for column in columns]
    if len(paths) == 1 or any(set(each) == {each[0]} and each[0] > 0 for each in steps):
        return
    where = f"file:{paths[0].parent}"
    column = next((number for number, each in enumerate(steps) if min(each) > 0), None)
    if column is None:
        raise InputError(
            f"{where}: no number in the names of {paths[0].name}, {paths[1].name}, ... counts the "
            "slices; accepted: one plane per number, in even steps"
        )
    gap = next(place for place, step in enumerate(steps[column]) if step != min(steps[column]))
    before, after = (re.findall(r"\d+", path.name)[column] for path in paths[gap : gap + 2])
    raise InputError(
        f"{where}: slices are missing between numbers {int(before)} and {int(after)}; accepted: numbers in even "
        "steps (a blank picture may stand in for a lost slice)"
    )
