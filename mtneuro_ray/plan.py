"""What a task reads and trains on, worked out from its settings alone: no volume is opened here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mtneuro_ray.config.task import SPLITS, Cube, Split, TaskSettings
from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Roi

# Voxels along z, y, x of one read. Deep enough that a request's latency is small beside its transfer, small
# enough that a uint64 answer stays under 16 MiB and that the cubes of one task keep a cluster busy.
CUTOUT_SHAPE = (32, 256, 256)


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a split: a tile of `volume_z` slices of one cube."""

    split: Split
    region: str
    label: int
    roi: Roi


def samples(task: TaskSettings, split: Split) -> list[Sample]:
    """The images of a split, in the order of the cubes, then z, y, x. Never two regions in one image."""
    return [
        Sample(split, cube.region, cube.label, Roi.at((z, y, x), (task.volume_z, *task.tile_size)))
        for cube in task.cubes
        if cube.split == split
        for z in _windows(task, cube)
        for y in _steps(cube.y, task.tile_size[0], task.stride[0])
        for x in _steps(cube.x, task.tile_size[1], task.stride[1])
    ]


def _steps(bounds: tuple[int, int], size: int, step: int) -> range:
    return range(bounds[0], bounds[1] - size + 1, step)


def _windows(task: TaskSettings, cube: Cube) -> list[int]:
    """First slices of a cube's images: all that fit, or `max_slices` of them at the middles of equal parts."""
    every = list(_steps(cube.z, task.volume_z, task.volume_z))
    if task.max_slices is None or task.max_slices >= len(every):
        return every
    return [every[(2 * part + 1) * len(every) // (2 * task.max_slices)] for part in range(task.max_slices)]


def boxes(task: TaskSettings) -> list[Roi]:
    """Disjoint-enough boxes that hold every image of the task: one per cube and run of adjacent slices."""
    found: list[Roi] = []
    for cube in task.cubes:
        y, x = (
            (steps[0], steps[-1] + size)
            for steps, size in (
                (_steps(cube.y, task.tile_size[0], task.stride[0]), task.tile_size[0]),
                (_steps(cube.x, task.tile_size[1], task.stride[1]), task.tile_size[1]),
            )
        )
        found.extend(Roi(z, y, x) for z in _runs(_windows(task, cube), task.volume_z))
    return sorted(set(found))


def _runs(starts: Sequence[int], depth: int) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for start in starts:
        if runs and runs[-1][1] == start:
            runs[-1] = (runs[-1][0], start + depth)
        else:
            runs.append((start, start + depth))
    return runs


def missing(needed: Iterable[Roi], present: Iterable[Roi]) -> list[Roi]:
    """Cutouts that hold every voxel of `needed` outside `present`, each voxel once."""
    covered = list(present)
    cutouts: list[Roi] = []
    for box in needed:
        pieces = [box]
        for other in covered:
            pieces = [rest for piece in pieces for rest in piece.minus(other)]
        covered.extend(pieces)
        cutouts.extend(cutout for piece in pieces for cutout in piece.split(CUTOUT_SHAPE))
    return cutouts


def check_boxes(task: TaskSettings, shape: Sequence[int], where: str) -> None:
    """Check every cube against the bounds of the volume.

    Raises:
        InputError: a cube leaves a volume of `shape` (z, y, x).
    """
    for number, cube in enumerate(task.cubes):
        for axis, (_, stop), size in zip("zyx", cube.roi.ranges, shape, strict=True):
            if stop > size:
                raise InputError(
                    f"{where}: cubes.{number}.{axis}: ends at {stop}, outside the volume; accepted: at most {size}"
                )


def check_batch(task: TaskSettings, batch_size: int, where: str) -> None:
    """Check that one batch fits into the training split.

    Raises:
        InputError: the batch is larger than the split.
    """
    images = len(samples(task, "train"))
    if batch_size > images:
        raise InputError(
            f"{where}: batch_size: {batch_size} is larger than the training split ({images} images of {task.name}); "
            f"accepted: 1 to {images}"
        )


def describe(task: TaskSettings, itemsizes: Sequence[int]) -> dict[str, Any]:
    """Splits, images, cutouts and bytes of a task, ready for JSON.

    Args:
        task: What is planned.
        itemsizes: Bytes per voxel of each channel that is read.
    """
    splits = {}
    for split in SPLITS:
        images = samples(task, split)
        if images:
            splits[split] = {"images": len(images), "per_class": dict(Counter(image.region for image in images))}
    cutouts = missing(boxes(task), [])
    voxels = sum(cutout.num_voxels for cutout in cutouts)
    return {
        "task": task.name,
        "splits": splits,
        "cutouts": len(cutouts) * len(itemsizes),
        "voxels": voxels * len(itemsizes),
        "bytes": voxels * sum(itemsizes),
    }
