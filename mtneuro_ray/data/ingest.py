"""Cutouts that a task still needs, and the reading of one into the store; where that runs is up to the caller."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from mtneuro_ray.config.pairs import Pair
from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.data.sampling import channel_boxes, check_boxes, check_kinds, missing
from mtneuro_ray.data.store import CutoutStore, as_stored
from mtneuro_ray.errors import InputError, SourceError
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.source import VolumeSource, open_volume

# Boxes of a volume that `verify` reads, and their largest shape, z, y, x: no whole number of cutouts.
VERIFIED_BOXES = 8
VERIFIED_SHAPE = (24, 200, 200)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Volumes:
    """The opened channels of a task."""

    image: VolumeSource
    annotation: VolumeSource | None

    @property
    def channels(self) -> list[VolumeSource]:
        """Those that are read."""
        return [self.image] if self.annotation is None else [self.image, self.annotation]


@dataclass(frozen=True, slots=True)
class Cutout:
    """One box of one volume that the store lacks."""

    source: VolumeSource
    roi: Roi


def open_volumes(task: TaskSettings, task_file: Path) -> Volumes:
    """Open what a task reads, and check that image, annotation and cubes fit together.

    Raises:
        InputError: a channel is malformed, a cube lies outside, the annotation does not lie on the image, or a readout
            task lacks a class.
        SourceError: a channel can't be opened.
    """
    if task.declaration.labels == "corner":
        check_kinds(task, str(task_file))
    reads_annotation = task.annotation_chan is not None and task.label_map is not None
    volumes = Volumes(
        open_volume(task.image_chan, task_file.parent),
        open_volume(str(task.annotation_chan), task_file.parent) if reads_annotation else None,
    )
    for source in volumes.channels:
        check_boxes(task, source.shape, str(task_file))
    check_alignment(volumes, str(task_file))
    return volumes


def check_alignment(volumes: Volumes, where: str) -> None:
    """Check that the image has grey values and that the annotation has its shape, voxel size and origin.

    Voxel size and origin are compared where the metadata of both volumes give them.

    Raises:
        InputError: the two do not fit together.
    """
    image, annotation = volumes.image, volumes.annotation
    if image.indexed:
        raise InputError(
            f"{where}: image_chan: {image.uri} has a palette, its values are indices; accepted: greyscale pictures "
            "(a palette is for labels)"
        )
    if annotation is None:
        return
    if annotation.shape != image.shape:
        theirs, own = (" x ".join(map(str, volume.shape)) for volume in (annotation, image))
        raise InputError(
            f"{where}: annotation_chan: {annotation.uri} is {theirs} voxels, the image {own}; accepted: the same "
            "(z x y x x)"
        )
    for what, theirs_um, own_um in (
        ("a voxel size", annotation.voxel_size_um, image.voxel_size_um),
        ("its origin at", annotation.origin_um, image.origin_um),
    ):
        if theirs_um and own_um and not np.allclose(theirs_um, own_um, rtol=1e-3, atol=1e-6):
            raise InputError(
                f"{where}: annotation_chan: {annotation.uri} has {what} {list(theirs_um)} um (z, y, x), the image "
                f"{list(own_um)}; accepted: the same"
            )


def identities_of(pair: Pair) -> list[str]:
    """Identities of the volumes that the task of a pair reads, image first."""
    return [channel.identity for channel in open_volumes(pair.task, pair.task_file).channels]


def pending(store: CutoutStore, task: TaskSettings, volumes: Volumes) -> list[Cutout]:
    """Cutouts that the store lacks, after deleting shards that are damaged."""
    cutouts: list[Cutout] = []
    for source, needed in zip(volumes.channels, channel_boxes(task), strict=False):
        store.drop_damaged(source.identity, needed)
        cutouts.extend(Cutout(source, roi) for roi in missing(needed, store.boxes(source.identity)))
    return cutouts


def fetch(store: CutoutStore, cutout: Cutout) -> int:
    """Read one cutout from its source into the store; the bytes asked of the source are returned.

    Raises:
        SourceError: the source can't be read.
        InputError: it holds what can't be stored.
    """
    voxels = cutout.source.read(cutout.roi)
    store.write(cutout.source.identity, cutout.roi, as_stored(voxels, cutout.source.uri, cutout.roi))
    return voxels.nbytes


def verify(
    store: CutoutStore, task: TaskSettings, volumes: Volumes, num_boxes: int = VERIFIED_BOXES, seed: int | None = None
) -> int:
    """Read random boxes of each volume again, in other cuts than the ingest's, and compare them with the store.

    It finds what no checksum can: wrong voxels in an answer of the right size, and a remote volume that changed.

    Args:
        store: Holds everything that the task reads.
        task: Says what was read.
        volumes: The task's.
        num_boxes: Boxes of each volume.
        seed: Of the choice of boxes; others at every call by default.

    Returns:
        Voxels that were read again.

    Raises:
        SourceError: voxels differ, or a volume can't be read.
        StoreError: voxels are not stored.
    """
    random = np.random.default_rng(seed)
    num_voxels = 0
    for source, needed in zip(volumes.channels, channel_boxes(task), strict=False):
        for _ in range(num_boxes):
            outer = needed[random.integers(len(needed))]
            most = [min(side, limit) for side, limit in zip(outer.shape, VERIFIED_SHAPE, strict=True)]
            sides = [int(random.integers((side + 1) // 2, side + 1)) for side in most]
            origin = [
                int(random.integers(start, stop - side + 1))
                for (start, stop), side in zip(outer.ranges, sides, strict=True)
            ]
            box = Roi.at(origin, sides)
            again = as_stored(source.read(box), source.uri, box)
            differing = int(np.count_nonzero(again != store.read(source.identity, [box])[0]))
            if differing:
                raise SourceError(
                    f"{source.uri}: box {box}: {differing} of {box.num_voxels} voxels differ from those in "
                    f"{store.folder}; the volume changed or answered wrongly: ingest into a new store and verify it"
                )
            num_voxels += box.num_voxels
    return num_voxels


@contextmanager
def ingest_lock(store: CutoutStore) -> Iterator[None]:
    """One ingest at a time into a store on this machine, so that no voxel is asked for twice.

    A store in a bucket has no lock: two ingests at once may both read a cutout, and write the same shard.
    """
    if not store.folder.is_local:
        yield
        return
    store.folder.local_path.mkdir(parents=True, exist_ok=True)
    lock = FileLock(store.folder.local_path / "ingest.lock")
    try:
        lock.acquire(timeout=1)
    except Timeout:
        logger.warning("%s: another ingest is at work here; waiting for it", store.folder)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
