from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtneuro_ray.config.loading import load_task
from mtneuro_ray.config.task import SPLITS, Split, TaskSettings
from mtneuro_ray.data import sampling as plan
from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Roi
from tests.settings import NO_SHARED, SHARED, cube, task_settings
from tests.test_roi import boxes, painted

PACKAGED = ["task1", "task2_2D_3class", "task2_2D_4class", "task2_3D_3class", "task2_3D_4class", "task3"]


def counts(task: TaskSettings) -> list[int]:
    return [len(plan.samples(task, split)) for split in SPLITS]


@pytest.mark.parametrize(
    ("name", "images"),
    [
        ("task1", [1076, 116, 200]),
        ("task2_2D_3class", [1076, 116, 200]),
        ("task2_2D_4class", [807, 87, 150]),
        ("task2_3D_3class", [4 * 33, 4 * 3, 4 * 6]),
        ("task2_3D_4class", [3 * 33, 3 * 3, 3 * 6]),
    ],
)
def test_images_of_the_benchmark(name: str, images: list[int]) -> None:
    assert counts(load_task(name)[0]) == images


@pytest.mark.skipif(not SHARED.is_dir(), reason=NO_SHARED)
def test_images_of_the_real_slice() -> None:
    task, _ = load_task(str(SHARED / "prasad2020_sample" / "task1_z309.json"))
    assert counts(task) == [654, 75, 254]


@pytest.mark.parametrize("name", PACKAGED)
def test_an_image_lies_in_one_cube_of_its_split_region_and_label(name: str) -> None:
    task, _ = load_task(name)
    for split in SPLITS:
        for sample in plan.samples(task, split):
            holders = [cube for cube in task.cubes if cube.roi.intersection(sample.roi) == sample.roi]
            assert [(held.split, held.region, held.label) for held in holders] == [(split, sample.region, sample.label)]


@pytest.mark.parametrize("name", PACKAGED)
def test_images_of_a_packaged_task_share_no_voxel(name: str) -> None:
    task, _ = load_task(name)
    seen: Counter[tuple[object, ...]] = Counter()
    for split in SPLITS:
        for sample in plan.samples(task, split):
            seen.update((z, sample.roi.y, sample.roi.x) for z in range(*sample.roi.z))
    assert max(seen.values()) == 1


def test_a_remainder_shorter_than_the_image_is_dropped() -> None:
    cubes = [cube(z=(0, 7), y=[0, 40]), cube(split="val", z=(8, 10)), cube(split="test", z=(10, 12))]
    task = task_settings(volume_z=2, cubes=cubes)
    origins = [sample.roi.origin for sample in plan.samples(task, "train")]
    assert origins == [(z, y, 0) for z in (0, 2, 4) for y in (0, 16)]


def test_what_no_image_holds_of_a_cube_is_said() -> None:
    cubes = [cube(z=(0, 7), y=[0, 60], x=[0, 60]), cube(split="val", z=(8, 10)), cube(split="test", z=(10, 12))]
    assert plan.remainders(task_settings(volume_z=2, tile_size=[32, 16], cubes=[cubes[0], *_wide(cubes[1:])])) == [
        "cubes.0 (A, train): no image holds 63.4 % of its voxels: z 1 of 7, y 28 of 60, x 12 of 60 remain beyond the "
        "last image"
    ]
    assert plan.remainders(task_settings(max_slices=1)) == []


def _wide(cubes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**each, "y": [0, 32], "x": [0, 32]} for each in cubes]


@given(st.data())
def test_a_plan_counts_what_it_would_list(data: st.DataObject) -> None:
    task = data.draw(tasks)
    assert [plan.count_samples(task, split) for split in SPLITS] == counts(task)
    assert plan.describe(task, [1])["cutouts"] == len(plan.missing(plan.boxes(task), []))


def test_the_plan_of_an_enormous_cube_is_arithmetic() -> None:
    cubes = [cube(z=(9, 2**31), y=[0, 2**31], x=[0, 2**31]), cube(split="val", z=(5, 7)), cube(split="test", z=(8, 9))]
    task = task_settings(cubes=cubes, tile_stride=[2**20, 2**20], max_slices=2)
    assert plan.describe(task, [1])["cutouts"] > 10**13


def test_overlapping_tiles_step_by_the_stride() -> None:
    cubes = [cube(z=(0, 1), y=[2, 30], x=[1, 18]), cube(split="val", z=(2, 3)), cube(split="test", z=(4, 5))]
    task = task_settings(tile_stride=[4, 8], cubes=cubes)
    origins = [sample.roi.origin for sample in plan.samples(task, "train")]
    assert origins == [(0, y, 1) for y in (2, 6, 10, 14)]


def test_images_step_along_z_too_where_the_stride_has_three_numbers() -> None:
    cubes = [cube(z=(0, 9)), cube(split="val", z=(9, 13)), cube(split="test", z=(13, 17))]
    task = task_settings(volume_z=4, tile_stride=[2, 16, 16], cubes=cubes)
    assert [sample.roi.z for sample in plan.samples(task, "train")] == [(0, 4), (2, 6), (4, 8)]
    assert plan.boxes(task)[0].z == (0, 8)
    assert plan.remainders(task) == [
        "cubes.0 (A, train): no image holds 11.1 % of its voxels: z 1 of 9 remain beyond the last image"
    ]
    assert task_settings(tile_stride=[3, 4]).stride == (1, 3, 4)
    with pytest.raises(InputError, match=r"^task.json: tile_stride"):
        task_settings(tile_stride=[0, 4])


@pytest.mark.parametrize(
    ("most", "slices"),
    [(1, [5]), (2, [2, 7]), (3, [1, 5, 8]), (5, [1, 3, 5, 7, 9]), (10, list(range(10))), (99, list(range(10)))],
)
def test_max_slices_are_at_the_middles_of_equal_parts(most: int, slices: list[int]) -> None:
    cubes = [cube(z=(0, 10)), cube(split="val", z=(10, 20)), cube(split="test", z=(20, 30))]
    task = task_settings(max_slices=most, cubes=cubes)
    for split, first in zip(SPLITS, (0, 10, 20), strict=True):
        assert [s.roi.z[0] - first for s in plan.samples(task, split)] == slices


tasks = st.builds(
    lambda depth, most, tile, stride, sides: task_settings(
        volume_z=depth,
        max_slices=most,
        tile_size=[tile, tile],
        tile_stride=stride,
        cubes=[
            cube(z=(0, 9), y=[0, sides[0]], x=[3, 3 + sides[1]]),
            cube(split="val", z=(9, 13)),
            cube("B", split="test", z=(13, 20), y=[1, 1 + sides[1]], x=[2, 2 + sides[0]]),
        ],
    ),
    st.integers(1, 4),
    st.none() | st.integers(1, 9),
    st.integers(1, 8),
    st.none() | st.lists(st.integers(1, 8), min_size=2, max_size=3),
    st.tuples(st.integers(8, 20), st.integers(8, 20)),
)


@given(tasks)
def test_boxes_hold_every_image_and_no_voxel_outside_the_cubes(task: TaskSettings) -> None:
    read, needed, cubes = (np.zeros((20, 24, 24), bool) for _ in range(3))
    for roi in plan.boxes(task):
        read[roi.slices] = True
    for split in SPLITS:
        for sample in plan.samples(task, split):
            needed[sample.roi.slices] = True
    for each in task.cubes:
        cubes[each.roi.slices] = True
    assert not (needed & ~read).any()
    assert not (read & ~cubes).any()
    if all(step <= size for step, size in zip(task.stride, task.image_size, strict=True)):
        np.testing.assert_array_equal(read, needed)


@given(st.lists(boxes, max_size=5), st.lists(boxes, max_size=5), st.tuples(*(st.integers(1, 4) for _ in "zyx")))
def test_missing_covers_what_is_needed_once_and_nothing_that_is_present(
    needed: list[Roi], present: list[Roi], chunk: tuple[int, int, int]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "CUTOUT_SHAPE", chunk)
        cutouts = plan.missing(needed, present)
    wanted = (painted(*needed) > 0) & (painted(*present) == 0)
    np.testing.assert_array_equal(painted(*cutouts), wanted)
    assert all(n <= most for cutout in cutouts for n, most in zip(cutout.shape, chunk, strict=True))


def test_tasks_that_share_boxes_need_them_once() -> None:
    three, four = (plan.boxes(load_task(name)[0]) for name in ("task2_2D_3class", "task2_2D_4class"))
    assert plan.missing(four, plan.missing(three, [])) == []


def test_a_cube_that_leaves_the_volume_is_named_with_its_axis() -> None:
    task = task_settings()
    plan.check_boxes(task, (10, 16, 16), "task.json")
    with pytest.raises(InputError) as caught:
        plan.check_boxes(task, (9, 16, 16), "task.json")
    assert str(caught.value) == "task.json: cubes.2.z: ends at 10, outside the volume; accepted: at most 9"
    with pytest.raises(InputError, match=r"cubes\.0\.x: ends at 16.*at most 15"):
        plan.check_boxes(task, (10, 16, 15), "task.json")


def test_a_batch_larger_than_the_training_split_is_refused() -> None:
    plan.check_batch(task_settings(), 4, "net.json")
    with pytest.raises(InputError) as caught:
        plan.check_batch(task_settings(), 5, "net.json")
    assert str(caught.value) == (
        "net.json: batch_size: 5 is larger than the training split (4 images of small); accepted: 1 to 4"
    )


def test_a_description_counts_images_and_voxels_of_every_channel() -> None:
    described = plan.describe(task_settings(), [1, 8])
    assert described == {
        "task": "small",
        "splits": {
            split: {"images": images, "per_class": {"A": images}}
            for split, images in (("train", 4), ("val", 2), ("test", 2))
        },
        "cutouts": 6,
        "voxels": 2 * 8 * 256,
        "bytes": 9 * 8 * 256,
        "remainders": [],
    }


def test_a_split_without_cubes_has_no_images() -> None:
    task = task_settings("readout", cubes=[cube("A", z=(0, 4)), cube("A", split="test", z=(4, 8))])
    images: dict[Split, int] = {split: len(plan.samples(task, split)) for split in SPLITS}
    assert images["val"] == 0
    assert images["train"] == images["test"] > 0


@pytest.mark.parametrize("name", ["task3", "task3_c3"])
def test_task_3_reads_every_slice_and_leaves_ten_between_those_that_are_fitted_and_scored(name: str) -> None:
    task, _ = load_task(name)
    slices = {split: {sample.roi.z for sample in plan.samples(task, split)} for split in SPLITS}
    assert {split: 4 * len(own) for split, own in slices.items()} == {"train": 1200, "val": 40, "test": 200}
    assert sorted(set().union(*slices.values())) == [(z, z + 1) for z in range(110, 470)]
    assert min(slices["test"])[0] - max(slices["train"])[1] == 10


def test_the_parts_of_task_3_s_boxes_are_one_piece_of_tissue_each() -> None:
    task, _ = load_task("task3")
    found = [(block.region, block.roi.z, [task.cubes[n].split for n in block.cubes]) for block in plan.blocks(task)]
    assert found == [(region, (110, 470), ["train", "val", "test"]) for region in ("CTX", "STR", "VP", "ZI")]


def test_cubes_are_joined_along_z_within_a_region_and_a_place() -> None:
    cubes = [
        cube("B", z=(4, 6), x=[40, 56]),
        cube("A", split="test", z=(4, 7)),
        cube("A", z=(0, 3)),
        cube("A", z=(2, 4)),
        cube("A", z=(8, 9)),
        cube("A", z=(0, 9), x=[16, 32]),
    ]
    found = plan.blocks(task_settings("readout", cubes=cubes))
    assert [(block.region, block.roi.z, block.roi.x, block.cubes) for block in found] == [
        ("A", (0, 7), (0, 16), (2, 3, 1)),
        ("A", (8, 9), (0, 16), (4,)),
        ("A", (0, 9), (16, 32), (5,)),
        ("B", (4, 6), (40, 56), (0,)),
    ]


@given(tasks)
def test_a_readout_task_reads_its_images_and_the_annotation_of_whole_cubes(task: TaskSettings) -> None:
    images, annotation, _ = plan.channel_boxes(task.model_copy(update={"task": "readout"}))
    assert images == plan.boxes(task)
    assert annotation == sorted(each.roi for each in task.cubes)
    assert plan.channel_boxes(task) == (images, images, images)


def test_a_description_of_a_readout_counts_corners_and_each_channel_s_own_voxels() -> None:
    cubes = [cube(z=(0, 4), y=[0, 20]), cube("B", split="test", z=(4, 9))]
    described = plan.describe(task_settings("readout", cubes=cubes, max_slices=2), [1, 8])
    assert described == {
        "task": "small",
        "splits": {
            "train": {"images": 2, "corners": 8, "per_class": {"A": 2}},
            "test": {"images": 2, "corners": 8, "per_class": {"B": 2}},
        },
        "cutouts": 4 + 2,
        "voxels": 4 * 256 + (4 * 20 + 5 * 16) * 16,
        "bytes": 4 * 256 + 8 * (4 * 20 + 5 * 16) * 16,
        "remainders": ["cubes.0 (A, train): no image holds 20 % of its voxels: y 4 of 20 remain beyond the last image"],
    }
