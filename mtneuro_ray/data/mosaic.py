"""The images of a split laid out where they lie in the volume, one array per cube."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtneuro_ray.config.task import Cube, Split, TaskSettings
from mtneuro_ray.data.sampling import cube_samples
from mtneuro_ray.data.store import Bytes
from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Roi, Shape

EMPTY = 255
"""Value of pixels that no image covers; a task has at most 255 classes, so it is none of them."""


@dataclass(frozen=True, slots=True)
class Mosaic:
    """One value for every pixel of a box.

    Attributes:
        region: Region of the cube.
        offset: Voxel of the volume at the lowest corner, z, y, x.
        step: Voxels of the volume from one pixel to the next, z, y, x: (1, downsample, downsample).
        pixels: (Z, Y, X) values, EMPTY where there is none.
    """

    region: str
    offset: Shape
    step: Shape
    pixels: Bytes

    def crop(self, other: Mosaic) -> Bytes:
        """The pixels within the box of another mosaic on the same grid.

        Raises:
            ValueError: this one does not hold that box.
        """
        inner = Roi.at(_on_grid(other.offset, self.offset, self.step), other.pixels.shape)
        if other.step != self.step or not inner.within(self.pixels.shape):
            raise ValueError(f"box {inner} is not on the grid of {self.pixels.shape}")
        return self.pixels[inner.slices]


def assemble(task: TaskSettings, split: Split, images: Bytes) -> list[Mosaic]:
    """Lay images of a split, or predictions of their centres, into one array per cube.

    Where images overlap (a `tile_stride` below `tile_size`), the later one in the order of the plan wins: no pixel
    mixes several predictions.

    Args:
        task: The task.
        split: Name of the split.
        images: (N, Z, Y, X) in the order of the plan; smaller than the task's images where only centres are known.

    Raises:
        InputError: the steps between images are no whole number of pixels.
    """
    mosaics, first = [], 0
    for cube in _cubes(task, split):
        origins = _origins(task, cube, images.shape[1:])
        mosaics.append(_laid(task, cube, origins, images[first : first + len(origins)]))
        first += len(origins)
    if first != len(images):
        raise ValueError(f"{len(images)} images of a split of {first}")
    return mosaics


def cut(task: TaskSettings, split: Split, mosaics: Sequence[Mosaic], shape: Shape) -> Bytes:
    """The inverse of `assemble`: images (N, *shape) in the order of the plan; exact where no images overlap."""
    pieces = [
        mosaic.pixels[Roi.at(_on_grid(origin, mosaic.offset, mosaic.step), shape).slices]
        for cube, mosaic in zip(_cubes(task, split), mosaics, strict=True)
        for origin in _origins(task, cube, shape)
    ]
    return np.stack(pieces)


def overlapping(task: TaskSettings) -> bool:
    """Whether images of a cube share pixels."""
    return any(stride < size for stride, size in zip(task.stride, task.image_size, strict=True))


def _cubes(task: TaskSettings, split: Split) -> list[Cube]:
    """The cubes of a split that have images; those without an annotated voxel have none."""
    return [cube for cube in task.cubes if cube.split == split and cube_samples(task, cube)]


def _origins(task: TaskSettings, cube: Cube, shape: Sequence[int]) -> list[Shape]:
    """Voxel at the lowest corner of the middle `shape` pixels of each image of a cube."""
    grid = (task.volume_z, *(side // task.downsample for side in task.tile_size))
    z, y, x = ((full - part) // 2 for full, part in zip(grid, shape, strict=True))
    rois = [sample.roi for sample in cube_samples(task, cube)]
    return [(r.z[0] + z, r.y[0] + y * task.downsample, r.x[0] + x * task.downsample) for r in rois]


def _laid(task: TaskSettings, cube: Cube, origins: list[Shape], images: Bytes) -> Mosaic:
    step = (1, task.downsample, task.downsample)
    if any(stride % task.downsample for stride in task.stride[1:]):
        raise InputError(
            f"{task.name}: tile_stride: {list(task.stride[1:])} is no whole number of pixels at downsample "
            f"{task.downsample}; accepted: a multiple of it"
        )
    low = (min(z for z, _, _ in origins), min(y for _, y, _ in origins), min(x for _, _, x in origins))
    boxes = [Roi.at(_on_grid(origin, low, step), images.shape[1:]) for origin in origins]
    whole = np.full([max(box.ranges[axis][1] for box in boxes) for axis in range(3)], EMPTY, np.uint8)
    for box, image in zip(boxes, images, strict=True):
        whole[box.slices] = image
    return Mosaic(cube.region, low, step, whole)


def _on_grid(origin: Shape, base: Shape, step: Shape) -> Shape:
    z, y, x = ((o - b) // s for o, b, s in zip(origin, base, step, strict=True))
    return (z, y, x)
