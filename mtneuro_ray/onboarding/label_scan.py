"""Labels of a volume, where they lie, and what of it is annotated at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from mtneuro_ray.errors import InputError
from mtneuro_ray.onboarding.sampled_boxes import BOX_SHAPE, read_boxes, spread_boxes
from mtneuro_ray.roi import Range, Roi
from mtneuro_ray.volumes.source import VolumeSource

SCANNED_VOXELS = 2**25
# More labels than this are taken for the numbers of instances.
MOST_CLASSES = 20
# Labels that mean "not annotated" beside those; and ids that are told apart at all.
_MOST_VOID, _MOST_IDS = 8, 2**20
# Extent in y and x of the columns that are read along z, where not every voxel is.
_COLUMN, _COLUMNS = 48, 2**22
# Share of slices without a label, and number of groups of slices with labels, from which slices count as annotated
# one by one; and the least share of a usual slice's labels at the ends of these groups. An object that ends does so
# gradually, annotation does not.
_EMPTY, _GROUPS, _ABRUPT = 0.3, 3, 0.5

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LabelScan:
    """Labels of the voxels that were read.

    Attributes:
        uri: Canonical address of the volume.
        domain: The box of the volume that has voxels.
        labels: Labels in ascending order. For instance ids 0 and 1, where 1 stands for every id.
        void: Labels that mean "not annotated", such as -1 or 255 beside others; they are not in `labels`.
        num_instances: Number of ids where labels are instance ids, else 0.
        counts: For z, y, x: voxels of each label in each slice across the axis, from the start of `domain`,
            (slices, labels).
        read: For z, y, x: voxels that were read of each slice, (slices,).
        is_whole: Every voxel was read.
        is_masked: Voxels outside of a mask count as not read.
        filled: (Z, Y, X) voxels with another label than 0, from the start of `domain`; None with a mask, or where not
            every voxel was read.
    """

    uri: str
    domain: Roi
    labels: tuple[int, ...]
    void: tuple[int, ...]
    num_instances: int
    counts: tuple[Counts, Counts, Counts]
    read: tuple[Counts, Counts, Counts]
    is_whole: bool
    is_masked: bool = False
    filled: npt.NDArray[np.bool_] | None = None

    @property
    def totals(self) -> dict[int, int]:
        """Label -> voxels that were read."""
        return dict(zip(self.labels, map(int, self.counts[0].sum(axis=0)), strict=True))

    @property
    def has_background(self) -> bool:
        """Whether 0 is one of several labels."""
        return len(self.labels) > 1 and self.labels[0] == 0

    def labelled(self, axis: int) -> Counts:
        """Voxels with another label than 0 in each slice across an axis."""
        labelled: Counts = self.counts[axis][:, 1 if self.has_background else 0 :].sum(axis=1)
        return labelled

    @property
    def annotated_box(self) -> Roi:
        """The smallest box with all that is annotated; where not all was read, as wide as it may be.

        With a mask that is its inside, without one all labels but 0, and everything where no label is 0.
        """
        return Roi(*(self._extent(axis) for axis in range(3)))

    def _extent(self, axis: int) -> Range:
        start, stop = self.domain.ranges[axis]
        filled = np.flatnonzero(self.read[axis] if self.is_whole and self.is_masked else self.labelled(axis))
        if not (self.has_background or self.is_masked) or not len(filled):
            return start, stop
        first, last = int(filled[0]), int(filled[-1])
        if not self.is_whole:
            # The labels may go on up to the next slice that was read and had none.
            empty = np.flatnonzero((self.read[axis] > 0) & (self.labelled(axis) == 0))
            first = max((int(n) + 1 for n in empty if n < first), default=0)
            last = min((int(n) - 1 for n in empty if n > last), default=stop - start - 1)
        return start + first, start + last + 1

    @property
    def annotated_slices(self) -> tuple[int, ...] | None:
        """The slices across z that alone are annotated, where it seems so; None for dense annotation."""
        if not self.has_background:
            return None
        labelled, read = self.labelled(0), self.read[0]
        filled = np.flatnonzero(labelled)
        if len(filled) < _GROUPS:
            return None
        within = slice(int(filled[0]), int(filled[-1]) + 1)
        known = read[within] > 0
        empty = known & (labelled[within] == 0)
        breaks = [n for n, (a, b) in enumerate(pairwise(filled)) if b - a > 1 and empty[a + 1 - filled[0]]]
        if empty.sum() < _EMPTY * known.sum() or len(breaks) + 1 < _GROUPS:
            return None
        shares = labelled[filled] / read[filled]
        ends = [*(shares[n] for n in breaks), *(shares[n + 1] for n in breaks)]
        if np.median(ends) < _ABRUPT * np.median(shares):
            return None
        return tuple(int(n) + self.domain.z[0] for n in filled)


def scan_labels(
    source: VolumeSource,
    mask: VolumeSource | None = None,
    most_voxels: int = SCANNED_VOXELS,
    num_classes: int = 0,
    seed: int = 0,
) -> LabelScan:
    """Read labels, all of them up to `most_voxels`, else boxes in every part of the volume and columns along z.

    Args:
        source: The labels.
        mask: A volume of the same shape that is 0 where the labels count for nothing.
        most_voxels: Upper bound of the voxels, but for the columns.
        num_classes: Number of classes that are asked for: so many labels are no instance ids, unless it is 2 and there
            are more labels than that. By default more than `MOST_CLASSES` labels are instance ids.
        seed: Seed of the places that are read.

    Raises:
        InputError: the voxels are no whole numbers, have one value, or are all numbered instances.
        SourceError: the volume can't be read.
    """
    boxes = spread_boxes(source.domain, most_voxels, BOX_SHAPE, seed)
    is_whole = source.domain.num_voxels <= most_voxels
    if not is_whole:
        boxes += _columns(source.domain, seed)
    most_classes = max(MOST_CLASSES, num_classes)
    most_labels = most_classes + _MOST_VOID
    seen: set[int] = set()
    parts = []
    domain, tops = source.domain, _tops(source.dtype)
    # 0: no label, 1: a label, above: one that may come to mean "not annotated".
    kinds = np.zeros(domain.shape, np.uint8) if is_whole and mask is None else None
    for box, voxels in read_boxes(source, boxes, f"scanning the labels of {source.uri}"):
        kept = np.ones(box.shape, np.bool_) if mask is None else mask.read(box) != 0
        values = np.unique(voxels[kept])
        if len(seen) < _MOST_IDS:
            seen.update(values.tolist())
        few = len(values) <= most_labels
        counted = values.tolist() if few else [0, 1]
        masks = [(voxels == value if few else (voxels != 0) == bool(value)) & kept for value in counted]
        parts.append(_Part(box, counted, _slice_counts(masks, box), _over_slices(kept)))
        if kinds is not None:
            here = kinds[box.slices_within(domain)]
            here[voxels > 0] = 1
            for number, top in enumerate(tops):
                here[voxels == top] = 2 + number
    if len(seen) < 2:
        found = f"is {seen.pop()}" if seen else f"is outside of the mask {mask.uri if mask else ''}"
        raise InputError(f"{source.uri}: every voxel that was read {found}; accepted: two labels or more")
    void = _void(seen, source.dtype)
    labels = seen - set(void)
    are_instances = len(labels) > most_classes or (num_classes == 2 < len(labels) and 0 in labels)
    if are_instances and 0 not in labels:
        raise InputError(
            f"{source.uri}: {len(labels)} labels and no 0: taken for instances, they leave no background; accepted: "
            f"instance ids with 0 between them, or --classes with {len(labels)} names"
        )
    filled = None if kinds is None else (kinds > 0) & ~np.isin(kinds, [2 + tops.index(top) for top in void if top > 0])
    return replace(_gathered(source, is_whole, seen, parts, are_instances), is_masked=mask is not None, filled=filled)


@dataclass(frozen=True, slots=True)
class _Part:
    """Voxels in the slices of one box along each axis: of each value (slices, values), and of all (slices,).

    Where there are many values, they are counted as 0 and 1.
    """

    box: Roi
    values: list[int]
    counts: list[Counts]
    read: list[Counts]


def _slice_counts(masks: list[npt.NDArray[np.bool_]], box: Roi) -> list[Counts]:
    each = [_over_slices(mask) for mask in masks] or [[np.zeros(side, np.int64) for side in box.shape]]
    return [np.stack([counts[axis] for counts in each], axis=1) for axis in range(3)]


def _over_slices(mask: npt.NDArray[np.bool_]) -> list[Counts]:
    return [mask.sum(axis=axes) for axes in ((1, 2), (0, 2), (0, 1))]


def _gathered(
    source: VolumeSource, is_whole: bool, seen: set[int], parts: Sequence[_Part], are_instances: bool
) -> LabelScan:
    void = _void(seen, source.dtype)
    labels = [0, 1] if are_instances else sorted(seen - set(void))
    domain = source.domain
    counts = [np.zeros((extent, len(labels)), np.int64) for extent in domain.shape]
    read = [np.zeros(extent, np.int64) for extent in domain.shape]
    for part in parts:
        for axis, (start, stop) in enumerate(part.box.ranges):
            here = slice(start - domain.origin[axis], stop - domain.origin[axis])
            read[axis][here] += part.read[axis]
            for value, column in zip(part.values, part.counts[axis].T, strict=False):
                if value not in void:
                    counts[axis][here, int(value != 0) if are_instances else labels.index(value)] += column
    return LabelScan(
        uri=source.uri,
        domain=domain,
        labels=tuple(labels),
        void=void,
        num_instances=len(seen) - len(void) - (0 in seen) if are_instances else 0,
        counts=(counts[0], counts[1], counts[2]),
        read=(read[0], read[1], read[2]),
        is_whole=is_whole,
    )


def _void(seen: set[int], dtype: np.dtype[Any]) -> tuple[int, ...]:
    """Negative labels, and the greatest of an integer type beside at least two labels that are much smaller."""
    void = {label for label in seen if label < 0}
    rest = sorted(seen - void)
    if len(rest) > 2 and rest[-1] in _tops(dtype) and rest[-2] < rest[-1] // 2:
        void.add(rest[-1])
    return tuple(sorted(void))


def _tops(dtype: np.dtype[Any]) -> list[int]:
    """Greatest values of integer types that a type holds; none for booleans."""
    if dtype.kind == "b":
        return []
    greatest = int(np.iinfo(dtype).max)
    return sorted({greatest, *(2**bits - 1 for bits in (8, 16, 31, 32, 63, 64) if 2**bits - 1 < greatest)})


def _columns(domain: Roi, seed: int) -> list[Roi]:
    """Boxes that together hold some places in y and x at every z."""
    depth, height, width = domain.shape
    shape = (depth, min(height, _COLUMN), min(width, _COLUMN))
    columns = spread_boxes(domain, max(_COLUMNS, math.prod(shape)), shape, seed)
    return [piece for column in columns for piece in column.split((_COLUMN, *shape[1:]))]
