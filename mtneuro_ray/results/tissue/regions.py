"""Regions of a label volume, from a volume of region labels on the same voxels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from mtneuro_ray.errors import InputError
from mtneuro_ray.results.tissue.components import Ints
from mtneuro_ray.results.tissue.label_source import HeldVolume, Labels, Place
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.labels import as_labels
from mtneuro_ray.volumes.paths import address_of
from mtneuro_ray.volumes.source import VolumeSource, agree, open_volume


class Regions:
    """Index of the region of every voxel, found on the way through a volume of region labels.

    Args:
        source: Region labels in the frame of the image volume.
        names: Name of each region label; others are called by their label.
    """

    def __init__(self, source: VolumeSource, names: Mapping[int, str]) -> None:
        self._source = source
        self._names = names
        self._index: dict[int, int] = {}

    @property
    def names(self) -> list[str]:
        """Name of each region that was found, by index."""
        return [self._names.get(label, str(label)) for label in self._index]

    @property
    def rank(self) -> Ints:
        """Rank of each region by its label."""
        return np.argsort(np.argsort(list(self._index)))

    def read(self, place: Place, box: Roi) -> Ints:
        """Index of the region of each pixel of a box of a place (Z, Y, X)."""
        voxels = self._source.read(replace(place, box=box).voxels)
        middles = tuple(slice(step // 2, None, step) for step in place.step)
        labels, where = np.unique(voxels[middles], return_inverse=True)
        known = [self._index.setdefault(int(label), len(self._index)) for label in labels]
        return np.array(known, np.int64)[where.reshape(voxels[middles].shape)]


def open_regions(uri: str, names: Mapping[int, str], labels: Labels) -> Regions:
    """Open a volume of region labels for a label volume.

    Raises:
        InputError: it does not lie on the labels, or holds no labels.
        SourceError: it can't be opened.
    """
    source = as_labels(open_volume(address_of(uri)))
    for place in labels.places:
        whole = replace(place, box=Roi.at((0, 0, 0), place.source.shape)).voxels
        is_volume = not isinstance(place.source, HeldVolume)
        if not whole.within(source.shape) or (is_volume and place.source.shape != source.shape):
            theirs, own = (" x ".join(map(str, shape)) for shape in (source.shape, place.source.shape))
            raise InputError(
                f"{uri}: --regions: is {theirs} voxels, {labels.uri} {own}; accepted: regions of the same voxels (z x "
                "y x x)"
            )
    for what, theirs_um, own_um in (
        ("a voxel size of", source.voxel_size_um, labels.voxel_size_um),
        ("its origin at", source.origin_um, labels.places[0].source.origin_um),
    ):
        if theirs_um and own_um and not agree(theirs_um, own_um):
            raise InputError(
                f"{uri}: --regions: has {what} {list(theirs_um)} um (z, y, x), {labels.uri} {list(own_um)}; accepted: "
                "the same"
            )
    return Regions(source, names)
