"""From a task to stored voxels: volumes are opened and checked, and the store's missing cutouts are fetched."""

from __future__ import annotations

import logging
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path

from mtneuro_ray.config.pairs import Pair
from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.config.task_volumes import volumes_of
from mtneuro_ray.config.volumes import Sizes, sides_um, size_in
from mtneuro_ray.data.attributes import KINDS
from mtneuro_ray.data.identities import Identities
from mtneuro_ray.data.normalization import check_range
from mtneuro_ray.data.sampling import channel_boxes, check_boxes, missing, remainders
from mtneuro_ray.data.store import CutoutStore, as_stored, ingest_lock
from mtneuro_ray.data.voxel_size import before_resampling_um
from mtneuro_ray.errors import InputError
from mtneuro_ray.progress import byte_progress
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.labels import as_labels
from mtneuro_ray.volumes.resampled import resampled
from mtneuro_ray.volumes.source import VolumeSource, agree, open_volume

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Volumes:
    """The opened volumes of a task.

    Attributes:
        images: Channels of the image.
        annotation: Labels; None where the task reads none.
        mask: Volume that is 0 where the annotation is ignored; None where the task has none.
        parts: Of a task over several volumes those of each, by name; `images` are then those of the first.
    """

    images: tuple[VolumeSource, ...]
    annotation: VolumeSource | None
    mask: VolumeSource | None = None
    parts: dict[str, Volumes] = field(default_factory=dict)

    @property
    def channels(self) -> list[VolumeSource]:
        """All of them: the image's channels, annotation, mask."""
        if self.parts:
            return [channel for part in self.parts.values() for channel in part.channels]
        return [*self.images, *(volume for volume in (self.annotation, self.mask) if volume is not None)]

    @property
    def identities(self) -> Identities:
        """Their identities."""
        if self.parts:
            return Identities((), parts={name: part.identities for name, part in self.parts.items()})
        annotation, mask = (None if each is None else each.identity for each in (self.annotation, self.mask))
        return Identities(tuple(image.identity for image in self.images), annotation, mask)

    @property
    def voxel_size_um(self) -> Sizes | None:
        """Voxel size by the metadata or the address of the first volume that says it."""
        return next((each.voxel_size_um for each in self.channels if each.voxel_size_um is not None), None)

    def note(self, store: CutoutStore) -> None:
        """Keep the voxel size of the metadata in a store: for each volume its own, or that of one which lies on it.

        A size in an address is the task's: another address may name the same voxels without it.
        """
        for part in self.parts.values():
            part.note(store)
        known = self.voxel_size_um
        if self.parts or known is None or size_in(each.uri for each in self.channels) is not None:
            return
        for source in self.channels:
            size = source.voxel_size_um or known
            before = store.about(source.identity).get("voxel_size_um")
            if before is not None and not agree(before, size):
                logger.warning(
                    "%s: has voxels of %s um (z, y, x), before %s: results in micrometers so far have that",
                    source.uri,
                    list(size),
                    before,
                )
            store.note(source.identity, {"uri": source.uri, "voxel_size_um": list(size)})

    def needed(self, task: TaskSettings) -> list[tuple[VolumeSource, list[Roi]]]:
        """The boxes of each volume that a task reads."""
        if self.parts:
            of = volumes_of(task)
            return [each for name, part in self.parts.items() if of[name].cubes for each in part.needed(of[name])]
        images, annotations, masks = channel_boxes(task)
        return [
            *((image, images) for image in self.images),
            *([] if self.annotation is None else [(self.annotation, annotations)]),
            *([] if self.mask is None else [(self.mask, masks)]),
        ]


@dataclass(frozen=True, slots=True)
class Cutout:
    """One box of one volume that the store lacks."""

    source: VolumeSource
    roi: Roi

    @property
    def num_bytes(self) -> int:
        """Bytes of its voxels in the type of the volume."""
        return self.roi.num_voxels * self.source.dtype.itemsize


# Fetches cutouts into a store, here or on a cluster; calls the last argument with the bytes of each.
Fetcher = Callable[[CutoutStore, list[Cutout], Callable[[int], None]], None]


def open_volumes(task: TaskSettings, task_file: Path) -> Volumes:
    """Open the volumes of a task, and check that image, annotation and cubes fit together.

    Raises:
        InputError: a channel is malformed, a cube lies outside, the annotation does not lie on the image, or a readout
            task lacks a class.
        SourceError: a channel can't be opened.
    """
    if task.declaration.labels == "corner":  # the attributes are measured on these classes
        for kind in KINDS:
            if kind not in task.classes:
                raise InputError(
                    f"{task_file}: classes: {kind!r} is missing; accepted: in a readout task, {', '.join(KINDS)} and "
                    "others"
                )
    if task.volumes:
        return _open_parts(task, task_file)
    images = [open_volume(uri, task_file.parent) for uri in task.image_addresses]
    volumes = Volumes(
        tuple(image.channel(index) for image in images for index in range(image.num_channels)),
        as_labels(open_volume(str(task.annotation_chan), task_file.parent)) if task.reads_annotation else None,
        as_labels(open_volume(task.mask_chan, task_file.parent)) if task.mask_chan is not None else None,
    )
    check_alignment(volumes, str(task_file))
    size = before_resampling_um(task) or volumes.voxel_size_um
    annotation, mask = (
        None if each is None else at_target(each, task, size, nearest=True)
        for each in (volumes.annotation, volumes.mask)
    )
    images = [at_target(image, task, size, nearest=False) for image in volumes.images]
    volumes = Volumes(tuple(images), annotation, mask)
    for source in volumes.channels:
        check_boxes(task, source.shape, str(task_file))
    return volumes


def _open_parts(task: TaskSettings, task_file: Path) -> Volumes:
    parts = {name: open_volumes(part, task_file) for name, part in volumes_of(task).items()}
    first = next(iter(parts.values())).images
    for name, part in parts.items():
        if (len(part.images), part.images[0].dtype) != (len(first), first[0].dtype):
            raise InputError(
                f"{task_file}: volumes.{name}.image_chan: {len(part.images)} channel(s) of {part.images[0].dtype}, the "
                f"task's own {len(first)} of {first[0].dtype}; accepted: the same"
            )
    return Volumes(first, None, None, parts)


def at_target(source: VolumeSource, task: TaskSettings, known: Sizes | None, *, nearest: bool) -> VolumeSource:
    """A volume at the voxel size that the task asks for.

    Its own is the task's, else that of its metadata, else `known`, that of a volume which lies on it.

    Raises:
        InputError: nothing says its own voxel size.
    """
    if task.target_voxel_size_um is None:
        return source
    own = source.voxel_size_um or known if task.voxel_size_um is None else sides_um(task.voxel_size_um)
    if own != source.voxel_size_um:
        source = copy(source)
        source.voxel_size_um = own
    return resampled(source, task.target_voxel_size_um, nearest)


def check_alignment(volumes: Volumes, where: str) -> None:
    """Check that the image has grey values and that its channels, annotation and mask have one shape, size and origin.

    Voxel size and origin are compared where the metadata of both volumes give them.

    Raises:
        InputError: they do not fit together.
    """
    for image in volumes.images:
        if image.indexed:
            raise InputError(
                f"{where}: image_chan: {image.uri} has a palette, its values are indices; accepted: greyscale pictures "
                "(a palette is for labels)"
            )
    for other in volumes.images[1:]:
        _check_aligned(f"{where}: image_chan", other, volumes.images[0])
        if other.dtype != volumes.images[0].dtype:
            raise InputError(
                f"{where}: image_chan: {other.uri} holds {other.dtype}, the first channel {volumes.images[0].dtype}; "
                "accepted: channels of one type"
            )
    for key, labels in (("annotation_chan", volumes.annotation), ("mask_chan", volumes.mask)):
        if labels is not None:
            _check_aligned(f"{where}: {key}", labels, volumes.images[0])
            if labels.num_channels > 1:
                accepted = f"one channel, by ?channel=0 to {labels.num_channels - 1}"
                raise InputError(
                    f"{where}: {key}: {labels.uri} has {labels.num_channels} channels; accepted: {accepted}"
                )


def check_shape(where: str, other: VolumeSource, image: VolumeSource) -> None:
    """Check that a volume has the shape of an image.

    Raises:
        InputError: it has another.
    """
    if other.shape != image.shape:
        theirs, own = (" x ".join(map(str, volume.shape)) for volume in (other, image))
        raise InputError(f"{where}: {other.uri} is {theirs} voxels, the image {own}; accepted: the same (z x y x x)")


def _check_aligned(where: str, other: VolumeSource, image: VolumeSource) -> None:
    check_shape(where, other, image)
    for what, theirs_um, own_um in (
        ("a voxel size", other.voxel_size_um, image.voxel_size_um),
        ("its origin at", other.origin_um, image.origin_um),
    ):
        if theirs_um and own_um and not agree(theirs_um, own_um):
            raise InputError(
                f"{where}: {other.uri} has {what} {list(theirs_um)} um (z, y, x), the image "
                f"{list(own_um)}; accepted: the same"
            )


def identities_of(pair: Pair, voxel_bytes: dict[str, int] | None = None) -> list[str]:
    """Identities of the volumes that the task of a pair reads, image first.

    `voxel_bytes` gets the bytes of a voxel of the image over all channels, by the name of the task.

    Raises:
        InputError: the volumes do not fit the settings; see `open_volumes`.
        SourceError: a volume can't be opened.
    """
    volumes = open_volumes(pair.task, pair.task_file)
    check_range(pair.network.data, volumes.images[0].dtype, str(pair.network_file))
    if voxel_bytes is not None:
        voxel_bytes[pair.task.name] = sum(image.dtype.itemsize for image in volumes.images)
    return [channel.identity for channel in volumes.channels]


def pending(store: CutoutStore, task: TaskSettings, volumes: Volumes) -> list[Cutout]:
    """Cutouts that the store lacks, after deleting shards that are damaged."""
    cutouts: list[Cutout] = []
    for source, needed in volumes.needed(task):
        store.drop_damaged(source.identity, needed, source.dtype)
        cutouts.extend(Cutout(source, roi) for roi in missing(needed, store.boxes(source.identity)))
    return cutouts


def fetch(store: CutoutStore, cutout: Cutout) -> int:
    """Read one cutout from its source into the store; the number of bytes read is returned.

    Raises:
        SourceError: the source can't be read.
        InputError: it holds values that can't be stored.
    """
    voxels = cutout.source.read(cutout.roi)
    store.write(cutout.source.identity, cutout.roi, as_stored(voxels))
    return voxels.nbytes


def fetch_here(store: CutoutStore, cutouts: list[Cutout], advance: Callable[[int], None]) -> None:
    """Fetch cutouts one by one, in this process."""
    for cutout in cutouts:
        advance(fetch(store, cutout))


def ingest(store: CutoutStore, task: TaskSettings, task_file: Path, fetch_all: Fetcher = fetch_here) -> Volumes:
    """Open a task's volumes, log the voxels of its cubes that no image holds, and read what the store lacks.

    Raises:
        InputError: a channel is malformed, or a cube lies outside its volume.
        SourceError: a volume can't be read. Voxels read so far are kept; the next ingest reads the rest.
    """
    volumes = open_volumes(task, task_file)
    if left_out := remainders(task):
        logger.warning("%s: %d of %d cubes: %s", task.name, len(left_out), len(task.cubes), left_out[0])
    with ingest_lock(store):
        volumes.note(store)
        cutouts = pending(store, task, volumes)
        if cutouts:
            total = sum(cutout.num_bytes for cutout in cutouts)
            with byte_progress(f"ingest {task.name}: {len(cutouts)} cutouts", total) as advance:
                fetch_all(store, cutouts, advance)
    return volumes
