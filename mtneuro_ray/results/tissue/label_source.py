"""Label volumes to measure: the predictions of a run, or any volume, with names of classes, sizes and boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.config.volumes import sides_um
from mtneuro_ray.data import predictions
from mtneuro_ray.data.mosaic import EMPTY, Mosaic
from mtneuro_ray.data.volume_target import classes_at
from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Roi, Shape
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.volumes.labels import as_labels
from mtneuro_ray.volumes.paths import address_of
from mtneuro_ray.volumes.source import Micrometers, VolumeSource, Voxels, open_volume

_BUCKETS = ("s3://", "gs://")


@dataclass(frozen=True, slots=True)
class Place:
    """A box of a label volume that is measured.

    Attributes:
        source: The labels.
        box: Part of them, in pixels of the source.
        offset: Voxel of the image volume at the lowest corner of the source, z, y, x.
        step: Voxels of the image volume from one pixel of the source to the next, z, y, x.
        region: Name of the region that it belongs to, or None.
    """

    source: VolumeSource
    box: Roi
    offset: Shape = (0, 0, 0)
    step: Shape = (1, 1, 1)
    region: str | None = None

    @property
    def name(self) -> str:
        """The box in voxels of the image volume, as `--box` takes it."""
        return ",".join(f"{lo}:{hi}" for lo, hi in self.voxels.ranges)

    @property
    def voxels(self) -> Roi:
        """The box in voxels of the image volume."""
        ranges = zip(self.box.ranges, self.offset, self.step, strict=True)
        return Roi(*((base + lo * step, base + hi * step) for (lo, hi), base, step in ranges))


@dataclass(frozen=True, slots=True)
class Labels:
    """What is measured.

    Attributes:
        uri: Address of the labels.
        identity: Name of the data.
        classes: Name of each class -> its label.
        ignored: Labels of voxels that belong to no measured volume.
        voxel_size_um: Sides of a voxel of the image volume in micrometers, z, y, x; None where nothing says.
        origin_um: Position of voxel (0, 0, 0) in micrometers.
        places: Boxes, in the order of the output.
    """

    uri: str
    identity: str
    classes: Mapping[str, int]
    ignored: frozenset[int]
    voxel_size_um: Micrometers | None
    origin_um: Micrometers
    places: tuple[Place, ...]

    def spacing(self, place: Place) -> Micrometers:
        """Sides of a pixel of a place: in micrometers where the voxel size is known, else in voxels."""
        z, y, x = (s * n for s, n in zip(self.voxel_size_um or (1.0, 1.0, 1.0), place.step, strict=True))
        return (z, y, x)

    def within(self, box: Roi) -> Labels:
        """The part of the labels in one box of the image volume.

        Raises:
            InputError: the box leaves the volume, or the cube that it lies in.
        """
        for place in self.places:
            ranges = []
            for (lo, hi), base, step in zip(box.ranges, place.voxels.origin, place.step, strict=True):
                ranges.append((-((base - lo) // step), (hi - base) // step))
            if all(0 <= lo < hi <= size for (lo, hi), size in zip(ranges, place.box.shape, strict=True)):
                part = Roi.at([o + lo for o, (lo, _) in zip(place.box.origin, ranges, strict=True)], _sides(ranges))
                return replace(self, places=(replace(place, box=part),))
        held = " | ".join(place.name for place in self.places)
        shown = ",".join(f"{lo}:{hi}" for lo, hi in box.ranges)
        raise InputError(f"{self.uri}: box {shown} leaves it; accepted: a box within {held} (z, y, x)")

    def overlap(self) -> bool:
        """Whether two boxes share voxels."""
        boxes = [place.voxels for place in self.places]
        return any(a.intersection(b) for a, b in combinations(boxes, 2))


def _sides(ranges: Sequence[tuple[int, int]]) -> list[int]:
    return [hi - lo for lo, hi in ranges]


class HeldVolume(VolumeSource):
    """The predicted classes of one cube."""

    def __init__(self, uri: str, cube: Mosaic) -> None:
        self.uri = self.identity = f"{uri}#{cube.region}"
        depth, height, width = cube.pixels.shape
        self.shape, self.dtype = (depth, height, width), cube.pixels.dtype
        self._pixels = cube.pixels

    def _read(self, roi: Roi) -> Voxels:
        return self._pixels[roi.slices]


def open_labels(
    uri: str,
    classes: Mapping[str, int] | None = None,
    voxel_size_um: Micrometers | None = None,
    ignored: Sequence[int] = (),
) -> Labels:
    """Open a label volume, or the predictions of a run.

    Args:
        uri: Address of a volume, or a folder that `mtneuro-ray predict` has written.
        classes: Name of each class -> its label; by default those in the metadata of predictions.
        voxel_size_um: Sides of a voxel, z, y, x; by default those of the metadata.
        ignored: Labels of voxels that are not measured, besides those in the metadata.

    Raises:
        InputError: there is nothing, its values are no labels, or it names no classes and `classes` does not.
        SourceError: the volume can't be opened.
    """
    folder = _predictions_at(uri)
    found = _of_run(folder) if folder is not None else _of_volume(uri)
    found = replace(
        found,
        classes=dict(classes or found.classes),
        voxel_size_um=voxel_size_um or found.voxel_size_um,
        ignored=found.ignored | frozenset(ignored),
    )
    if not found.classes:
        raise InputError(f"{uri}: --classes: is missing, nothing in the volume names them; accepted: NAME=LABEL,...")
    labels = list(found.classes.values())
    for name, label in found.classes.items():
        if labels.count(label) > 1 or label in found.ignored:
            raise InputError(
                f"{uri}: --classes: label {label} of {name!r} has another class or is ignored; accepted: a label of "
                "its own"
            )
    return found


def _predictions_at(uri: str) -> Folder | None:
    """The folder of a run's predictions, or None where `uri` names a volume.

    Raises:
        InputError: it is no address of a volume, and there are no predictions either.
    """
    plain = uri.removeprefix("zarr://")
    if ":" in plain and not uri.startswith(_BUCKETS):
        return None
    folder = Folder(plain)
    if predictions.are_at(folder):
        return folder
    if plain == uri and Path(address_of(uri).removeprefix("file:")).is_dir():
        raise InputError(
            f"{uri}: holds no predictions; accepted: what `mtneuro-ray predict` has written, or the address of a "
            "volume, such as zarr://FOLDER or file:labels.tif"
        )
    return None


def _of_run(folder: Folder) -> Labels:
    found = predictions.read(folder)
    places = []
    for cube in found.cubes:
        source = HeldVolume(str(folder), cube)
        places.append(Place(source, Roi.at((0, 0, 0), source.shape), cube.offset, cube.step, cube.region))
    size = found.voxel_size_um
    return Labels(
        uri=str(folder),
        identity=found.run_id,
        classes={name: number for number, name in enumerate(found.classes)},
        ignored=frozenset({EMPTY}),
        voxel_size_um=None if size is None else sides_um(size),
        origin_um=(0.0, 0.0, 0.0),
        places=tuple(places),
    )


def _of_volume(uri: str) -> Labels:
    uri = address_of(uri)
    source = as_labels(open_volume(uri))
    return Labels(
        uri=source.uri,
        identity=source.identity,
        classes={name: number for number, name in enumerate(classes_at(uri))},
        ignored=frozenset(),
        voxel_size_um=source.voxel_size_um,
        origin_um=source.origin_um or (0.0, 0.0, 0.0),
        places=(Place(source, source.domain),),
    )


def at_boxes(labels: Labels, boxes: Sequence[Roi]) -> Labels:
    """The labels in boxes of the image volume, in their order; all of them where there are no boxes.

    Raises:
        InputError: a box leaves the volume.
    """
    if not boxes:
        return labels
    return replace(labels, places=tuple(labels.within(box).places[0] for box in boxes))


def at_cubes(labels: Labels, task: TaskSettings) -> Labels:
    """The labels in the cubes of a task, each with its region.

    Raises:
        InputError: a cube leaves the volume.
    """
    places = [replace(labels.within(cube.roi).places[0], region=cube.region) for cube in task.cubes]
    return replace(labels, places=tuple(places))
