"""Arrays of a split from stored voxels: images, masks and labels, in the order of the plan."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mtneuro_ray.config.task import Split, TaskSettings
from mtneuro_ray.data.labels import UNMAPPED, class_table, classes_of
from mtneuro_ray.data.sampling import Sample, samples
from mtneuro_ray.data.semantics import Attributes, load_attributes
from mtneuro_ray.data.store import Bytes, CutoutStore

logger = logging.getLogger(__name__)

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SplitArrays:
    """The data of one split for training or evaluation.

    Attributes:
        images: (N, Z, Y, X) grey values, area-averaged by the task's `downsample`.
        masks: (N, Z, Y, X) classes of every voxel in a segmentation task, else None.
        labels: (N,) classes of whole images; 0 where the cubes of the task have none.
        regions: (N,) index into `region_names`.
        region_names: Regions in the order of the task.
        targets: (N, 4, 5) in a readout task, else None: attributes (`data.attributes`) of the corners of the images
            (`roi.corners`), measured at the volume's resolution.
    """

    images: Bytes
    masks: Bytes | None
    labels: Labels
    regions: Labels
    region_names: tuple[str, ...]
    targets: Attributes | None = None

    def __len__(self) -> int:
        return len(self.images)

    def class_counts(self, num_classes: int) -> Labels:
        """Voxels of each class in each region, or images where there are no masks: (regions, num_classes)."""
        counts = np.zeros((len(self.region_names), num_classes), np.int64)
        for region in range(len(counts)):
            here = self.regions == region
            truth = self.labels[here] if self.masks is None else self.masks[here]
            counts[region] = np.bincount(truth.ravel(), minlength=num_classes)
        return counts


def load_splits(
    store: CutoutStore, image_identity: str, annotation_identity: str | None, task: TaskSettings
) -> dict[Split, SplitArrays]:
    """Assemble every split of a task; see `load_split`."""
    targets: dict[Split, Attributes] = {}
    if task.declaration.labels == "corner":
        targets = load_attributes(store, str(annotation_identity), task)
    splits = dict.fromkeys(cube.split for cube in task.cubes)
    return {split: load_split(store, image_identity, annotation_identity, task, split, targets) for split in splits}


def load_split(
    store: CutoutStore,
    image_identity: str,
    annotation_identity: str | None,
    task: TaskSettings,
    split: Split,
    targets: Mapping[Split, Attributes] | None = None,
) -> SplitArrays:
    """Assemble one split from the store.

    Args:
        store: Cutouts that hold every voxel of the split.
        image_identity: Identity of the image volume.
        annotation_identity: Identity of the annotation volume; None where the task reads none.
        task: The task.
        split: Name of the split.
        targets: Attributes of every split of a readout task, where they are known; they are measured otherwise.

    Raises:
        StoreError: voxels are missing or damaged.
        InputError: an annotation holds a label that is no class.
    """
    plan = samples(task, split)
    rois = [sample.roi for sample in plan]
    images = np.stack(store.read(image_identity, rois))
    masks, own_targets = None, None
    labels = np.array([sample.label or 0 for sample in plan], np.int64)
    label_map = task.label_map
    if task.declaration.labels == "corner":
        own_targets = (targets or load_attributes(store, str(annotation_identity), task))[split]
    elif annotation_identity is not None and label_map is not None:
        annotations = np.stack(store.read(annotation_identity, rois))
        if task.declaration.labels == "image":
            labels = _region_labels(annotations, class_table(label_map), plan, task)
        else:
            # The label at the middle of each block that `area_average` merges.
            middles = slice(task.downsample // 2, None, task.downsample)
            masks = np.ascontiguousarray(classes_of(annotations, rois, task)[..., middles, middles])
    names = tuple(dict.fromkeys(cube.region for cube in task.cubes))
    return SplitArrays(
        images=area_average(images, task.downsample),
        masks=masks,
        labels=labels,
        regions=np.array([names.index(sample.region) for sample in plan], np.int64),
        region_names=names,
        targets=own_targets,
    )


def area_average(images: Bytes, factor: int) -> Bytes:
    """Average `factor` x `factor` blocks of the last two axes, rounded half up to uint8."""
    if factor == 1:
        return images
    *lead, height, width = images.shape
    blocks = images.reshape(*lead, height // factor, factor, width // factor, factor)
    total = blocks.sum(axis=(-3, -1), dtype=np.uint32)
    area = factor * factor
    averaged: Bytes = ((2 * total + area) // (2 * area)).astype(np.uint8)
    return averaged


def _region_labels(annotations: Bytes, table: Bytes, plan: Sequence[Sample], task: TaskSettings) -> Labels:
    """Class of each image: the most frequent label of its annotation, mapped (PROTOCOL, Data).

    The class of the cube stands where that label is 0 (not annotated) or has no class. Every image whose annotation
    contradicts its cube is logged.
    """
    labels = np.empty(len(plan), np.int64)
    for number, (annotation, sample) in enumerate(zip(annotations, plan, strict=True)):
        mode = int(np.bincount(annotation.ravel(), minlength=256).argmax())
        value, own = int(table[mode]), int(sample.label or 0)
        silent = mode == 0 or value == UNMAPPED
        labels[number] = own if silent else value
        if value != own:
            reason = "not annotated" if mode == 0 else "no class"
            logger.warning(
                "%s: image %s of region %s is mostly label %d (%s)",
                task.name,
                sample.roi,
                sample.region,
                mode,
                f"{reason}: the cube's own is kept" if silent else f"class {task.classes[value]}",
            )
    return labels
