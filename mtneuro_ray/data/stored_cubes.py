"""Cubes whose voxels stay in the cutout store, and patches that are read from there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtneuro_ray.config.task import Split, TaskSettings
from mtneuro_ray.config.task_volumes import OWN
from mtneuro_ray.data.ahead import Reader, Stored, Voxels, read_ahead
from mtneuro_ray.data.cubes import (
    STRIP,
    Cubes,
    Place,
    classes_at,
    counted,
    cubes_of,
    read_cubes,
    strips_of,
)
from mtneuro_ray.data.identities import Identities, parts_in
from mtneuro_ray.data.image_labels import Labels
from mtneuro_ray.data.patches import PatchPlan
from mtneuro_ray.data.samples import Images, images_at
from mtneuro_ray.data.sampling import CUTOUT_SHAPE
from mtneuro_ray.data.store import Bytes, CutoutStore
from mtneuro_ray.rng import Indices
from mtneuro_ray.roi import Roi


@dataclass(frozen=True, slots=True)
class CubesPart:
    """Voxels of each class in each strip (strips, classes) of a part of the cubes, and the type of the grey values."""

    counts: Labels
    dtype: np.dtype[Any]


@dataclass(frozen=True, eq=False, kw_only=True)
class StoredCubes(Cubes):
    """Cubes in the store.

    Attributes:
        store: Cutouts that hold every voxel of the cubes.
        identities: Identities of the volumes.
        budget: Bytes that reading ahead may take.
        reader: Reads batches of patches ahead.
    """

    store: CutoutStore
    identities: Identities
    budget: int
    reader: Reader = read_ahead

    @classmethod
    def of_parts(
        cls,
        store: CutoutStore,
        identities: Identities,
        task: TaskSettings,
        split: Split,
        budget: int,
        parts: Sequence[CubesPart],
    ) -> StoredCubes:
        """The split that parts make up.

        Raises:
            InputError: no voxel of it counts.
        """
        counts = np.sum([part.counts for part in parts], axis=0)
        dtype = np.result_type(*(part.dtype for part in parts))
        return cls.of(task, split, counts, dtype, store=store, identities=identities, budget=budget)

    def grey(self, places: Sequence[Place]) -> Images:
        """Grey values (B, C, Z, Y, X) of boxes of one shape; each shard that they need is decoded once."""
        found = read_cubes(self.store, self.identities, self.task, places, self.cubes, images_at)
        return found.astype(self.dtype, copy=False)

    def masks(self, places: Sequence[Place]) -> Bytes:
        """Classes (B, Z, Y, X) of boxes of one shape; likewise."""
        return read_cubes(self.store, self.identities, self.task, places, self.cubes, classes_at)


@dataclass(frozen=True, slots=True, eq=False)
class StoredPatches(Stored):
    """Patches of cubes in the store, by their numbers."""

    cubes: StoredCubes
    plan: PatchPlan

    @property
    def budget(self) -> int:  # type: ignore[override]
        """Bytes that reading ahead may take."""
        return self.cubes.budget

    @property
    def reader(self) -> Reader:  # type: ignore[override]
        """Reads batches ahead."""
        return self.cubes.reader

    @property
    def sample_bytes(self) -> int:
        """Bytes that one patch takes while it is read, with the strip that tells where it lies."""
        cubes = self.cubes
        channels = parts_in(cubes.task, cubes.identities)[cubes.cubes[0].volume or OWN][0].images
        return math.prod(cubes.size) * (len(channels) * cubes.dtype.itemsize + 1) + STRIP

    def read(self, indices: Indices) -> Voxels:
        """Images and masks of some patches, in the order of their numbers."""
        return self.cubes.voxels(self.plan.places(indices))


def boxes_of(task: TaskSettings, split: Split) -> list[Place]:
    """The cubes of a split in boxes as they were stored, so that each shard is decoded about once."""
    return [
        (number, box)
        for number, cube in enumerate(cubes_of(task, split))
        for box in Roi.at((0, 0, 0), cube.roi.shape).split(CUTOUT_SHAPE)
    ]


def describe_cubes(
    store: CutoutStore, identities: Identities, task: TaskSettings, split: Split, start: int, stop: int
) -> CubesPart:
    """Read the labels of the boxes `start` to `stop` of `boxes_of` a split, one at a time.

    Raises:
        StoreError: voxels are missing or damaged.
        InputError: an annotation holds a label that is no class.
    """
    cubes, strips = cubes_of(task, split), strips_of(cubes_of(task, split))
    # By cube and slice: the first of its strips.
    first: dict[tuple[int, int], int] = {}
    for strip, (number, roi) in enumerate(strips):
        first.setdefault((number, roi.z[0]), strip)
    counts = np.zeros((len(strips), len(task.classes)), np.int64)
    kinds, parts = set[np.dtype[Any]](), parts_in(task, identities)
    for number, box in boxes_of(task, split)[start:stop]:
        [mask] = read_cubes(store, identities, task, [(number, box)], cubes, classes_at)
        images = parts[cubes[number].volume or OWN][0].images
        kinds |= {store.dtype(identity, [box.moved(cubes[number].roi.origin)]) for identity in images}
        rows = strips[first[number, box.z[0]]][1].shape[1]
        for z in range(*box.z):
            for strip in range(first[number, z] + box.y[0] // rows, first[number, z] + (box.y[1] - 1) // rows + 1):
                inside = strips[strip][1].intersection(box)
                assert inside is not None
                counts[strip] += counted([mask[inside.slices_within(box)]], len(task.classes))[0]
    return CubesPart(counts, np.result_type(*kinds))
