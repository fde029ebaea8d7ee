from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtneuro_ray.config.task import Split, TaskSettings
from mtneuro_ray.data import semantics
from mtneuro_ray.data.attributes import names_of
from mtneuro_ray.data.sampling import samples
from mtneuro_ray.data.semantics import find_cells, load_attributes
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.errors import InputError, StoreError
from mtneuro_ray.roi import Roi
from mtneuro_ray.storage.folder import Folder
from tests.settings import cube, task_settings

Bytes = npt.NDArray[np.uint8]
Voxel = tuple[int, int, int]
CLASSES = ["bg", "vessels", "cells", "axons"]
VESSEL, CELL, AXON = 1, 2, 3
Sides = tuple[float, float, float]
SIDES: list[Sides | None] = [None, (1, 1, 1), (5, 1, 1.5)]


def readout(cubes: list[dict[str, Any]], tile: int = 16, **changes: Any) -> TaskSettings:
    return task_settings("readout", classes=CLASSES, tile_size=[tile, tile], cubes=cubes, **changes)


def one_box(depth: int, tile: int = 16, test: int = 1, **changes: Any) -> TaskSettings:
    """One piece of tissue at the origin, whose last `test` slices are the test split."""
    side: dict[str, Any] = {"y": [0, tile], "x": [0, tile]}
    cut = depth - test
    cubes = [cube(z=(0, cut), **side), cube(split="test", z=(cut, depth), **side)]
    return readout(cubes, tile, **changes)


def attributes(
    folder: Path | str, task: TaskSettings, labels: Bytes, sides: Sides | None = None
) -> dict[Split, semantics.Attributes]:
    store = CutoutStore(Folder(folder))
    if sides is not None:
        store.note("labels", {"voxel_size_um": list(sides)})
    store.write("labels", Roi.at((0, 0, 0), labels.shape), labels)
    return load_attributes(store, "labels", task)


def flood(labels: Bytes, box: Roi) -> list[set[Voxel]]:
    """Cells of a box, one voxel after the other."""
    left = {(z, y, x) for z in range(*box.z) for y in range(*box.y) for x in range(*box.x) if labels[z, y, x] == CELL}
    cells = []
    while left:
        cell, edge = set(), [left.pop()]
        while edge:
            z, y, x = edge.pop()
            cell.add((z, y, x))
            near = [(z - 1, y, x), (z + 1, y, x), (z, y - 1, x), (z, y + 1, x), (z, y, x - 1), (z, y, x + 1)]
            found = left.intersection(near)
            left -= found
            edge.extend(found)
        cells.append(cell)
    return cells


def slow(labels: Bytes, cells: list[set[Voxel]], corner: Roi, sides: Sides | None) -> list[float]:
    """Attributes of one corner, by their definitions in words."""
    inside = [(z, y, x) for z in range(*corner.z) for y in range(*corner.y) for x in range(*corner.x)]
    pieces = [piece for cell in cells if (piece := cell.intersection(inside))]
    middles = [[sum(axis) / len(piece) for axis in zip(*piece, strict=True)] for piece in pieces]

    def nearest(unit: Sides) -> float:
        places = [[axis * side for axis, side in zip(middle, unit, strict=True)] for middle in middles]
        if len(places) < 2:
            return 64 * unit[2]
        return sum(min(math.dist(a, b) for b in places if b is not a) for a in places) / len(places)

    size = sum(map(len, pieces)) / len(pieces) if pieces else 0
    return [
        100 * sum(labels[voxel] == VESSEL for voxel in inside) / len(inside),
        100 * sum(labels[voxel] == AXON for voxel in inside) / len(inside),
        len(pieces),
        size,
        nearest((1, 1, 1)),
        *([] if sides is None else [size * math.prod(sides), nearest(sides)]),
    ]


def slow_attributes(
    task: TaskSettings, labels: Bytes, boxes: dict[str, Roi], split: Split, sides: Sides | None
) -> npt.NDArray[np.float64]:
    """Of every image of a split, whose cells are those of its region's box."""
    cells = {region: flood(labels, box) for region, box in boxes.items()}
    found = []
    for sample in samples(task, split):
        (y0, y1), (x0, x1) = sample.roi.y, sample.roi.x
        half = ((y1 - y0) // 2, (x1 - x0) // 2)
        origins = [(y, x) for y in (y0, y1 - half[0]) for x in (x0, x1 - half[1])]
        rois = [Roi(sample.roi.z, (y, y + half[0]), (x, x + half[1])) for y, x in origins]
        found.append([slow(labels, cells[sample.region], roi, sides) for roi in rois])
    return np.array(found, np.float64)


volumes = st.integers(0, 3).flatmap(
    lambda likely: arrays(np.uint8, (6, 9, 12), elements=st.sampled_from([0, 1, 2, 3, *[likely] * 4]))
)


@given(volumes)
@settings(max_examples=15)
def test_cells_are_what_a_flood_fills(labels: Bytes) -> None:
    cells = find_cells(labels == CELL)
    expected = {frozenset(cell) for cell in flood(labels, Roi.at((0, 0, 0), labels.shape))}
    found = {
        frozenset(map(tuple, np.argwhere(cells == number).tolist())) for number in np.unique(cells).tolist() if number
    }
    assert found == expected


@given(volumes, st.none() | st.integers(1, 3), st.integers(1, 2), st.integers(1, 40), st.sampled_from(SIDES))
@settings(max_examples=10)
def test_attributes_are_those_of_their_definitions(
    labels: Bytes, most: int | None, depth: int, images_per_chunk: int, sides: Sides | None
) -> None:
    # Region B lies in two pieces beside A, its test slices before those of training; tiles of A overlap.
    cubes = [
        cube("A", z=(0, 4), y=[0, 7], x=[0, 6]),
        cube("B", z=(3, 6), y=[1, 9], x=[6, 12], label=1),
        cube("B", split="test", z=(1, 3), y=[1, 9], x=[6, 12], label=1),
        cube("A", split="test", z=(4, 6), y=[0, 7], x=[0, 6]),
    ]
    task = readout(cubes, 5, tile_stride=[2, 1], max_slices=most, volume_z=depth)
    boxes = {"A": Roi((0, 6), (0, 7), (0, 6)), "B": Roi((1, 6), (1, 9), (6, 12))}
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(semantics, "_IMAGES_PER_CHUNK", images_per_chunk)
        found = attributes(folder, task, labels, sides)
    assert list(found) == ["train", "test"]
    for split, values in found.items():
        assert values.shape == (len(samples(task, split)), 4, len(names_of(5 if sides is None else 7)))
        np.testing.assert_allclose(values, slow_attributes(task, labels, boxes, split, sides), rtol=1e-12)


def test_corners_with_known_shapes(tmp_path: Path) -> None:
    labels = np.zeros((2, 16, 16), np.uint8)
    for y, x in ((0, 0), (0, 4), (5, 4)):
        labels[0, y : y + 2, x : x + 2] = CELL
    labels[0, :3, 10:13] = CELL
    labels[0, 8:, :4] = VESSEL
    labels[0, 8:, 8:] = AXON
    found = attributes(tmp_path, one_box(2), labels)
    upper_left = [0, 0, 3, 4, (4 + 4 + 5) / 3]
    upper_right, lower_left, lower_right = [0, 0, 1, 9, 64], [50, 0, 0, 0, 64], [0, 100, 0, 0, 64]
    expected = np.array([[upper_left, upper_right, lower_left, lower_right]], np.float64)
    np.testing.assert_allclose(found["train"], expected)
    np.testing.assert_array_equal(found["test"], [[[0, 0, 0, 0, 64]] * 4])


@pytest.mark.parametrize(
    ("keys", "size"),
    [
        ({"voxel_size_um": 2.0}, (2, 2, 2)),
        ({"voxel_size_um": [5, 1, 2]}, (5, 1, 2)),
        ({"voxel_size_um": [9, 9, 9], "target_voxel_size_um": [5, 1, 2]}, (5, 1, 2)),
        ({"annotation_chan": "file:labels.npy?voxel_size=5,1,2"}, (5, 1, 2)),
        ({"image_chan": "phantom://thalamocortical/image"}, (1.17, 1.17, 1.17)),
        ({}, (7, 7, 7)),
    ],
)
def test_attributes_in_micrometers_take_the_voxel_size_of_the_task_before_that_of_the_metadata(
    tmp_path: Path, keys: dict[str, Any], size: Sides
) -> None:
    labels = np.zeros((6, 16, 16), np.uint8)
    labels[0, 2, 2] = labels[2, 2, 2] = labels[0, 2, 6] = CELL
    [image] = attributes(tmp_path, one_box(6, test=3, volume_z=3, **keys), labels, (7, 7, 7))["train"]
    z, _, x = size
    near, across = 2 * z, 4 * x
    distance = (min(near, across) + near + across) / 3
    np.testing.assert_allclose(image[0, 2:], [3, 1, (2 + 2 + 4) / 3, math.prod(size), distance])
    np.testing.assert_allclose(image[3, 2:], [0, 0, 64, 0, 64 * x])


def test_a_cell_across_corners_is_a_cell_of_each_with_its_own_piece(tmp_path: Path) -> None:
    labels = np.zeros((2, 16, 16), np.uint8)
    labels[0, 6:9, 5:9] = CELL
    [corners] = attributes(tmp_path, one_box(2), labels)["train"]
    np.testing.assert_array_equal(corners[:, 2], [1, 1, 1, 1])
    np.testing.assert_array_equal(corners[:, 3], [2 * 3, 2 * 1, 1 * 3, 1 * 1])


def bridge(through: slice) -> Bytes:
    """Two columns along z in the upper left corner, joined in some slices."""
    labels = np.zeros((9, 16, 16), np.uint8)
    labels[:, 2, 1] = labels[:, 2, 5] = CELL
    labels[through, 2, 1:6] = CELL
    return labels


def test_pieces_that_meet_in_another_slice_are_one_cell(tmp_path: Path) -> None:
    found = attributes(tmp_path, one_box(9, test=3), bridge(slice(4, 5)))
    for values in found.values():
        np.testing.assert_array_equal(values[:, 0, 2], np.ones(len(values)))
    np.testing.assert_array_equal(found["train"][:, 0, 3], [2, 2, 2, 2, 5, 2])


def test_pieces_may_meet_in_the_slices_of_the_other_split(tmp_path: Path) -> None:
    found = attributes(tmp_path, one_box(9, test=3), bridge(slice(8, 9)))
    np.testing.assert_array_equal(found["train"][:, 0, 2:4], [[1, 2]] * 6)


def test_pieces_may_meet_in_a_slice_that_is_no_image(tmp_path: Path) -> None:
    task = one_box(9, test=3, max_slices=1)
    [image] = samples(task, "train")
    assert image.roi.z == (3, 4)
    found = attributes(tmp_path, task, bridge(slice(1, 2)))
    np.testing.assert_array_equal(found["train"][:, 0, 2:4], [[1, 2]])


def test_cubes_with_slices_between_them_are_told_apart(tmp_path: Path) -> None:
    cubes = [cube(z=(0, 4)), cube(split="test", z=(6, 9))]
    found = attributes(tmp_path, readout(cubes), bridge(slice(5, 9)))
    np.testing.assert_array_equal(found["train"][:, 0, 2:], [[2, 1, 4]] * 4)
    np.testing.assert_array_equal(found["test"][:, 0, 2:], [[1, 5, 64]] * 3)


def test_cells_that_touch_along_an_edge_are_two(tmp_path: Path) -> None:
    labels = np.zeros((2, 16, 16), np.uint8)
    labels[0, 0:2, 0:2] = labels[0, 2:4, 2:4] = CELL
    [corners] = attributes(tmp_path, one_box(2), labels)["train"]
    np.testing.assert_allclose(corners[0], [0, 0, 2, 4, math.sqrt(8)])


def test_cells_around_the_same_place_are_no_distance_apart(tmp_path: Path) -> None:
    labels = np.zeros((2, 16, 16), np.uint8)
    labels[0, 1:6, 1:6] = CELL
    labels[0, 2:5, 2:5] = 0
    labels[0, 3, 3] = CELL
    [corners] = attributes(tmp_path, one_box(2), labels)["train"]
    np.testing.assert_array_equal(corners[0], [0, 0, 2, (16 + 1) / 2, 0])


def test_labels_are_mapped_and_classes_found_by_their_names(tmp_path: Path) -> None:
    labels = np.zeros((2, 16, 16), np.uint8)
    labels[:, :4, :4] = 7
    labels[:, 4:6, :8] = 9
    labels[:, 6:8, :8] = 5
    task = one_box(2, annotation_map={"0": 3, "7": 1, "9": 0, "5": 2})
    task = task.replace("task", classes=["axons", "cells", "vessels", "bg"])
    [corners] = attributes(tmp_path, task, labels)["train"]
    np.testing.assert_array_equal(corners[0], [25, 25, 1, 16, 64])


def test_a_label_outside_the_classes_is_one_line_with_its_box(tmp_path: Path) -> None:
    labels = np.zeros((2, 16, 16), np.uint8)
    labels[1, 2, 3] = 8
    with pytest.raises(InputError) as caught:
        attributes(tmp_path, one_box(2), labels)
    assert str(caught.value) == (
        "file:labels.npy: box z0-2_y0-16_x0-16: label 8 is outside the classes of small; accepted: 0, 1, 2, 3"
    )


def test_an_annotation_that_is_not_stored_whole_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="are not stored"):
        attributes(tmp_path, one_box(3), np.zeros((2, 16, 16), np.uint8))
