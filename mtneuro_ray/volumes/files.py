"""Volumes in plain files: .npy, NIfTI, HDF5, PNG and TIFF pictures and stacks, folders of slices."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from mtneuro_ray.errors import InputError, MTNeuroError, SourceError
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.address_options import AddressOptions
from mtneuro_ray.volumes.array_metadata import choose
from mtneuro_ray.volumes.axes import AxisLayout, axis_names
from mtneuro_ray.volumes.file_set import FileSet
from mtneuro_ray.volumes.formats import FORMATS, describe, suffix_of
from mtneuro_ray.volumes.formats.contents import Contents
from mtneuro_ray.volumes.source import VolumeSource, Voxels

PICTURES = (".png", ".tif", ".tiff")
# The array of an HDF5 file stands behind a #.
_PART = re.compile(r"(?si)(.*\.(?:h5|hdf5|hdf))#(.+)")


class FileSource(VolumeSource):
    """A volume in one file, or in a folder whose pictures, in the order of the number in their names, are its planes.

    The identity is the digest of the file's content, or of the slices' names and contents, and what the options select.

    Args:
        path: Absolute: a file with a suffix of `FORMATS`, or a folder; see `slices_of` for which files are slices.
        part: Path of the array in a file that holds several.
        options: Channel, level, voxel size and names of axes.

    Raises:
        InputError: there is no volume of numbers, or slices differ in size or type or are no series.
        SourceError: a file could not be read.
    """

    def __init__(self, path: Path, part: str = "", options: AddressOptions | None = None) -> None:
        options = options or AddressOptions()
        self._is_folder = path.is_dir()
        paths = slices_of(path) if self._is_folder else [path]
        self._names = [each.name for each in paths]
        self._files = FileSet.of(paths[0].parent, self._names)
        levels = describe(paths[0], part)
        self._part = levels[0].part
        place = f"file:{path}" + (f"#{self._part}" if self._part else "")
        self._level = choose([each.metadata for each in levels], options, place)
        first = levels[self._level]
        self._layout = self._layout_of(first, options.axes, paths)
        self.indexed = any(describe(each)[0].indexed for each in paths) if self._is_folder else first.indexed
        self.dtype, self.levels = first.dtype, len(levels)
        self.shape = (len(paths), *self._layout.shape[1:]) if self._is_folder else self._layout.shape
        self._channel = self._layout.selected(options.channel, place)
        self.num_channels = 1 if self._channel is not None else self._layout.num_channels
        metadata, chunks = first.metadata, first.chunks
        if not self._is_folder:
            self.voxel_size_um = self._layout.size(metadata.scale_um)
            self.origin_um = self._layout.place(metadata.origin_um)
            self.chunk_shape = self._layout.sides(chunks) if chunks else None
        self.voxel_size_um = options.voxel_size_um or self.voxel_size_um
        level = str(self._level) if self._level else None
        self.uri = place + replace(options, channel=self._channel, level=level, target_um=None).query
        self._selected = replace(options, channel=self._channel, level=level, target_um=None, voxel_size_um=None)

    def _layout_of(self, first: Contents, axes: str, paths: Sequence[Path]) -> AxisLayout:
        """The layout of the first file, which that of every other slice must equal."""
        where = str(paths[0]) + (f"#{first.part}" if first.part else "")
        layout = AxisLayout.of(axis_names(first.metadata.axes, axes, first.lengths, where), first.lengths, where)
        for path in paths if self._is_folder else ():
            other = describe(path)[0]
            like = (other.lengths, other.dtype, other.metadata.axes) == (
                first.lengths,
                first.dtype,
                first.metadata.axes,
            )
            if layout.shape[0] != 1 or not like:
                raise InputError(
                    f"{path}: {other.lengths} voxels of {other.dtype}, the folder's first slice is {first.lengths} of "
                    f"{first.dtype}; accepted: single planes, all alike"
                )
        return layout

    # Not in the constructor: a source must be cheap to build, and its files may hold gigabytes.
    @functools.cached_property
    def identity(self) -> str:  # type: ignore[override]
        """`file:sha256:`, the digest, computed when first asked for, and the selected part, channel and level."""
        digest = self._files.digest(None if self._is_folder else self._names[0])
        return f"file:sha256:{digest}" + (f"#{self._part}" if self._part else "") + self._selected.query

    def _boxes(self, roi: Roi) -> list[tuple[str, Roi]]:
        """The names of the files that hold a box, each with its own part of it."""
        if not self._is_folder:
            return [(self._names[0], roi)]
        return [(self._names[z], Roi((0, 1), roi.y, roi.x)) for z in range(*roi.z)]

    def _read(self, roi: Roi) -> Voxels:
        planes = []
        for name, box in self._boxes(roi):
            try:
                contents = describe(self._files.root / name, self._part)[self._level]
                planes.append(self._layout.turned(contents.read(self._layout.index(box.ranges, self._channel))))
            except MTNeuroError:
                raise
            except Exception as error:  # a damaged file makes its decoder raise nearly anything
                problem = f"{type(error).__name__}: {error}"
                raise SourceError(f"{self.uri}: box {box} of {name} cannot be read: {problem}") from None
        return np.concatenate(planes).astype(self.dtype, copy=False)

    def _unchanged(self, roi: Roi) -> bool:
        return self._files.unchanged(name for name, _ in self._boxes(roi))


def open_file(uri: str, base: Path) -> FileSource:
    """Open `file:` and a path: a file, `FILE.h5#/PATH`, or a folder of slices.

    `?channel=`, `?level=`, `?target_um=`, `?voxel_size=` and `?axes=` may follow. Errors are those of `find_path`,
    `Options.split` and `FileSource`.
    """
    place, options = AddressOptions.split(uri)
    match = _PART.fullmatch(place)
    place, part = (match[1], match[2]) if match else (place, "")
    return FileSource(find_path(place, base), part, options)


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
        if suffix_of(path.name):
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
