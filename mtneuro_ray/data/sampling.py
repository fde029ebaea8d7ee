"""Images and boxes of a task, from its settings alone; no volume is opened here."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mtneuro_ray.config.label_keys import annotated_in
from mtneuro_ray.config.task import SPLITS, Cube, Split, TaskSettings
from mtneuro_ray.config.task_volumes import OWN
from mtneuro_ray.data.windows import WindowGrid
from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Range, Roi

# Voxels along z, y, x of one read. Deep enough that a request's latency is small beside its transfer, small
# enough that a uint64 answer stays under 16 MiB and that the cubes of one task keep a cluster busy.
CUTOUT_SHAPE = (32, 256, 256)


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a split: a tile of `volume_z` slices of one cube. `label` is its class where the cube has one."""

    split: Split
    region: str
    label: int | None
    roi: Roi


@dataclass(frozen=True, slots=True)
class Block:
    """Cubes of one region and one place in y and x, each adjoining the next along z: one piece of tissue.

    Attributes:
        region: Region of all cubes.
        roi: The box that they fill.
        cubes: Their numbers in the task.
    """

    region: str
    roi: Roi
    cubes: tuple[int, ...]


def samples(task: TaskSettings, split: Split) -> list[Sample]:
    """The images of a split, in the order of the cubes, then z, y, x. An image lies in one region."""
    return [sample for _, sample in numbered_samples(task, split)]


def numbered_samples(task: TaskSettings, split: Split) -> list[tuple[int, Sample]]:
    """The images of a split (`samples`), each with the number of its cube in the task."""
    cubes = [(number, cube) for number, cube in enumerate(task.cubes) if cube.split == split]
    return [(number, sample) for number, cube in cubes for sample in cube_samples(task, cube)]


def owners(task: TaskSettings, split: Split) -> npt.NDArray[np.str_]:
    """Name of the volume of each of the images of a split, (N,)."""
    cubes = [cube for cube in task.cubes if cube.split == split]
    return np.repeat(
        np.array([cube.volume or OWN for cube in cubes], str), [_count_images(task, cube) for cube in cubes]
    )


def cube_samples(task: TaskSettings, cube: Cube) -> list[Sample]:
    """The images of one cube that have an annotated voxel by the task's boxes, in the order z, y, x."""
    rows, columns = task.tile_starts(cube)
    rois = (Roi.at((z, y, x), task.image_size) for z in _windows(task, cube) for y in rows for x in columns)
    return [Sample(cube.split, cube.region, cube.label, roi) for roi in rois if _is_annotated(task, cube, roi)]


def cell(task: TaskSettings, cube: Cube, roi: Roi) -> Roi:
    """The voxels of an image of a cube that no earlier one holds, where images cover the cube (`sampling`: patches).

    Such images begin at whole numbers of their size, but for the last one along an axis, which is moved inwards.
    """
    z, y, x = (
        (base - (base - start) // size * size, stop)
        for base, (start, stop), size in zip(cube.roi.origin, roi.ranges, task.image_size, strict=True)
    )
    return Roi(z, y, x)


def _is_annotated(task: TaskSettings, cube: Cube, roi: Roi) -> bool:
    boxes = annotated_in(task.annotated, cube.volume)
    return boxes is None or any(box.within(roi) for box in boxes)


def count_samples(task: TaskSettings, split: Split) -> int:
    """Images of a split, or patches of an epoch."""
    if split == "train" and task.sampling.patches_per_epoch is not None:
        return task.sampling.patches_per_epoch
    return sum(_count_images(task, cube) for cube in task.cubes if cube.split == split)


def count_predicted(task: TaskSettings, split: Split) -> int:
    """Images that are predicted to evaluate a split: its images, or the overlapping windows of its cubes."""
    if not task.sampling.is_patches:
        return count_samples(task, split)
    total = 0.0
    for cube in task.cubes:
        if cube.split == split:
            grid = WindowGrid.of(cube.roi.shape, task.image_size)
            total += math.prod(map(grid.count, range(3))) * len(_windows(task, cube)) / len(task.windows(cube))
    return math.ceil(total)


def _count_images(task: TaskSettings, cube: Cube) -> int:
    # Listed only where boxes decide: there may be millions.
    return task.count_images(cube) if task.annotated is None else len(cube_samples(task, cube))


def _windows(task: TaskSettings, cube: Cube) -> Sequence[int]:
    """First slices of a cube's images: all that fit, or `max_slices` of them at the middles of equal parts.

    Slices outside of the annotated boxes do not count.
    """
    every: Sequence[int] = task.windows(cube)
    if task.annotated is not None:
        every = [z for z in every if _is_annotated(task, cube, Roi((z, z + task.volume_z), cube.y, cube.x))]
    is_drawn_from = task.sampling.is_patches and cube.split == "train"
    if task.max_slices is None or task.max_slices >= len(every) or is_drawn_from:
        return every
    return [every[(2 * part + 1) * len(every) // (2 * task.max_slices)] for part in range(task.max_slices)]


def boxes(task: TaskSettings) -> list[Roi]:
    """Boxes that hold every image of the task: one per cube and run of adjacent slices, sorted."""
    found: list[Roi] = []
    for cube in task.cubes:
        y, x = (
            (steps[0], steps[-1] + size) for steps, size in zip(task.tile_starts(cube), task.tile_size, strict=True)
        )
        found.extend(Roi(z, y, x) for z in _runs(_windows(task, cube), task.volume_z))
    return sorted(set(found))


def remainders(task: TaskSettings) -> list[str]:
    """One line for each cube whose sides are no whole number of images: voxels at its end are never used."""
    lines = []
    for number, cube in enumerate(task.cubes):
        rows, columns = task.tile_starts(cube)
        windows = task.windows(cube)
        starts, sizes = (windows, rows, columns), task.image_size
        used = tuple(steps[-1] - steps[0] + size for steps, size in zip(starts, sizes, strict=True))
        if used != cube.roi.shape:
            left_out = 1 - math.prod(used) / cube.roi.num_voxels
            sides = ", ".join(
                f"{axis} {size - end} of {size}"
                for axis, size, end in zip("zyx", cube.roi.shape, used, strict=True)
                if size > end
            )
            lines.append(
                f"cubes.{number} ({cube.region}, {cube.split}): no image holds {100 * left_out:.3g} % of its voxels: "
                f"{sides} remain beyond the last image"
            )
    return lines


def channel_boxes(task: TaskSettings) -> tuple[list[Roi], list[Roi], list[Roi]]:
    """Boxes to read of the image, of the annotation, and of its mask.

    A readout task needs the annotation of whole cubes: a cell may extend beyond the images of a cube.
    """
    cubes = sorted({cube.roi for cube in task.cubes})
    # A patch may lie anywhere in a cube.
    images = cubes if task.sampling.is_patches else boxes(task)
    return images, cubes if task.declaration.labels == "corner" else images, images


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
    if isinstance(starts, range):  # one after the other, however many
        return [(starts[0], starts[-1] + depth)]
    runs: list[tuple[int, int]] = []
    for start in starts:
        if runs and runs[-1][1] >= start:
            runs[-1] = (runs[-1][0], start + depth)
        else:
            runs.append((start, start + depth))
    return runs


def missing(needed: Iterable[Roi], present: Iterable[Roi]) -> list[Roi]:
    """Cutouts that hold every voxel of `needed` outside `present`, each voxel once."""
    return [cutout for piece in _pieces(needed, present) for cutout in piece.split(CUTOUT_SHAPE)]


def _pieces(needed: Iterable[Roi], present: Iterable[Roi]) -> list[Roi]:
    """Disjoint boxes that hold every voxel of `needed` outside `present`."""
    covered = list(present)
    first = len(covered)
    bounds = np.array([box.ranges for box in covered], np.int64).reshape(-1, 3, 2)
    for box in needed:
        low, high = np.transpose(box.ranges)
        used = bounds[: len(covered)]
        meets = ((used[..., 0] < high) & (used[..., 1] > low)).all(axis=1)
        pieces = box.outside(covered[number] for number in np.flatnonzero(meets))
        covered += pieces
        if len(covered) > len(bounds):  # doubled, as a copy for each box would cost the square of their number
            bounds = np.resize(bounds, (2 * len(covered), 3, 2))
        bounds[len(covered) - len(pieces) : len(covered)] = np.array([piece.ranges for piece in pieces]).reshape(
            -1, 3, 2
        )
    return covered[first:]


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
    images = count_samples(task, "train")
    if batch_size > images:
        raise InputError(
            f"{where}: batch_size: {batch_size} is larger than the training split ({images} images of {task.name}); "
            f"accepted: 1 to {images}"
        )


def describe(task: TaskSettings, itemsizes: Sequence[int]) -> dict[str, Any]:
    """Splits, images, cutouts and bytes of a task, ready for JSON.

    Args:
        task: The task.
        itemsizes: Bytes per voxel of each channel that is read.
    """
    splits = {}
    for split in SPLITS:
        per_class: Counter[str] = Counter()
        for cube in task.cubes:
            if cube.split == split:
                per_class[cube.region] += _count_images(task, cube)
        if split == "train" and task.sampling.patches_per_epoch is not None:
            per_class = Counter(patches=task.sampling.patches_per_epoch)
        if images := per_class.total():
            corners = {"corners": 4 * images} if task.declaration.labels == "corner" else {}
            splits[split] = {"images": images, **corners, "per_class": dict(per_class)}
    channels = [_pieces(needed, []) for _, needed in zip(itemsizes, channel_boxes(task), strict=False)]
    voxels = [sum(piece.num_voxels for piece in pieces) for pieces in channels]
    return {
        "task": task.name,
        "splits": splits,
        "cutouts": sum(
            math.prod(-(-side // step) for side, step in zip(piece.shape, CUTOUT_SHAPE, strict=True))
            for piece in itertools.chain(*channels)
        ),
        "voxels": sum(voxels),
        "bytes": sum(size * count for size, count in zip(itemsizes, voxels, strict=True)),
        "remainders": remainders(task),
    }
