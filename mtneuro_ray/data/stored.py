"""Splits that stay in the cutout store because they exceed a memory budget, and reading them ahead of the training.

Batches are read in windows: consecutive batches that need each shard of the store once. A window and the one that is
read meanwhile fit the budget, whatever the size of the split. The order of the samples is known before an epoch, so
reading changes no number.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from mtneuro_ray.config.task import Split, TaskSettings
from mtneuro_ray.data.cubes import cubes_bytes, load_whole
from mtneuro_ray.data.identities import Identities
from mtneuro_ray.data.image_labels import Labels
from mtneuro_ray.data.samples import (
    Images,
    SplitData,
    counts_of,
    images_at,
    labels_of,
    log_absent,
    masks_at,
    nothing_counts,
    region_names,
    regions_of,
)
from mtneuro_ray.data.sampling import count_samples, samples
from mtneuro_ray.data.semantics import Attributes, load_attributes
from mtneuro_ray.data.store import Bytes, CutoutStore
from mtneuro_ray.errors import InputError
from mtneuro_ray.rng import Indices
from mtneuro_ray.roi import Roi

# Bytes of the first window of a sequence, so that the first step need not wait for a large one; each is twice the last.
_FIRST_BYTES = 2**20
# A larger window would decode shards more rarely, but occupy memory that trials on the same machine need.
_MOST_BYTES = 256 * 2**20
# Windows of a budget: one in use, one that is read, and its voxels once more while they are put together.
_WINDOWS = 4
# Voxels, as bytes, of which labels are counted at once.
_PART_BYTES = 32 * 2**20

Voxels = tuple[Images, Bytes | None]
"""Images (B, C, Z, Y, X), and masks (B, Z, Y, X) where the task has them."""
Reader = Callable[["StoredSplit", Iterable[Indices]], Iterator[Voxels]]
"""Reads batches of samples in their order, ahead of their use."""


@dataclass(frozen=True, slots=True)
class Part:
    """Labels (n,), regions (n,) and origins z, y, x (n, 3) of some images of a split, and their classes.

    `counts` (regions, classes) are of voxels, or of images where the task has no masks; `dtype` is that of the images.
    """

    labels: Labels
    regions: Labels
    origins: npt.NDArray[np.int32]
    counts: Labels
    dtype: np.dtype[Any]


def read_ahead(split: StoredSplit, batches: Iterable[Indices]) -> Iterator[Voxels]:
    """The voxels of batches of samples, in order; a thread reads the next window while one is in use."""
    groups = split.windows(batches)
    pool = ThreadPoolExecutor(1)
    try:
        ahead = pool.submit(split.read_window, first) if (first := next(groups, None)) is not None else None
        while ahead is not None:
            window = ahead.result()
            ahead = pool.submit(split.read_window, group) if (group := next(groups, None)) is not None else None
            yield from window
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True, slots=True, eq=False)
class StoredSplit(SplitData):
    """A split whose voxels stay in the store; what is known of each image is in memory.

    Attributes:
        store: Cutouts that hold every voxel of the split.
        identities: Identities of the volumes.
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
    identities: Identities
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
        parts: Sequence[Part],
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
            identities=identities,
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
    def voxel_bytes(self) -> int:
        """Bytes of a voxel of an image, all channels together."""
        return len(self.identities.images) * self.dtype.itemsize

    @property
    def num_bytes(self) -> int:
        """Bytes that the split would take in memory."""
        return split_bytes(self.task, len(self), self.voxel_bytes)

    @property
    def num_voxels(self) -> int:
        """Values of an image, after downsampling."""
        channels, task = len(self.identities.images), self.task
        return channels * task.volume_z * math.prod(task.tile_size) // task.downsample**2

    def class_counts(self, num_classes: int) -> Labels:
        """Voxels of each class in each region, or images where there are no masks: (regions, num_classes)."""
        return self.counts[:, :num_classes]

    def read(self, indices: Indices) -> Voxels:
        """Images and masks of some samples, in the order of the indices; each shard that they need is decoded once."""
        shape = (self.task.volume_z, *self.task.tile_size)
        # The arrays of no image have the shape and type of one.
        rois = [Roi.at(origin, shape) for origin in self.origins[indices if len(indices) else [0]].tolist()]
        images = images_at(self.store, self.identities, rois, self.task).astype(self.dtype, copy=False)
        masks = masks_at(self.store, self.identities, rois, self.task)
        return images[: len(indices)], None if masks is None else masks[: len(indices)]

    def windows(self, batches: Iterable[Indices]) -> Iterator[list[Indices]]:
        """Batches in groups that are read at once."""
        return in_windows(batches, read_bytes(self.task, self.voxel_bytes), self.budget)

    def read_window(self, window: Sequence[Indices]) -> Iterator[Voxels]:
        """The voxels of a group of batches, batch by batch; they are read when this is called."""
        unique, rows = np.unique(np.concatenate(window), return_inverse=True)
        images, masks = self.read(unique)
        ends = np.cumsum([len(batch) for batch in window])[:-1]

        def batches() -> Iterator[Voxels]:
            for own in np.split(rows, ends):
                yield images[own], None if masks is None else masks[own]

        return batches()


def in_windows(batches: Iterable[Indices], sample_bytes: int, budget: int) -> Iterator[list[Indices]]:
    """Batches in groups that are read at once: small at first, then as large as the budget in bytes allows."""
    most = max(1, min(budget // _WINDOWS, _MOST_BYTES) // sample_bytes)
    limit, group, size = max(1, _FIRST_BYTES // sample_bytes), list[Indices](), 0
    for batch in batches:
        if group and size + len(batch) > min(limit, most):
            yield group
            limit, group, size = 2 * limit, [], 0
        group.append(batch)
        size += len(batch)
    if group:
        yield group


def read_bytes(task: TaskSettings, voxel_bytes: int = 1) -> int:
    """Bytes that one image takes before downsampling, with its classes; its voxels take `voxel_bytes`."""
    per_voxel = voxel_bytes + (1 if task.declaration.labels == "voxel" else 0)
    return task.volume_z * math.prod(task.tile_size) * per_voxel


def split_bytes(task: TaskSettings, count: int, voxel_bytes: int = 1) -> int:
    """Bytes of `count` images and their masks in memory; see `read_bytes`."""
    return count * read_bytes(task, voxel_bytes) // task.downsample**2


def parts_of(task: TaskSettings, split: Split, number: int = 1) -> list[tuple[int, int]]:
    """Half-open ranges of a split's images: at most `number` of them, of about equal size, none of them empty."""
    count = count_samples(task, split)
    cuts = [count * part // number for part in range(number + 1)]
    return [(start, stop) for start, stop in pairwise(cuts) if start < stop]


def default_budget() -> int:
    """Bytes of a split in memory, without Ray: a tenth of the machine's memory, as much as a third of Ray's share."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 10


def exceeds(store: CutoutStore, identities: Identities, task: TaskSettings, split: Split, budget: int) -> bool:
    """Whether a split is to stream: it takes more memory than the budget, and its task has one volume.

    One box is looked at for the type of its voxels.

    Raises:
        StoreError: its voxels are missing.
    """
    if task.sampling.is_patches:
        return cubes_bytes(store, identities, task, split) > budget
    if task.volumes or not (plan := samples(task, split)):
        return False
    voxel_bytes = sum(store.dtype(identity, [plan[0].roi]).itemsize for identity in identities.images)
    return split_bytes(task, len(plan), voxel_bytes) > budget


def too_large(task: TaskSettings, split: Split, budget: int) -> InputError:
    """The error of a split that can't be streamed."""
    return InputError(
        f"{task.name}: sampling.kind: the cubes of the {split} split take more than the memory budget of {budget} "
        "bytes, and patches are not streamed; accepted: a larger memory_budget, smaller cubes, or tiles"
    )


def splits_of(
    store: CutoutStore, identities: Identities, task: TaskSettings, budget: int | None = None
) -> dict[Split, SplitData]:
    """Every split of a task, in memory where it fits the budget in bytes, else left in the store; see `load_splits`."""
    targets: dict[Split, Attributes] = {}
    if task.declaration.labels == "corner":
        targets = load_attributes(store, str(identities.annotation), task)
    splits = dict.fromkeys(cube.split for cube in task.cubes)
    found = {split: split_of(store, identities, task, split, targets, budget) for split in splits}
    log_absent(task, {split: data.absent(task.classes) for split, data in found.items()})
    return found


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
    if task.sampling.is_patches:
        raise too_large(task, split, budget)
    if task.declaration.labels == "corner" and not targets:
        targets = load_attributes(store, str(identities.annotation), task)
    parts = [describe(store, identities, task, split, *part) for part in parts_of(task, split)]
    return StoredSplit.of(store, identities, task, split, budget, parts, (targets or {}).get(split))


def describe(
    store: CutoutStore, identities: Identities, task: TaskSettings, split: Split, start: int, stop: int
) -> Part:
    """Read the labels of the images `start` to `stop` of a split, a few at a time.

    Raises:
        StoreError: voxels are missing or damaged.
        InputError: an annotation holds a label that is no class.
    """
    plan, names = samples(task, split)[start:stop], region_names(task)
    regions = regions_of(plan, names)
    step = max(1, _PART_BYTES // read_bytes(task))
    labels, counts = list[Labels](), np.zeros((len(names), len(task.classes)), np.int64)
    for first in range(0, len(plan), step):
        own, here = plan[first : first + step], regions[first : first + step]
        labels.append(labels_of(store, identities, own, task))
        masks = masks_at(store, identities, [sample.roi for sample in own], task)
        counts += counts_of(labels[-1] if masks is None else masks, here, len(names), len(task.classes))
    origins = np.array([sample.roi.origin for sample in plan], np.int32).reshape(-1, 3)
    rois = [sample.roi for sample in plan]
    dtype = np.result_type(*(store.dtype(identity, rois) for identity in identities.images))
    return Part(np.concatenate(labels), regions, origins, counts, dtype)
