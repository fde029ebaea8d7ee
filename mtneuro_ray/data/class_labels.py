"""Labels of an annotation as classes of a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mtneuro_ray.config.label_keys import LabelRange, annotated_parts
from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.data.store import Bytes
from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Roi

IGNORED = 255
"""Class of voxels that take part in no loss and no metric; a task has at most 255 classes, so it is none of them."""

# Labels that an error lists.
_LISTED = 20
Annotation = npt.NDArray[np.integer]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class LabelMap:
    """Class of every label, of any integer type.

    Attributes:
        ranges: Disjoint ranges of labels in ascending order, both ends included, each with its class or IGNORED.
        unlisted: Class of all other labels, or IGNORED; None where they have none and are refused.
    """

    ranges: tuple[tuple[LabelRange, int], ...]
    unlisted: int | None

    @classmethod
    def of(cls, task: TaskSettings) -> LabelMap:
        """The map of a task."""
        # An ignored label is ignored, even if it would be a class by default.
        ignored = dict.fromkeys(task.ignored_ranges, IGNORED)
        listed = {
            own: value
            for own, value in (task.label_map or {}).items()
            if not any(first <= own[1] and own[0] <= last for first, last in ignored)
        }
        unlisted = IGNORED if task.unlisted_labels == "ignore" else task.unlisted_class
        return cls(tuple(sorted({**listed, **ignored}.items())), unlisted)

    @property
    def accepted(self) -> str:
        """The listed labels, for errors."""
        names = [str(first) if first == last else f"{first}-{last}" for (first, last), _ in self.ranges]
        return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")

    def classes(self, labels: Annotation) -> tuple[Bytes, Flags | None]:
        """Classes of labels, IGNORED where there is none; and where labels are refused, None where they are nowhere."""
        labels = labels.view(np.uint8) if labels.dtype == np.bool_ else labels
        if labels.dtype == np.uint8:
            # A table of the 256 classes is faster than a search for each voxel.
            table, unlisted = self._search(np.arange(256, dtype=np.uint8))
            found, unlisted = table[labels], unlisted[labels]
        else:
            found, unlisted = self._search(labels)
        return found, unlisted if self.unlisted is None and unlisted.any() else None

    def _search(self, labels: Annotation) -> tuple[Bytes, Flags]:
        """Class of each label, and where it is not listed."""
        bounds = np.iinfo(labels.dtype)
        known = [own for own in self.ranges if own[0][0] <= bounds.max and own[0][1] >= bounds.min]
        other = IGNORED if self.unlisted is None else self.unlisted
        if not known:
            return np.full(labels.shape, other, np.uint8), np.ones(labels.shape, np.bool_)
        first = np.array([max(start, bounds.min) for (start, _), _ in known], labels.dtype)
        last = np.array([min(stop, bounds.max) for (_, stop), _ in known], labels.dtype)
        values = np.array([value for _, value in known], np.uint8)
        place = np.searchsorted(first, labels, side="right") - 1
        listed = (place >= 0) & (labels <= last[place])
        return np.where(listed, values[place], np.uint8(other)), ~listed


def annotated_at(rois: Sequence[Roi], task: TaskSettings, mask: Sequence[Annotation] | None) -> Flags | None:
    """Voxels of boxes of one shape that are annotated (N, Z, Y, X), by the task's boxes and by its mask volume.

    Args:
        rois: N boxes.
        task: The task.
        mask: Voxels of the mask volume in each box, 0 where nothing is annotated; None without such a volume.

    Returns:
        None where all are.
    """
    if task.annotated is None and mask is None:
        return None
    flags = np.full((len(rois), *rois[0].shape), task.annotated is None)
    for own, roi in zip(flags, rois, strict=True):
        for part in annotated_parts(task.annotated or (), roi):
            own[part.slices_within(roi)] = True
    if mask is not None:
        for own, values in zip(flags, mask, strict=True):
            own &= values != 0
    return flags


def classes_of(
    annotations: Sequence[Annotation] | Annotation, rois: Sequence[Roi], task: TaskSettings, flags: Flags | None = None
) -> Bytes:
    """Classes of annotations (Z, Y, X) at N boxes, (N, Z, Y, X), by the task's label map.

    Args:
        annotations: Labels in each box, all of one shape and integer type.
        rois: The boxes.
        task: The task.
        flags: Voxels that are annotated (N, Z, Y, X), None where all are: others are IGNORED, whatever their label.

    Raises:
        InputError: a label is no class of the task.
    """
    label_map = LabelMap.of(task)
    masks = np.empty((len(rois), *rois[0].shape), np.uint8)
    for number, (labels, roi) in enumerate(zip(annotations, rois, strict=True)):
        own, refused = label_map.classes(labels)
        if flags is not None:
            own[~flags[number]] = IGNORED
            refused = None if refused is None else refused & flags[number]
        if refused is not None and refused.any():
            remedy = "" if task.declaration.labels == "corner" else ", others by unlisted_labels or ignore_labels"
            raise InputError(
                f"{task.annotation_chan}: box {roi}: label {labels[refused][0]} is outside the classes of {task.name}; "
                f"accepted: {label_map.accepted}{remedy}"
            )
        masks[number] = own
    return masks
