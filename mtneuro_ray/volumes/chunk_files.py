"""The files of a chunked array in a local folder: which exist, and which of them hold a box."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtneuro_ray.roi import Roi

_METADATA = ("zarr.json", "attributes.json")


@dataclass(frozen=True)
class ChunkGrid:
    """The grid of chunks (or of shards) of one array, a file each.

    Attributes:
        folder: Where the files lie.
        axes: Name of each axis of the grid, in the order of the array.
        starts: First voxel along each axis.
        stops: End of the voxels along each axis.
        sizes: Voxels of a chunk along each axis.
        prefix: What every file name begins with.
        separator: Between the numbers of a file name; None for names of bounds, as precomputed volumes have.
    """

    folder: str
    axes: tuple[str, ...]
    starts: tuple[int, ...]
    stops: tuple[int, ...]
    sizes: tuple[int, ...]
    prefix: str = ""
    separator: str | None = "."

    @classmethod
    def of(cls, spec: Mapping[str, Any], folder: str, axes: Sequence[str], domain: Any) -> ChunkGrid | None:
        """The grid of an open array, None where files hold chunks in no regular way (sharded precomputed).

        Args:
            spec: tensorstore's, of the array as it is stored.
            folder: Of the array; of all scales for a precomputed volume.
            axes: Names of the array's axes.
            domain: tensorstore's, of the array as it is stored.
        """
        starts, stops = tuple(map(int, domain.inclusive_min)), tuple(map(int, domain.exclusive_max))
        if spec["driver"] == "neuroglancer_precomputed":
            scale = spec["scale_metadata"]
            if scale.get("sharding"):
                return None
            sizes = tuple(map(int, scale["chunk_size"]))
            place = os.path.join(folder, scale["key"])
            return cls(place, tuple(axes[:3]), starts[:3], stops[:3], sizes, separator=None)
        metadata = spec["metadata"]
        prefix, separator = "", "/"
        if spec["driver"] == "zarr3":
            sizes = tuple(map(int, metadata["chunk_grid"]["configuration"]["chunk_shape"]))
            encoding = metadata["chunk_key_encoding"]
            named = encoding["name"] == "default"
            separator = encoding.get("configuration", {}).get("separator", "/" if named else ".")
            prefix = f"c{separator}" if named else ""
        elif spec["driver"] == "zarr":
            sizes, separator = tuple(map(int, metadata["chunks"])), metadata.get("dimension_separator", ".")
        else:
            sizes = tuple(map(int, metadata["blockSize"]))
        return cls(folder, tuple(axes), starts, stops, sizes, prefix, separator)

    @property
    def num_chunks(self) -> int:
        """Chunks of the whole array."""
        count = 1
        for start, stop, size in zip(self.starts, self.stops, self.sizes, strict=True):
            count *= -(-(stop - start) // size)
        return count

    def count(self, names: Sequence[str]) -> int:
        """How many of the files, named relative to the folder, are chunks of the array."""
        number = r"\d+" if self.separator is not None else r"\d+-\d+"
        between = re.escape("_" if self.separator is None else self.separator)
        pattern = re.compile(re.escape(self.prefix) + between.join([f"({number})"] * len(self.sizes)))
        matches = (pattern.fullmatch(name) for name in names)
        return sum(match is not None and self._inside(match.groups()) for match in matches)

    def files(self, box: Roi) -> Iterator[Path]:
        """The files that hold the voxels of a box, whether they exist or not."""
        wanted = dict(zip("zyx", box.ranges, strict=True))
        spans = []
        for axis, start, stop, size in zip(self.axes, self.starts, self.stops, self.sizes, strict=True):
            low, high = wanted.get(axis, (start, stop))
            spans.append(range((low - start) // size, (high - 1 - start) // size + 1))
        for cell in itertools.product(*spans):
            yield Path(self.folder, self._name(cell))

    def _name(self, cell: Sequence[int]) -> str:
        if self.separator is not None:
            return self.prefix + self.separator.join(map(str, cell))
        bounds = zip(cell, self.starts, self.stops, self.sizes, strict=True)
        return "_".join(f"{lo + n * size}-{min(lo + (n + 1) * size, hi)}" for n, lo, hi, size in bounds)

    def _inside(self, parts: Sequence[str]) -> bool:
        grid = zip(parts, self.starts, self.stops, self.sizes, strict=True)
        if self.separator is None:
            return all(lo <= int(part.partition("-")[0]) < hi for part, lo, hi, _ in grid)
        return all(int(part) * size < hi - lo for part, lo, hi, size in grid)


@dataclass(frozen=True, slots=True)
class Listing:
    """The files below a folder, without metadata and hidden ones.

    Attributes:
        names: Relative to the folder, sorted, with `/`.
        newest_ns: Time of the last change of any of them or of their folders, by the file system's clock.
    """

    names: tuple[str, ...]
    newest_ns: int

    @classmethod
    def of(cls, folder: str) -> Listing:
        """The files below a folder as they are now."""
        names, newest = [], 0
        for place, _, files in os.walk(folder):
            newest = max(newest, _changed_ns(place))
            for name in files:
                if not name.startswith(".") and name not in _METADATA:
                    path = os.path.join(place, name)
                    newest = max(newest, _changed_ns(path))
                    names.append(os.path.relpath(path, folder).replace(os.sep, "/"))
        return cls(tuple(sorted(names)), newest)


def unchanged_since(files: Iterator[Path], newest_ns: int) -> bool:
    """Whether files, and the folders that they lie in, changed no later than a time of the file system's clock."""
    folders = set()
    for path in files:
        folders.add(path.parent)
        if _changed_ns(path) > newest_ns:
            return False
    return all(_changed_ns(folder) <= newest_ns for folder in folders)


def _changed_ns(path: str | Path) -> int:
    """Time of the last change of content or name; 0 for what is not there."""
    try:
        return os.stat(path).st_ctime_ns
    except OSError:
        return 0
