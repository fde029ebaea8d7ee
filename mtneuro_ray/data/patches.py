"""Patches: training images at random places of cubes of any size, each a function of (seed, epoch, index)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mtneuro_ray.data.labels import IGNORED
from mtneuro_ray.data.store import Bytes
from mtneuro_ray.rng import Indices, Purpose, generator
from mtneuro_ray.roi import Roi, Shape

Balance = Literal["none", "class", "region"]
# Numbers that decide a patch: group, voxel, and the voxel's place in the patch along z, y, x.
_DRAWS = 5
_PARTS = 256


@dataclass(frozen=True, slots=True, eq=False)
class CubeArrays:
    """Whole cubes of a training split, from which patches are drawn; V voxels, cube after cube, each in z, y, x order.

    Attributes:
        images: (C, V) grey values in the type of the volume.
        masks: (V,) classes, IGNORED where a voxel does not count.
        shapes: Voxels of each cube along z, y, x.
        regions: (K,) region of each cube, as an index into `region_names`.
        region_names: Regions in the order of the task.
        size: Voxels of a patch along z, y, x.
        count: Patches of an epoch.
        balance: What is drawn first, see `config.sampling`.
    """

    images: npt.NDArray[Any]
    masks: Bytes
    shapes: tuple[Shape, ...]
    regions: npt.NDArray[np.int64]
    region_names: tuple[str, ...]
    size: Shape
    count: int
    balance: Balance = "none"

    def __len__(self) -> int:
        return self.count

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """(K + 1,) first voxel of each cube, and the number of all voxels."""
        return np.cumsum([0, *(depth * height * width for depth, height, width in self.shapes)])

    @property
    def parts(self) -> list[npt.NDArray[Any]]:
        """The grey values in parts (C, n) of about one size, for statistics of them."""
        return np.array_split(self.images, min(_PARTS, self.images.shape[1]), axis=1)

    def mask(self, cube: int) -> Bytes:
        """Classes of a cube (Z, Y, X), a view."""
        first, last = self.starts[cube : cube + 2]
        return self.masks[first:last].reshape(self.shapes[cube])

    def class_counts(self, num_classes: int) -> npt.NDArray[np.int64]:
        """Voxels of each class in each region: (regions, num_classes)."""
        counts = np.zeros((len(self.region_names), num_classes), np.int64)
        for cube, region in enumerate(self.regions.tolist()):
            counts[region] += np.bincount(self.mask(cube).ravel(), minlength=IGNORED + 1)[:num_classes]
        return counts

    def absent(self, classes: Sequence[str]) -> list[str]:
        """The classes without a voxel that counts."""
        counts = self.class_counts(len(classes)).sum(0)
        return [name for name, count in zip(classes, counts, strict=True) if not count]


class PatchPlan:
    """Places of the patches of a split.

    Every patch is drawn around a voxel that counts: a slice is found by the number of such voxels in each, and the
    voxel within it, so that no list of all voxels is needed.

    Args:
        arrays: The cubes.
        seed: Seed of the run.
    """

    def __init__(self, arrays: CubeArrays, seed: int) -> None:
        self._arrays, self._seed = arrays, seed
        slices = [(cube, z) for cube, shape in enumerate(arrays.shapes) for z in range(shape[0])]
        counts = np.array(
            [np.bincount(arrays.mask(cube)[z].ravel(), minlength=IGNORED + 1)[:IGNORED] for cube, z in slices]
        )
        self._slices = slices
        groups = self._groups(counts)
        self._names = np.flatnonzero(groups.any(axis=1))
        self._until = np.cumsum(groups[self._names], axis=1)

    def _groups(self, counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Voxels of each group in each slice, (groups, slices), from those of each class (slices, classes)."""
        if self._arrays.balance == "class":
            return np.ascontiguousarray(counts.T)
        total = counts.sum(axis=1)
        if self._arrays.balance == "none":
            return np.stack([total])
        region = self._arrays.regions[[cube for cube, _ in self._slices]]
        names = range(len(self._arrays.region_names))
        return np.stack([np.where(region == name, total, 0) for name in names])

    def places(self, epoch: int, indices: Indices) -> list[tuple[int, Roi]]:
        """Cube of each patch, and its box in the cube.

        Args:
            epoch: Epoch, from 0.
            indices: Patches of the epoch.
        """
        draws = _draws(self._seed, epoch, self._arrays.count)[indices]
        return [self._place(draw) for draw in draws.tolist()]

    def _place(self, draw: list[float]) -> tuple[int, Roi]:
        group = int(draw[0] * len(self._names))
        until = self._until[group]
        number = int(draw[1] * int(until[-1]))
        place = int(np.searchsorted(until, number, side="right"))
        cube, z = self._slices[place]
        plane = self._arrays.mask(cube)[z]
        wanted = plane == self._names[group] if self._arrays.balance == "class" else plane != IGNORED
        left = number - (int(until[place - 1]) if place else 0)
        y, x = divmod(int(np.flatnonzero(wanted)[left]), plane.shape[1])
        origin = []
        for at, share, side, whole in zip(
            (z, y, x), draw[2:], self._arrays.size, self._arrays.shapes[cube], strict=True
        ):
            # Anywhere that holds the voxel; at the border of the cube moved inwards.
            origin.append(min(max(at - int(share * side), 0), whole - side))
        return cube, Roi.at(origin, self._arrays.size)


@lru_cache(maxsize=4)
def _draws(seed: int, epoch: int, count: int) -> npt.NDArray[np.float64]:
    """Numbers in [0, 1) of every patch of an epoch, (count, 5); those of a patch do not depend on `count`."""
    drawn = generator(seed, epoch, Purpose.PATCHES).random((count, _DRAWS))
    drawn.setflags(write=False)
    return drawn
