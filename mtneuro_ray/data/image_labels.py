"""Class of a whole image from the labels of its voxels."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.data.class_labels import IGNORED, Annotation, Flags, LabelMap
from mtneuro_ray.data.sampling import Sample

logger = logging.getLogger(__name__)

Labels = npt.NDArray[np.int64]


def region_labels(
    annotations: Sequence[Annotation], flags: Flags | None, plan: Sequence[Sample], task: TaskSettings
) -> Labels:
    """Class of each image: the most frequent label of its annotation among voxels that count, mapped (PROTOCOL, Data).

    The class of the cube stands where that label is 0 (not annotated) or has no class, and where no voxel counts. Every
    image whose annotation contradicts its cube is logged.
    """
    labels = np.empty(len(plan), np.int64)
    label_map = LabelMap.of(task)
    for number, (annotation, sample) in enumerate(zip(annotations, plan, strict=True)):
        counted = annotation.ravel()
        if task.ignoring:
            classes, refused = label_map.classes(annotation)
            counts = classes != IGNORED if refused is None else (classes != IGNORED) | refused
            counted = annotation[counts if flags is None else counts & flags[number]]
        own = int(sample.label or 0)
        mode = _most_frequent(counted) if counted.size else 0
        value = int(label_map.classes(np.array([mode], annotation.dtype))[0][0])
        silent = mode == 0 or value == IGNORED
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


def _most_frequent(labels: Annotation) -> int:
    """The most frequent label; the least of several."""
    if labels.dtype == np.uint8:
        return int(np.bincount(labels).argmax())
    values, counts = np.unique(labels, return_counts=True)
    return int(values[counts.argmax()])
