"""Arrays of a split from stored voxels: images, masks and labels, in the order of the plan."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from mtneuro_ray.config.task import Split, TaskSettings
from mtneuro_ray.data.class_labels import IGNORED, Annotation, Flags, annotated_at, classes_of
from mtneuro_ray.data.identities import Identities, Parts, by_volume, parts_in
from mtneuro_ray.data.image_labels import Labels, region_labels
from mtneuro_ray.data.sampling import Sample, owners, samples
from mtneuro_ray.data.semantics import Attributes, load_attributes
from mtneuro_ray.data.store import Bytes, CutoutStore
from mtneuro_ray.errors import InputError
from mtneuro_ray.rng import Indices
from mtneuro_ray.roi import Roi

logger = logging.getLogger(__name__)

Data = TypeVar("Data", bound="SplitData")
Images = npt.NDArray[Any]
"""Grey values: integers of 8 to 32 bits, or floats."""


class SplitData(ABC):
    """One split for training or evaluation, wherever its voxels lie: in memory, or in the cutout store.

    Attributes:
        labels: (N,) classes of whole images; 0 where the cubes of the task have none.
        regions: (N,) index into `region_names`.
        region_names: Regions in the order of the task.
        targets: (N, 4, A) in a readout task, else None: attributes (`data.attributes`) of the corners of the images
            (`roi.corners`), measured at the volume's resolution.
    """

    labels: Labels
    regions: Labels
    region_names: tuple[str, ...]
    targets: Attributes | None

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def class_counts(self, num_classes: int) -> Labels:
        """Voxels of each class in each region, or images where there are no masks: (regions, num_classes)."""

    @abstractmethod
    def read(self, indices: Indices) -> tuple[Images, Bytes | None]:
        """Images (B, C, Z, Y, X) and masks of some samples, in the order of the indices."""

    def absent(self, classes: Sequence[str]) -> list[str]:
        """The classes without a voxel that counts, or without an image where there are no masks."""
        if self.targets is not None:
            return []
        counts = self.class_counts(len(classes)).sum(0)
        return [name for name, count in zip(classes, counts, strict=True) if not count]


@dataclass(frozen=True, slots=True)
class SplitArrays(SplitData):
    """A split in memory.

    Attributes:
        images: (N, C, Z, Y, X) grey values in the type of the volume, area-averaged by the task's `downsample`.
        masks: (N, Z, Y, X) classes of every voxel in a segmentation task, IGNORED where it does not count, else None.
        labels: See `SplitData`.
        regions: See `SplitData`.
        region_names: See `SplitData`.
        targets: See `SplitData`.
    """

    images: Images
    masks: Bytes | None
    labels: Labels
    regions: Labels
    region_names: tuple[str, ...]
    targets: Attributes | None = None

    def class_counts(self, num_classes: int) -> Labels:
        """Voxels of each class in each region, or images where there are no masks: (regions, num_classes)."""
        truth = self.labels if self.masks is None else self.masks
        return counts_of(truth, self.regions, len(self.region_names), num_classes)

    def read(self, indices: Indices) -> tuple[Images, Bytes | None]:
        """Copies of images and masks."""
        return self.images[indices], None if self.masks is None else self.masks[indices]


def counts_of(truth: Bytes | Labels, regions: Labels, num_regions: int, num_classes: int) -> Labels:
    """Voxels that count of each class in each region, (num_regions, num_classes), of classes (N, ...) of N images."""
    counts = np.zeros((num_regions, num_classes), np.int64)
    for region in range(num_regions):
        here = truth[regions == region].ravel()
        counts[region] = np.bincount(here, minlength=IGNORED + 1)[:num_classes]
    return counts


def load_splits(store: CutoutStore, identities: Identities, task: TaskSettings) -> dict[Split, SplitArrays]:
    """Assemble every split of a task, and log classes that a split lacks; see `load_split`."""
    return each_split(store, identities, task, partial(load_split, store, identities, task))


def each_split(
    store: CutoutStore,
    identities: Identities,
    task: TaskSettings,
    load: Callable[[Split, Mapping[Split, Attributes]], Data],
) -> dict[Split, Data]:
    """What `load` makes of each split, with the attributes of a readout task; logs classes that a split lacks."""
    targets: dict[Split, Attributes] = {}
    if task.declaration.labels == "corner":
        targets = load_attributes(store, str(identities.annotation), task)
    found = {split: load(split, targets) for split in dict.fromkeys(cube.split for cube in task.cubes)}
    log_absent(task, {split: data.absent(task.classes) for split, data in found.items()})
    return found


def log_absent(task: TaskSettings, absent: Mapping[Split, Sequence[str]]) -> None:
    """Log the classes that each split of a task lacks, in one line."""
    found = "; ".join(f"{split} has no {', '.join(names)}" for split, names in absent.items() if names)
    if found:
        score = "scores 1" if task.absent == "one" else "has no score there, and none in a mean"
        logger.warning("%s: classes without a voxel or image: %s; such a class %s", task.name, found, score)


def load_split(
    store: CutoutStore,
    identities: Identities,
    task: TaskSettings,
    split: Split,
    targets: Mapping[Split, Attributes] | None = None,
) -> SplitArrays:
    """Assemble one split from the store.

    Args:
        store: Cutouts that hold every voxel of the split.
        identities: Identities of the volumes.
        task: The task.
        split: Name of the split.
        targets: Attributes of every split of a readout task, where they are known; they are measured otherwise.

    Raises:
        StoreError: voxels are missing or damaged.
        InputError: an annotation holds a label that is no class, or no voxel of the split counts.
    """
    plan, names, parts = samples(task, split), region_names(task), parts_in(task, identities)
    if not plan:
        raise nothing_counts(task, split)
    own_targets = None
    if task.declaration.labels == "corner":
        own_targets = (targets or load_attributes(store, str(identities.annotation), task))[split]

    def of(places: Indices) -> list[Sample]:
        return [plan[place] for place in places]

    def masks_of(own: Identities, part: TaskSettings, places: Indices) -> Bytes | None:
        masks = masks_at(store, own, [sample.roi for sample in of(places)], part)
        if masks is not None and part.ignoring and (masks == IGNORED).all():
            raise nothing_counts(part, split)
        return masks

    def images_of(own: Identities, part: TaskSettings, places: Indices) -> Images:
        return images_at(store, own, [sample.roi for sample in of(places)], part)

    def classes_of_images(own: Identities, part: TaskSettings, places: Indices) -> Labels:
        return labels_of(store, own, of(places), part)

    named = owners(task, split)
    masks, images, labels = (gathered(parts, named, read) for read in (masks_of, images_of, classes_of_images))
    assert images is not None
    assert labels is not None
    return SplitArrays(images, masks, labels, regions_of(plan, names), names, own_targets)


def gathered(
    parts: Parts,
    owners: npt.NDArray[np.str_],
    read: Callable[[Identities, TaskSettings, Indices], npt.NDArray[Any] | None],
) -> npt.NDArray[Any] | None:
    """What `read` gives for the images of each volume, by their places, as one array in the order of all images.

    Args:
        parts: The volumes.
        owners: (N,) name of the volume of each image.
        read: Identities, part of the task and places of its images -> an array of as many rows, or None.
    """
    volumes = list(by_volume(parts, owners))
    found = [rows for places, own, part in volumes if (rows := read(own, part, places)) is not None]
    if len(found) < 2:
        return found[0] if found else None
    together: npt.NDArray[Any] = np.concatenate(found)
    return together[np.argsort(np.concatenate([places for places, _, _ in volumes]))]


def region_names(task: TaskSettings) -> tuple[str, ...]:
    """Regions of a task, in its order."""
    return tuple(dict.fromkeys(cube.region for cube in task.cubes))


def regions_of(plan: Sequence[Sample], names: Sequence[str]) -> Labels:
    """Index of each sample's region, (N,)."""
    return np.array([names.index(sample.region) for sample in plan], np.int64)


def images_at(store: CutoutStore, identities: Identities, rois: Sequence[Roi], task: TaskSettings) -> Images:
    """Grey values (N, C, Z, Y, X) of N boxes, area-averaged by the task's `downsample`.

    Raises:
        StoreError: voxels are missing or damaged.
        InputError: channels are of several types, or of one that has more digits than a network reads.
    """
    channels = [np.stack(store.read(identity, rois)) for identity in identities.images]
    kinds = {channel.dtype for channel in channels}
    if len(kinds) > 1 or any(kind.kind != "f" and kind.itemsize > 4 for kind in kinds):
        names = ", ".join(sorted(kind.name for kind in kinds))
        raise InputError(
            f"{task.name}: image_chan: holds {names}; accepted: channels of one type, of integers up to 32 bits or "
            "of floats"
        )
    images = channels[0][:, np.newaxis] if len(channels) == 1 else np.stack(channels, axis=1)
    return area_average(images, task.downsample)


def masks_at(store: CutoutStore, identities: Identities, rois: Sequence[Roi], task: TaskSettings) -> Bytes | None:
    """Classes (N, Z, Y, X) of N boxes in a segmentation task, IGNORED where a voxel does not count; else None.

    Raises:
        StoreError: voxels are missing or damaged.
        InputError: an annotation holds a label that is no class.
    """
    if identities.annotation is None or task.label_map is None or task.declaration.labels != "voxel":
        return None
    annotations, flags = _annotations(store, identities, rois, task)
    # The label at the middle of each block that `area_average` merges.
    middles = slice(task.downsample // 2, None, task.downsample)
    return np.ascontiguousarray(classes_of(annotations, rois, task, flags)[..., middles, middles])


def labels_of(store: CutoutStore, identities: Identities, plan: Sequence[Sample], task: TaskSettings) -> Labels:
    """Classes (N,) of whole images: those of their annotation where the task reads one for it, else of their cubes."""
    if identities.annotation is None or task.label_map is None or task.declaration.labels != "image":
        return np.array([sample.label or 0 for sample in plan], np.int64)
    return region_labels(*_annotations(store, identities, [sample.roi for sample in plan], task), plan, task)


def _annotations(
    store: CutoutStore, identities: Identities, rois: Sequence[Roi], task: TaskSettings
) -> tuple[list[Annotation], Flags | None]:
    """Labels at boxes, and which voxels are annotated; None where all are."""
    mask = None if identities.mask is None else store.read(identities.mask, rois)
    return store.read(str(identities.annotation), rois), annotated_at(rois, task, mask)


def area_average(images: Images, factor: int) -> Images:
    """Average `factor` x `factor` blocks of the last two axes, in the type of the images.

    Integers are rounded half up; floats are summed in 64 bits.
    """
    if factor == 1:
        return images
    *lead, height, width = images.shape
    blocks = images.reshape(*lead, height // factor, factor, width // factor, factor)
    area = factor * factor
    if images.dtype.kind == "f":
        mean: Images = (blocks.sum(axis=(-3, -1), dtype=np.float64) / area).astype(images.dtype)
        return mean
    total = blocks.sum(axis=(-3, -1), dtype=np.uint32 if images.dtype == np.uint8 else np.int64)
    averaged: Images = ((2 * total + area) // (2 * area)).astype(images.dtype)
    return averaged


def nothing_counts(task: TaskSettings, split: Split) -> InputError:
    """The error of a split of which no voxel counts."""
    return InputError(
        f"{task.name}: {', '.join(task.ignoring)}: no voxel of the {split} split is left; accepted: at least one that "
        "is annotated and has a class"
    )
