"""Splits of which whole cubes are kept: patches are drawn from them for training, and they are predicted whole."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mtneuro_ray.config.task import Cube, Split, TaskSettings
from mtneuro_ray.config.task_volumes import OWN
from mtneuro_ray.data.class_labels import IGNORED
from mtneuro_ray.data.identities import Identities, parts_in
from mtneuro_ray.data.image_labels import Labels
from mtneuro_ray.data.samples import (
    Images,
    SplitData,
    gathered,
    images_at,
    load_split,
    masks_at,
    nothing_counts,
    region_names,
)
from mtneuro_ray.data.sampling import cell, cube_samples
from mtneuro_ray.data.semantics import Attributes
from mtneuro_ray.data.store import Bytes, CutoutStore
from mtneuro_ray.rng import Indices
from mtneuro_ray.roi import Roi, Shape

Place = tuple[int, Roi]
"""Number of a cube in its split, and a box in it, relative to its lowest corner."""

# Most voxels of a strip.
STRIP = 2**16


@dataclass(frozen=True, eq=False)
class Cubes(SplitData):
    """The cubes of one split of a task by patches. Its images are boxes of the size of a patch that cover the cubes.

    Attributes:
        task: The task.
        split: The split.
        labels: (N,) zeros, one for each image.
        regions: See `SplitData`.
        region_names: See `SplitData`.
        counts: (strips, classes) voxels of each class in each of `strips_of` the cubes.
        dtype: Type of the grey values.
        targets: None.
    """

    task: TaskSettings
    split: Split
    labels: Labels
    regions: Labels
    region_names: tuple[str, ...]
    counts: Labels
    dtype: np.dtype[Any]
    targets: None = None

    @classmethod
    def of(cls, task: TaskSettings, split: Split, counts: Labels, dtype: np.dtype[Any], **own: Any) -> Self:
        """The split.

        Raises:
            InputError: no voxel of it counts.
        """
        if not counts.any():
            raise nothing_counts(task, split)
        names = region_names(task)
        regions = [names.index(cube.region) for cube in cubes_of(task, split) for _ in cube_samples(task, cube)]
        labels = np.zeros(len(regions), np.int64)
        return cls(task, split, labels, np.array(regions, np.int64), names, counts, dtype, **own)

    @property
    def size(self) -> Shape:
        """Voxels of a patch along z, y, x."""
        return self.task.image_size

    @cached_property
    def cubes(self) -> list[Cube]:
        """The cubes, in the order of the task."""
        return cubes_of(self.task, self.split)

    @cached_property
    def images(self) -> list[Place]:
        """The N images; neighbours overlap at the end of a cube. `max_slices` leaves out slices of val and test."""
        return [
            (n, own.roi.relative_to(cube.roi.origin))
            for n, cube in enumerate(self.cubes)
            for own in self._samples(cube)
        ]

    @cached_property
    def cells(self) -> list[Place]:
        """The voxels of each image that no earlier one holds: the images of the evaluation."""
        return [
            (n, cell(self.task, cube, own.roi).relative_to(cube.roi.origin))
            for n, cube in enumerate(self.cubes)
            for own in self._samples(cube)
        ]

    def _samples(self, cube: Cube) -> list[Any]:
        return cube_samples(self.task, cube)

    def class_counts(self, num_classes: int) -> Labels:
        """Voxels of each class in each region, in the slices of `images`: (regions, num_classes)."""
        found = np.zeros((len(self.region_names), num_classes), np.int64)
        shown = {(number, z) for number, roi in self.cells for z in range(*roi.z)}
        for (number, roi), counts in zip(strips_of(self.cubes), self.counts, strict=True):
            if (number, roi.z[0]) in shown:
                found[self.region_names.index(self.cubes[number].region)] += counts[:num_classes]
        return found

    def read(self, indices: Indices) -> tuple[Images, Bytes]:
        """Images (B, C, Z, Y, X) and masks of some of `images`."""
        return self.voxels([self.images[index] for index in indices.tolist()])

    def voxels(self, places: Sequence[Place]) -> tuple[Images, Bytes]:
        """Grey values (B, C, Z, Y, X) and classes (B, Z, Y, X) of boxes of one shape."""
        return self.grey(places), self.masks(places)

    @abstractmethod
    def grey(self, places: Sequence[Place]) -> Images:
        """Grey values (B, C, Z, Y, X) of boxes of one shape."""

    @abstractmethod
    def masks(self, places: Sequence[Place]) -> Bytes:
        """Classes (B, Z, Y, X) of boxes of one shape, IGNORED where a voxel does not count."""


@dataclass(frozen=True, eq=False)
class CubeArrays(Cubes):
    """Cubes in memory: of each the grey values (C, Z, Y, X) in `values`, and the classes (Z, Y, X) in `classes`."""

    values: tuple[Images, ...] = ()
    classes: tuple[Bytes, ...] = ()

    def grey(self, places: Sequence[Place]) -> Images:
        """Grey values (B, C, Z, Y, X) of boxes of one shape, copied."""
        return np.stack([self.values[number][(slice(None), *roi.slices)] for number, roi in places])

    def masks(self, places: Sequence[Place]) -> Bytes:
        """Classes (B, Z, Y, X) of boxes of one shape, copied."""
        return np.stack([self.classes[number][roi.slices] for number, roi in places])


def cubes_of(task: TaskSettings, split: Split) -> list[Cube]:
    """The cubes of a split."""
    return [cube for cube in task.cubes if cube.split == split]


def strips_of(cubes: Sequence[Cube]) -> list[Place]:
    """Adjacent rows of a slice, for all cubes in the order z, y: voxels are found by number without a list of all."""
    found: list[Place] = []
    for number, cube in enumerate(cubes):
        depth, height, width = cube.roi.shape
        step = max(1, STRIP // width)
        rows = [(start, min(start + step, height)) for start in range(0, height, step)]
        found += [(number, Roi((z, z + 1), y, (0, width))) for z in range(depth) for y in rows]
    return found


def counted(strips: Iterable[Bytes], num_classes: int) -> Labels:
    """Voxels of each class in each strip, (strips, classes)."""
    counts = [np.bincount(strip.ravel(), minlength=IGNORED + 1)[:num_classes] for strip in strips]
    return np.array(counts, np.int64).reshape(-1, num_classes)


def read_cubes(
    store: CutoutStore,
    identities: Identities,
    task: TaskSettings,
    places: Sequence[Place],
    cubes: Sequence[Cube],
    read: Callable[[CutoutStore, Identities, Sequence[Roi], TaskSettings], npt.NDArray[Any]],
) -> npt.NDArray[Any]:
    """What `read` (`images_at` or `classes_at`) gives for boxes of one shape, each from the volume of its cube."""

    def at(own: Identities, part: TaskSettings, chosen: Indices) -> npt.NDArray[Any]:
        rois = [roi.moved(cubes[number].roi.origin) for number, roi in (places[place] for place in chosen)]
        return read(store, own, rois, part)

    found = gathered(parts_in(task, identities), np.array([cubes[n].volume or OWN for n, _ in places], str), at)
    assert found is not None
    return found


def classes_at(store: CutoutStore, identities: Identities, rois: Sequence[Roi], task: TaskSettings) -> Bytes:
    """`samples.masks_at` of a task that has a class for every voxel, as one by patches does."""
    masks = masks_at(store, identities, rois, task)
    assert masks is not None
    return masks


def load_cubes(store: CutoutStore, identities: Identities, task: TaskSettings, split: Split) -> CubeArrays:
    """Assemble the cubes of a split from the store; see `samples.load_split`."""
    cubes = cubes_of(task, split)
    whole = [(number, Roi.at((0, 0, 0), cube.roi.shape)) for number, cube in enumerate(cubes)]
    values = [read_cubes(store, identities, task, [place], cubes, images_at)[0] for place in whole]
    classes = [read_cubes(store, identities, task, [place], cubes, classes_at)[0] for place in whole]
    strips = (classes[number][roi.slices] for number, roi in strips_of(cubes))
    dtype = np.result_type(*values)
    return CubeArrays.of(
        task,
        split,
        counted(strips, len(task.classes)),
        dtype,
        values=tuple(each.astype(dtype, copy=False) for each in values),
        classes=tuple(classes),
    )


def cubes_bytes(store: CutoutStore, identities: Identities, task: TaskSettings, split: Split) -> int:
    """Bytes of the cubes of a split in memory, by the type of one box of each volume.

    Raises:
        StoreError: its voxels are missing.
    """
    sizes, parts = dict[str, int](), parts_in(task, identities)
    total = 0
    for cube in cubes_of(task, split):
        owner = cube.volume or OWN
        if owner not in sizes:
            images = parts[owner][0].images
            sizes[owner] = 1 + sum(
                store.dtype(identity, [Roi.at(cube.roi.origin, (1, 1, 1))]).itemsize for identity in images
            )
        total += cube.roi.num_voxels * sizes[owner]
    return total


def load_whole(
    store: CutoutStore,
    identities: Identities,
    task: TaskSettings,
    split: Split,
    targets: Mapping[Split, Attributes] | None,
) -> SplitData:
    """One split in memory as trainings and evaluations read it: its images, or its cubes where the task has patches."""
    if task.sampling.is_patches:
        return load_cubes(store, identities, task, split)
    return load_split(store, identities, task, split, targets)
