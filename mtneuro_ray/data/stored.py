"""Splits that stay in the cutout store because they exceed a memory budget."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from mtneuro_ray.config.task import Split, TaskSettings
from mtneuro_ray.data.ahead import Reader, Stored, Voxels, read_ahead
from mtneuro_ray.data.cubes import cubes_bytes, load_whole
from mtneuro_ray.data.identities import Identities, Parts, by_volume, parts_in
from mtneuro_ray.data.image_labels import Labels
from mtneuro_ray.data.samples import (
    Images,
    SplitData,
    counts_of,
    each_split,
    gathered,
    images_at,
    labels_of,
    masks_at,
    nothing_counts,
    region_names,
    regions_of,
)
from mtneuro_ray.data.sampling import count_samples, owners, samples
from mtneuro_ray.data.semantics import Attributes, load_attributes
from mtneuro_ray.data.store import Bytes, CutoutStore
from mtneuro_ray.data.stored_cubes import CubesPart, StoredCubes, boxes_of, describe_cubes
from mtneuro_ray.machine import memory_bytes
from mtneuro_ray.rng import Indices
from mtneuro_ray.roi import Roi

# Voxels, as bytes, of which labels are counted at once.
_PART_BYTES = 32 * 2**20


@dataclass(frozen=True, slots=True)
class SplitPart:
    """Labels (n,), regions (n,) and origins z, y, x (n, 3) of some images of a split, and their classes.

    `counts` (regions, classes) are of voxels, or of images where the task has no masks; `dtype` is that of the images.
    """

    labels: Labels
    regions: Labels
    origins: npt.NDArray[np.int32]
    counts: Labels
    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True, eq=False)
class StoredSplit(Stored, SplitData):
    """A split whose voxels stay in the store; what is known of each image is in memory.

    Attributes:
        store: Cutouts that hold every voxel of the split.
        parts: Identities and part of the task of each volume.
        owners: (N,) name of the volume of each image.
        task: The task.
        budget: Bytes that reading ahead may take.
        labels: See `SplitData`.
        regions: See `SplitData`.
        region_names: See `SplitData`.
        targets: See `SplitData`.
        origins: (N, 3) lowest voxel z, y, x of each image.
        counts: What `class_counts` returns.
        dtype: Type of the images.
        reader: Reads batches ahead.
    """

    store: CutoutStore
    parts: Parts
    owners: npt.NDArray[np.str_]
    task: TaskSettings
    budget: int
    labels: Labels
    regions: Labels
    region_names: tuple[str, ...]
    targets: Attributes | None
    origins: npt.NDArray[np.int32]
    counts: Labels
    dtype: np.dtype[Any]
    reader: Reader = field(default=read_ahead)

    @classmethod
    def of(
        cls,
        store: CutoutStore,
        identities: Identities,
        task: TaskSettings,
        split: Split,
        budget: int,
        parts: Sequence[SplitPart],
        targets: Attributes | None = None,
    ) -> StoredSplit:
        """The split that adjacent parts make up.

        Raises:
            InputError: no voxel of it counts.
        """
        counts = np.sum([part.counts for part in parts], axis=0) if parts else np.zeros((0, 0), np.int64)
        if not parts or (task.ignoring and task.declaration.labels == "voxel" and not counts.any()):
            raise nothing_counts(task, split)
        return cls(
            store=store,
            parts=parts_in(task, identities),
            owners=owners(task, split),
            task=task,
            budget=budget,
            labels=np.concatenate([part.labels for part in parts]),
            regions=np.concatenate([part.regions for part in parts]),
            region_names=region_names(task),
            targets=targets,
            origins=np.concatenate([part.origins for part in parts]),
            counts=counts,
            dtype=np.result_type(*(part.dtype for part in parts)),
        )

    @property
    def _channels(self) -> int:
        return max(len(identities.images) for identities, _ in self.parts.values())

    @property
    def voxel_bytes(self) -> int:
        """Bytes of a voxel of an image, all channels together."""
        return self._channels * self.dtype.itemsize

    @property
    def num_bytes(self) -> int:
        """Bytes that the split would take in memory."""
        return split_bytes(self.task, len(self), self.voxel_bytes)

    @property
    def num_voxels(self) -> int:
        """Values of an image, after downsampling."""
        task = self.task
        return self._channels * task.volume_z * math.prod(task.tile_size) // task.downsample**2

    @property
    def sample_bytes(self) -> int:
        """Bytes that one image takes while it is read."""
        return read_bytes(self.task, self.voxel_bytes)

    def class_counts(self, num_classes: int) -> Labels:
        """Voxels of each class in each region, or images where there are no masks: (regions, num_classes)."""
        return self.counts[:, :num_classes]

    def read(self, indices: Indices) -> Voxels:
        """Images and masks of some samples, in the order of the indices; each shard that they need is decoded once."""
        shape = (self.task.volume_z, *self.task.tile_size)
        # The arrays of no image have the shape and type of one.
        chosen = indices if len(indices) else np.zeros(1, np.int64)

        def boxes(places: Indices) -> list[Roi]:
            return [Roi.at(origin, shape) for origin in self.origins[chosen[places]].tolist()]

        def images_of(identities: Identities, part: TaskSettings, places: Indices) -> Images:
            return images_at(self.store, identities, boxes(places), part).astype(self.dtype, copy=False)

        def masks_of(identities: Identities, part: TaskSettings, places: Indices) -> Bytes | None:
            return masks_at(self.store, identities, boxes(places), part)

        named = self.owners[chosen]
        images, masks = (gathered(self.parts, named, read) for read in (images_of, masks_of))
        assert images is not None
        return images[: len(indices)], None if masks is None else masks[: len(indices)]


def read_bytes(task: TaskSettings, voxel_bytes: int = 1) -> int:
    """Bytes that one image takes before downsampling, with its classes; its voxels take `voxel_bytes`."""
    per_voxel = voxel_bytes + (1 if task.declaration.labels == "voxel" else 0)
    return task.volume_z * math.prod(task.tile_size) * per_voxel


def split_bytes(task: TaskSettings, count: int, voxel_bytes: int = 1) -> int:
    """Bytes of `count` images and their masks in memory; see `read_bytes`."""
    return count * read_bytes(task, voxel_bytes) // task.downsample**2


def parts_of(task: TaskSettings, split: Split, number: int = 1) -> list[tuple[int, int]]:
    """Half-open ranges of a split's images, or boxes of its cubes: at most `number`, of about equal size, not empty."""
    count = len(boxes_of(task, split)) if task.sampling.is_patches else count_samples(task, split)
    cuts = [count * part // number for part in range(number + 1)]
    return [(start, stop) for start, stop in pairwise(cuts) if start < stop]


def default_budget() -> int:
    """Bytes of a split in memory, without Ray: a tenth of the memory here, as much as a third of Ray's share."""
    return memory_bytes() // 10


def exceeds(store: CutoutStore, identities: Identities, task: TaskSettings, split: Split, budget: int) -> bool:
    """Whether a split is to stream: it takes more memory than the budget.

    One box of each volume is looked at for the type of its voxels.

    Raises:
        StoreError: its voxels are missing.
    """
    if task.sampling.is_patches:
        return cubes_bytes(store, identities, task, split) > budget
    if not (plan := samples(task, split)):
        return False
    volumes = list(by_volume(parts_in(task, identities), owners(task, split)))
    firsts = [(identity, plan[places[0]].roi) for places, own, _ in volumes for identity in own.images]
    dtype = np.result_type(*(store.dtype(identity, [roi]) for identity, roi in firsts))
    return split_bytes(task, len(plan), len(volumes[0][1].images) * dtype.itemsize) > budget


def splits_of(
    store: CutoutStore, identities: Identities, task: TaskSettings, budget: int | None = None
) -> dict[Split, SplitData]:
    """Every split of a task, in memory where it fits the budget in bytes, else left in the store; see `load_splits`."""
    return each_split(store, identities, task, partial(split_of, store, identities, task, budget=budget))


def split_of(
    store: CutoutStore,
    identities: Identities,
    task: TaskSettings,
    split: Split,
    targets: Mapping[Split, Attributes] | None = None,
    budget: int | None = None,
) -> SplitData:
    """One split of a task, in memory where it fits the budget in bytes, else left in the store; see `load_split`."""
    budget = default_budget() if budget is None else budget
    if not exceeds(store, identities, task, split, budget):
        return load_whole(store, identities, task, split, targets)
    if task.declaration.labels == "corner" and not targets:
        targets = load_attributes(store, str(identities.annotation), task)
    parts = [describe(store, identities, task, split, *part) for part in parts_of(task, split)]
    return joined(store, identities, task, split, budget, parts, (targets or {}).get(split))


def joined(
    store: CutoutStore,
    identities: Identities,
    task: TaskSettings,
    split: Split,
    budget: int,
    parts: Sequence[SplitPart | CubesPart],
    targets: Attributes | None = None,
) -> StoredSplit | StoredCubes:
    """The split that all its parts make up, those of `parts_of` by `describe`, in their order.

    Raises:
        InputError: no voxel of it counts.
    """
    cubes = [part for part in parts if isinstance(part, CubesPart)]
    if cubes:
        return StoredCubes.of_parts(store, identities, task, split, budget, cubes)
    images = [part for part in parts if isinstance(part, SplitPart)]
    return StoredSplit.of(store, identities, task, split, budget, images, targets)


def describe(
    store: CutoutStore, identities: Identities, task: TaskSettings, split: Split, start: int, stop: int
) -> SplitPart | CubesPart:
    """Read the labels of the images `start` to `stop` of a split, or of such boxes of its cubes, a few at a time.

    Raises:
        StoreError: voxels are missing or damaged.
        InputError: an annotation holds a label that is no class.
    """
    if task.sampling.is_patches:
        return describe_cubes(store, identities, task, split, start, stop)
    plan, names = samples(task, split)[start:stop], region_names(task)
    regions, rois, parts = regions_of(plan, names), [sample.roi for sample in plan], parts_in(task, identities)
    named, step = owners(task, split)[start:stop], max(1, _PART_BYTES // read_bytes(task))
    labels, counts = np.zeros(len(plan), np.int64), np.zeros((len(names), len(task.classes)), np.int64)
    dtypes = list[np.dtype[Any]]()
    for volume, own, part in by_volume(parts, named):
        dtypes += [store.dtype(identity, [rois[place] for place in volume]) for identity in own.images]
        for places in (volume[first : first + step] for first in range(0, len(volume), step)):
            labels[places] = labels_of(store, own, [plan[place] for place in places], part)
            masks = masks_at(store, own, [rois[place] for place in places], part)
            truth = labels[places] if masks is None else masks
            counts += counts_of(truth, regions[places], len(names), len(task.classes))
    origins = np.array([roi.origin for roi in rois], np.int32).reshape(-1, 3)
    return SplitPart(labels, regions, origins, counts, np.result_type(*dtypes))
