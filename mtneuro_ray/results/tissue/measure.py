"""Measure a label volume block by block: shares of classes, components, and length by skeleton."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mtneuro_ray.config.loading import load_task
from mtneuro_ray.errors import InputError, nearest
from mtneuro_ray.progress import byte_progress
from mtneuro_ray.results.tissue import skeleton
from mtneuro_ray.results.tissue.components import ComponentFinder, Ints
from mtneuro_ray.results.tissue.label_source import Labels, Place, at_boxes, at_cubes, open_labels
from mtneuro_ray.results.tissue.measured import BoxCounts, Measurements
from mtneuro_ray.results.tissue.regions import Regions, open_regions
from mtneuro_ray.roi import Roi, Shape
from mtneuro_ray.volumes.source import Micrometers, Voxels

BLOCK: Shape = (64, 256, 256)
"""Sides of a block, z, y, x. Lengths depend on them a little, nothing else does."""

# Labels of no class that a note names.
_SHOWN = 8
# Classes that are counted, and those whose length is measured, by the beginnings of their names.
_COUNTED, _LONG = ("cell", "nucle", "soma"), ("vessel", "capillar")


def measure(
    prediction: str,
    *,
    classes: Mapping[str, int] | None = None,
    count: Sequence[str] | None = None,
    length: Sequence[str] | None = None,
    ignore: Sequence[int] = (),
    boxes: Sequence[Roi] = (),
    task: str | None = None,
    regions: str | None = None,
    region_names: Mapping[int, str] | None = None,
    voxel_size_um: Micrometers | None = None,
    min_voxels: int = 1,
) -> Measurements:
    """Measure the classes of a label volume: voxels and shares, components and their sizes, lengths.

    The volume is read once, in blocks of 64 x 256 x 256 voxels.

    Args:
        prediction: Address of a label volume, or a folder that `mtneuro-ray predict` has written.
        classes: Name of each class -> its label; by default those in the metadata of predictions.
        count: Classes whose components (26 neighbours) are measured; by default those called cells, nuclei or somata.
        length: Classes whose length is measured by skeleton; by default those called vessels or capillaries.
        ignore: Labels of voxels that belong to no measured volume.
        boxes: Parts to measure, in voxels of the image volume; everything by default.
        task: Task, by name or path, whose cubes are measured, each with its region; instead of `boxes`.
        regions: Address of a volume of region labels, of the same voxels.
        region_names: Name of each region label; others are called by their label.
        voxel_size_um: Sides of a voxel z, y, x; by default those in the metadata, without either results are in voxels.
        min_voxels: Components of fewer voxels are left out.

    Raises:
        InputError: an argument is wrong, or the volumes do not lie on each other.
        SourceError: a volume can't be read.

    Example:
        >>> from mtneuro_ray.roi import Roi
        >>> found = mtneuro_ray.measure(
        ...     "phantom://thalamocortical/pixel_labels?seed=0",
        ...     classes={"vessels": 1, "cells": 2, "axons": 3},
        ...     boxes=[Roi((300, 332), (900, 964), (4600, 4664))],
        ...     voxel_size_um=(1.17, 1.17, 1.17),
        ... )
        >>> found.boxes[0]["components"]["cells"]["count"]
        28
    """
    labels = _parts(open_labels(prediction, classes, voxel_size_um, ignore), boxes, task)
    counted = _chosen("--count", count, _COUNTED, labels)
    long = _chosen("--length", length, _LONG, labels)
    named = None if regions is None else open_regions(regions, region_names or {}, labels)
    found: list[BoxCounts] = []
    total = sum(place.box.num_voxels * place.source.dtype.itemsize for place in labels.places)
    with byte_progress(f"measuring {labels.uri}", total) as advance:
        for place in labels.places:
            sweep = _Pass(labels, place, counted, long, named)
            for block in place.box.split(BLOCK):
                sweep.add(block)
                advance(block.num_voxels * place.source.dtype.itemsize)
            found.append(sweep.finish())
    return Measurements(labels, tuple(found), min_voxels, () if named is None else tuple(named.names))


def _parts(labels: Labels, boxes: Sequence[Roi], task: str | None) -> Labels:
    """The labels in boxes, or in the cubes of a task."""
    if task is None:
        return at_boxes(labels, boxes)
    if boxes:
        raise InputError("--task, --box: both name boxes; accepted: one of them")
    return at_cubes(labels, load_task(task)[0])


def _chosen(option: str, named: Sequence[str] | None, beginnings: tuple[str, ...], labels: Labels) -> list[str]:
    """The classes that are named, or those whose names begin in a certain way."""
    if named is None:
        return [name for name in labels.classes if name.lower().startswith(beginnings)]
    for name in named:
        if name not in labels.classes:
            known = ", ".join(labels.classes)
            raise InputError(f"{option}: {name!r} is no class{nearest(name, labels.classes)}; accepted: {known}")
    return list(named)


class _Pass:
    """One way through the blocks of a place.

    Args:
        labels: All labels.
        place: The place.
        counted: Classes whose components are found.
        long: Classes whose length is measured.
        regions: Regions, if any.
    """

    def __init__(
        self, labels: Labels, place: Place, counted: Sequence[str], long: Sequence[str], regions: Regions | None
    ) -> None:
        self._labels, self._place, self._regions = labels, place, regions
        self._finders = {name: ComponentFinder(place.box, BLOCK) for name in counted}
        # One row per region: voxels of no class, of each class, and ignored ones.
        self._voxels = np.zeros((1, len(labels.classes) + 2), np.int64)
        self._lengths = {name: np.zeros(1) for name in long}
        self._unlisted: set[int] = set()

    def add(self, block: Roi) -> None:
        """Measure a block."""
        place, labels = self._place, self._labels
        outer = skeleton.grown(block, place.source.domain) if self._lengths else block
        voxels = place.source.read(outer)
        inner = block.slices_within(outer)
        here = None if self._regions is None else self._regions.read(place, block)
        self._count(voxels[inner], here)
        for name, finder in self._finders.items():
            finder.add(block, voxels[inner] == labels.classes[name], here)
        for name, lengths in self._lengths.items():
            places, found = skeleton.lengths(voxels == labels.classes[name], inner, labels.spacing(place))
            where = np.zeros(len(places), np.int64) if here is None else here[tuple(places.T)]
            lengths += np.bincount(where, weights=found, minlength=len(lengths))

    def _count(self, voxels: Voxels, regions: Ints | None) -> None:
        kinds = np.zeros(voxels.shape, np.int64)
        for number, label in enumerate(self._labels.classes.values(), 1):
            kinds[voxels == label] = number
        width = self._voxels.shape[1]
        for label in self._labels.ignored:
            kinds[voxels == label] = width - 1
        unlisted = voxels[kinds == 0]
        if len(self._unlisted) < _SHOWN and unlisted.size:
            self._unlisted.update(np.unique(unlisted)[:_SHOWN].tolist())
        if regions is not None:
            self._grow(len(self._regions.names) if self._regions else 1)
            kinds += regions * width
        counts = np.bincount(kinds.ravel(), minlength=self._voxels.size)
        self._voxels += counts.reshape(self._voxels.shape)

    def _grow(self, rows: int) -> None:
        """Make room for regions that were not met before."""
        more = rows - len(self._voxels)
        if more > 0:
            self._voxels = np.pad(self._voxels, ((0, more), (0, 0)))
            self._lengths = {name: np.pad(found, (0, more)) for name, found in self._lengths.items()}

    def finish(self) -> BoxCounts:
        """What was found, after all blocks."""
        rank = None if self._regions is None else self._regions.rank
        components = {name: finder.finish(rank) for name, finder in self._finders.items()}
        return BoxCounts(self._place, self._voxels, components, self._lengths, tuple(sorted(self._unlisted)[:_SHOWN]))
