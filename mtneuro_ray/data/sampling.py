"""What a task reads and trains on, worked out from its settings alone: no volume is opened here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mtneuro_ray.config.task import SPLITS, Cube, Split, TaskSettings
from mtneuro_ray.data.attributes import KINDS
from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Range, Roi

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


@dataclass(frozen=True, slots=True)
class Block:
    """Cubes that are one piece of tissue: of one region and one place in y and x, each adjoining the next along z.

    Attributes:
        region: Of all of them.
        roi: The box that they fill.
        cubes: Their numbers in the task.
    """

    region: str
    roi: Roi
    cubes: tuple[int, ...]


def samples(task: TaskSettings, split: Split) -> list[Sample]:
    """The images of a split, in the order of the cubes, then z, y, x. Never two regions in one image."""
    return [sample for cube in task.cubes if cube.split == split for sample in cube_samples(task, cube)]


def cube_samples(task: TaskSettings, cube: Cube) -> list[Sample]:
    """The images of one cube, in the order z, y, x."""
    return [
        Sample(cube.split, cube.region, cube.label, Roi.at((z, y, x), (task.volume_z, *task.tile_size)))
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


def channel_boxes(task: TaskSettings) -> tuple[list[Roi], list[Roi]]:
    """Boxes that are read of the image and of the annotation.

    A readout task needs the annotation of whole cubes: a cell may reach through slices that are no image of it.
    """
    images = boxes(task)
    return images, sorted({cube.roi for cube in task.cubes}) if task.declaration.labels == "corner" else images


def blocks(task: TaskSettings) -> list[Block]:
    """The task's cubes, joined where they are one piece of tissue."""
    found: list[Block] = []
    for number, cube in sorted(enumerate(task.cubes), key=lambda pair: _place(pair[1])):
        last = found[-1] if found else None
        if last and _place(task.cubes[last.cubes[0]])[:3] == _place(cube)[:3] and cube.z[0] <= last.roi.z[1]:
            whole = Roi((last.roi.z[0], max(last.roi.z[1], cube.z[1])), cube.y, cube.x)
            found[-1] = Block(cube.region, whole, (*last.cubes, number))
        else:
            found.append(Block(cube.region, cube.roi, (number,)))
    return found


def _place(cube: Cube) -> tuple[str, Range, Range, Range]:
    return (cube.region, cube.y, cube.x, cube.z)


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


def check_kinds(task: TaskSettings, where: str) -> None:
    """Check that a readout task has the classes that attributes are measured of.

    Raises:
        InputError: it has not.
    """
    for kind in KINDS:
        if kind not in task.classes:
            raise InputError(
                f"{where}: classes: {kind!r} is missing; accepted: in a readout task, {', '.join(KINDS)} and others"
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
            corners = {"corners": 4 * len(images)} if task.declaration.labels == "corner" else {}
            per_class = dict(Counter(image.region for image in images))
            splits[split] = {"images": len(images), **corners, "per_class": per_class}
    channels = [missing(needed, []) for _, needed in zip(itemsizes, channel_boxes(task), strict=False)]
    voxels = [sum(cutout.num_voxels for cutout in cutouts) for cutouts in channels]
    return {
        "task": task.name,
        "splits": splits,
        "cutouts": sum(len(cutouts) for cutouts in channels),
        "voxels": sum(voxels),
        "bytes": sum(size * count for size, count in zip(itemsizes, voxels, strict=True)),
    }
