"""Names of the chunk files of an array in a local folder."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mtneuro_ray.roi import Roi


@dataclass(frozen=True)
class ChunkGrid:
    """The grid of chunks (or of shards) of one array, a file each.

    Attributes:
        axes: Name of each axis of the grid, in the order of the array.
        starts: First voxel along each axis.
        stops: End of the voxels along each axis.
        sizes: Voxels of a chunk along each axis.
        prefix: First part of every file name.
        separator: Text between the chunk numbers in a file name; None where names hold bounds (precomputed volumes).
    """

    axes: tuple[str, ...]
    starts: tuple[int, ...]
    stops: tuple[int, ...]
    sizes: tuple[int, ...]
    prefix: str
    separator: str | None

    @classmethod
    def of(cls, store: Any, axes: Sequence[str]) -> ChunkGrid | None:
        """The grid of a tensorstore array, None where files hold chunks in no regular way (sharded precomputed)."""
        spec, rank = store.spec().to_json(), len(axes)
        prefix = ""
        separator: str | None = "/"
        if spec["driver"] == "neuroglancer_precomputed":
            if spec["scale_metadata"].get("sharding"):
                return None
            separator, rank = None, 3  # the channels of a voxel lie in one file
        elif spec["driver"] == "zarr3":
            encoding = spec["metadata"]["chunk_key_encoding"]
            named = encoding["name"] == "default"
            separator = encoding.get("configuration", {}).get("separator", "/" if named else ".")
            prefix = f"c{separator}" if named else ""
        elif spec["driver"] == "zarr":
            separator = spec["metadata"].get("dimension_separator", ".")
        bounds = (store.domain.inclusive_min, store.domain.exclusive_max, store.chunk_layout.write_chunk.shape)
        starts, stops, sizes = (tuple(map(int, each[:rank])) for each in bounds)
        return cls(tuple(axes[:rank]), starts, stops, sizes, prefix, separator)

    @property
    def num_chunks(self) -> int:
        """Chunks of the whole array."""
        sides = zip(self.starts, self.stops, self.sizes, strict=True)
        return math.prod(-(-(stop - start) // size) for start, stop, size in sides)

    def count(self, names: Iterable[str]) -> int:
        """Number of the names that are chunk files of the array."""
        number, between = (r"(\d+)-\d+", "_") if self.separator is None else (r"(\d+)", re.escape(self.separator))
        pattern = re.compile(re.escape(self.prefix) + between.join([number] * len(self.sizes)))
        return sum(match is not None and self._inside(match.groups()) for match in map(pattern.fullmatch, names))

    def files(self, box: Roi) -> Iterator[str]:
        """Names of the files that hold the voxels of a box, existing or not."""
        wanted = dict(zip("zyx", box.ranges, strict=True))
        spans = []
        for axis, start, stop, size in zip(self.axes, self.starts, self.stops, self.sizes, strict=True):
            low, high = wanted.get(axis, (start, stop))
            spans.append(range((low - start) // size, (high - 1 - start) // size + 1))
        for cell in itertools.product(*spans):
            if self.separator is not None:
                yield self.prefix + self.separator.join(map(str, cell))
            else:
                bounds = zip(cell, self.starts, self.stops, self.sizes, strict=True)
                yield "_".join(f"{lo + n * size}-{min(lo + (n + 1) * size, hi)}" for n, lo, hi, size in bounds)

    def _inside(self, numbers: Sequence[str]) -> bool:
        sides = zip(numbers, self.starts, self.stops, self.sizes, strict=True)
        if self.separator is None:
            return all(lo <= int(first) < hi for first, lo, hi, _ in sides)
        return all(int(number) * size < hi - lo for number, lo, hi, size in sides)
