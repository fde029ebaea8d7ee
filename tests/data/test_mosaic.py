from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.data.mosaic import EMPTY, assemble, cut, overlapping
from mtneuro_ray.data.sampling import samples
from mtneuro_ray.data.store import Bytes
from mtneuro_ray.errors import InputError
from tests.settings import cube, task_settings

VOLUME = np.random.default_rng(0).integers(0, EMPTY, (30, 70, 70), dtype=np.uint8)


@dataclass(frozen=True)
class Case:
    """A task and how many pixels of each side of an image are not known."""

    task: TaskSettings
    margin: tuple[int, int, int]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    step = draw(st.sampled_from([1, 2, 4]))
    tile = [step * draw(st.integers(3, 6)) for _ in "yx"]
    stride = draw(st.none() | st.tuples(*(st.integers(1, 8).map(lambda n: n * step) for _ in "yx")))
    if stride is not None and draw(st.booleans()):
        stride = (draw(st.integers(1, 4)), *stride)
    depth = draw(st.integers(1, 3))
    margin = (draw(st.integers(0, (depth - 1) // 2)), draw(st.integers(0, 1)), draw(st.integers(0, 1)))
    boxes = []
    for number in range(draw(st.integers(1, 2))):
        z, y, x = draw(st.tuples(st.integers(0, 8), st.integers(0, 9), st.integers(0, 9)))
        sides = draw(st.tuples(st.integers(depth, 9), st.integers(tile[0], 50), st.integers(tile[1], 50)))
        spans = {axis: [low, low + side] for axis, low, side in zip("zyx", (z, y, x), sides, strict=True)}
        boxes.append(cube(f"R{number}", "test", **spans))
    others = [
        cube(split="train", z=(20, 24), y=[0, 40], x=[0, 40]),
        cube(split="val", z=(25, 29), y=[0, 40], x=[0, 40]),
    ]
    task = task_settings(
        cubes=[*boxes, *others],
        tile_size=tile,
        tile_stride=stride,
        volume_z=depth,
        downsample=step,
        max_slices=draw(st.none() | st.integers(1, 4)),
    )
    return Case(task, margin)


def images_of(case: Case) -> Bytes:
    """What a task reads of VOLUME, cut to the known middles: every `downsample`-th voxel."""
    step, (z, y, x) = case.task.downsample, case.margin
    found = []
    for sample in samples(case.task, "test"):
        image = VOLUME[sample.roi.slices][:, ::step, ::step]
        found.append(image[z : image.shape[0] - z, y : image.shape[1] - y, x : image.shape[2] - x])
    return np.stack(found)


@settings(max_examples=25)
@given(cases())
def test_every_pixel_lies_where_the_volume_has_it_and_what_no_image_covers_is_empty(case: Case) -> None:
    images = images_of(case)
    expected = np.full(VOLUME.shape, EMPTY, np.uint8)
    seen: dict[str, Bytes] = {}
    step, (z, y, x) = case.task.downsample, case.margin
    for sample, image in zip(samples(case.task, "test"), images, strict=True):
        z0, y0, x0 = sample.roi.z[0] + z, sample.roi.y[0] + y * step, sample.roi.x[0] + x * step
        region = seen.setdefault(sample.region, expected.copy())
        for index, value in np.ndenumerate(image):
            region[z0 + index[0], y0 + index[1] * step, x0 + index[2] * step] = value

    mosaics = assemble(case.task, "test", images)
    assert [mosaic.region for mosaic in mosaics] == list(seen)
    for mosaic in mosaics:
        truth, (low_z, low_y, low_x) = seen[mosaic.region], mosaic.offset
        assert mosaic.step == (1, step, step)
        height, width = (side * step for side in mosaic.pixels.shape[1:])
        box = truth[low_z : low_z + len(mosaic.pixels), low_y : low_y + height : step, low_x : low_x + width : step]
        np.testing.assert_array_equal(mosaic.pixels, box)
        # No more than the box of what is known, and all of it.
        assert (mosaic.pixels != EMPTY).sum() == (truth != EMPTY).sum()
        for axis in range(3):
            planes = (mosaic.pixels != EMPTY).any(axis=tuple({0, 1, 2} - {axis}))
            assert planes[0]
            assert planes[-1]


@settings(max_examples=25)
@given(cases())
def test_cutting_gives_back_what_was_laid(case: Case) -> None:
    images = images_of(case)
    shape = images.shape[1:]
    pieces = cut(case.task, "test", assemble(case.task, "test", images), (shape[0], shape[1], shape[2]))
    np.testing.assert_array_equal(pieces, images)


def two_tiles(**changes: Any) -> TaskSettings:
    return task_settings(
        cubes=[cube(), cube(split="val", z=(5, 7)), cube(split="test", z=(8, 9), x=[0, 24])], **changes
    )


def test_of_overlapping_images_the_later_wins() -> None:
    task = two_tiles(tile_stride=[16, 8])
    assert overlapping(task)
    assert not overlapping(two_tiles())
    assert not overlapping(two_tiles(tile_stride=[16, 20]))
    deep = [cube(z=(0, 4)), cube(split="val", z=(5, 9)), cube(split="test", z=(10, 14))]
    assert overlapping(task_settings(cubes=deep, volume_z=2, tile_stride=[1, 16, 16]))
    [mosaic] = assemble(task, "test", np.stack([np.full((1, 16, 16), value, np.uint8) for value in (1, 2)]))
    assert mosaic.pixels[0, 5].tolist() == [1] * 8 + [2] * 16
    earlier, later = cut(task, "test", [mosaic], (1, 16, 16))
    assert earlier[0, 5].tolist() == [1] * 8 + [2] * 8
    assert (later == 2).all()


def test_steps_between_pixels_are_refused() -> None:
    task = two_tiles(tile_stride=[16, 6], downsample=4)
    with pytest.raises(
        InputError, match=r"^small: tile_stride: \[16, 6\] is no whole number of pixels at downsample 4"
    ):
        assemble(task, "test", np.zeros((2, 1, 4, 4), np.uint8))


def test_images_of_another_split_are_refused() -> None:
    with pytest.raises(ValueError, match="3 images of a split of 1"):
        assemble(two_tiles(), "test", np.zeros((3, 1, 16, 16), np.uint8))


def test_a_crop_is_the_part_within_another_box() -> None:
    case = Case(two_tiles(downsample=2), (0, 1, 2))
    [whole] = assemble(case.task, "test", images_of(Case(case.task, (0, 0, 0))))
    [middle] = assemble(case.task, "test", images_of(case))
    assert middle.offset == (8, 2, 4)
    np.testing.assert_array_equal(whole.crop(middle), middle.pixels)
    with pytest.raises(ValueError, match="is not"):
        middle.crop(whole)
