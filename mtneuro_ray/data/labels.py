"""Labels of an annotation as classes of a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.data.store import Bytes, Stored
from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Roi

UNMAPPED = 255
"""Value of labels without a class; a task has at most 255 classes, so it is none of them."""


def class_table(label_map: Mapping[int, int]) -> Bytes:
    """Class of each of the 256 labels, UNMAPPED where there is none."""
    table = np.full(256, UNMAPPED, np.uint8)
    for label, value in label_map.items():
        table[label] = value
    return table


def in_a_byte(annotations: Stored, rois: Sequence[Roi], task: TaskSettings) -> Bytes:
    """Annotations (N, Z, Y, X) at N boxes as bytes.

    Raises:
        InputError: a label is not between 0 and 255.
    """
    if annotations.dtype == np.uint8:
        return annotations
    outside = (annotations < 0) | (annotations > 255) | (annotations != annotations.astype(np.uint8))
    if outside.any():
        where = int(np.argmax(outside.reshape(len(rois), -1).any(axis=1)))
        value = annotations[where][outside[where]][0]
        raise InputError(
            f"{task.annotation_chan}: box {rois[where]} holds the value {value}; accepted: labels 0 to 255"
        )
    return annotations.astype(np.uint8)


def classes_of(annotations: Bytes, rois: Sequence[Roi], task: TaskSettings) -> Bytes:
    """Classes of annotations (N, Z, Y, X) that lie at N boxes, by the task's label map.

    Raises:
        InputError: a label is no class of the task.
    """
    table = class_table(task.label_map or {})
    masks = table[annotations]
    unknown = masks == UNMAPPED
    if unknown.any():
        where = int(np.argmax(unknown.reshape(len(masks), -1).any(axis=1)))
        label = int(annotations[where][unknown[where]][0])
        accepted = ", ".join(str(known) for known in np.flatnonzero(table != UNMAPPED))
        raise InputError(
            f"{task.annotation_chan}: box {rois[where]}: label {label} is outside the classes of {task.name}; "
            f"accepted: {accepted}"
        )
    return masks
