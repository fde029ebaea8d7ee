"""Patches: boxes at random places of cubes.

A patch is a function of (seed, epoch, index) alone. It has a number: epoch times patches of an epoch, plus index.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from mtneuro_ray.data.class_labels import IGNORED
from mtneuro_ray.data.cubes import Cubes, Place, strips_of
from mtneuro_ray.data.image_labels import Labels
from mtneuro_ray.data.sampling import count_samples
from mtneuro_ray.data.store import Bytes
from mtneuro_ray.rng import Indices, Purpose, generator
from mtneuro_ray.roi import Roi, Shape

# Numbers that decide a patch: group, voxel, and the voxel's place in the patch along z, y, x.
_DRAWS = 5


class PatchPlan:
    """Places of the patches of a split.

    Every patch is drawn around a voxel that counts: its strip is found by the number of such voxels in each.

    Args:
        data: The cubes.
        seed: Seed of the run.
    """

    def __init__(self, data: Cubes, seed: int) -> None:
        self._data, self._seed = data, seed
        self._strips = strips_of(data.cubes)
        groups = self._groups(data.counts)
        self._names = np.flatnonzero(groups.any(axis=1))
        self._until = np.cumsum(groups[self._names], axis=1)
        self.count = count_samples(data.task, "train")

    def _groups(self, counts: Labels) -> Labels:
        """Voxels of each group in each strip, (groups, strips)."""
        balance = self._data.task.sampling.balance
        if balance == "class":
            return np.ascontiguousarray(counts.T)
        total: Labels = counts.sum(axis=1)
        if balance == "none":
            return total.reshape(1, -1)
        # In the order of the split's own cubes: what other splits hold must not change a training.
        regions = [cube.region for cube in self._data.cubes]
        own = np.array([regions.index(regions[number]) for number, _ in self._strips])
        return np.stack([np.where(own == name, total, 0) for name in np.unique(own)])

    def places(self, numbers: Indices) -> list[Place]:
        """Boxes of patches, by their numbers."""
        draws = np.stack([_draws(self._seed, n // self.count, self.count)[n % self.count] for n in numbers.tolist()])
        found: list[tuple[int, int, int]] = []
        for group, share in draws[:, :2].tolist():
            name = int(group * len(self._names))
            until = self._until[name]
            number = int(share * int(until[-1]))
            strip = int(np.searchsorted(until, number, side="right"))
            found.append((name, strip, number - (int(until[strip - 1]) if strip else 0)))
        masks = self._masks([strip for _, strip, _ in found])
        return [self._place(*own, masks[own[1]], draw) for own, draw in zip(found, draws[:, 2:].tolist(), strict=True)]

    def _masks(self, strips: Iterable[int]) -> dict[int, Bytes]:
        """Classes (Z, Y, X) of strips, by number; those of one shape are read at once."""
        shapes: dict[Shape, list[int]] = {}
        for strip in sorted(set(strips)):
            shapes.setdefault(self._strips[strip][1].shape, []).append(strip)
        found: dict[int, Bytes] = {}
        for own in shapes.values():
            found |= zip(own, self._data.masks([self._strips[strip] for strip in own]), strict=True)
        return found

    def _place(self, name: int, strip: int, left: int, mask: Bytes, shares: Sequence[float]) -> Place:
        is_class = self._data.task.sampling.balance == "class"
        wanted = mask == self._names[name] if is_class else mask != IGNORED
        cube, roi = self._strips[strip]
        inside = np.unravel_index(int(np.flatnonzero(wanted)[left]), mask.shape)
        origin = []
        sides = zip(roi.origin, inside, shares, self._data.size, self._data.cubes[cube].roi.shape, strict=True)
        for base, at, share, side, whole in sides:
            # Anywhere that holds the voxel; at the border of the cube moved inwards.
            origin.append(min(max(base + int(at) - int(share * side), 0), whole - side))
        return cube, Roi.at(origin, self._data.size)


@lru_cache(maxsize=2)
def _draws(seed: int, epoch: int, count: int) -> npt.NDArray[np.float64]:
    """Numbers in [0, 1) of every patch of an epoch, (count, 5); those of a patch do not depend on `count`."""
    drawn = generator(seed, epoch, Purpose.PATCHES).random((count, _DRAWS))
    drawn.setflags(write=False)
    return drawn
