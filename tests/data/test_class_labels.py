from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.data import sampling
from mtneuro_ray.data.class_labels import IGNORED, LabelMap, classes_of
from mtneuro_ray.data.identities import Identities
from mtneuro_ray.data.ingest import ingest
from mtneuro_ray.data.mosaic import EMPTY, assemble, cut
from mtneuro_ray.data.samples import SplitArrays, load_split, load_splits
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Roi
from mtneuro_ray.storage.folder import Folder
from tests.settings import cube, task_settings

SHAPE = (12, 24, 40)
RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.integers(0, 256, SHAPE, dtype=np.uint8)
LABELS = RANDOM.integers(0, 3, SHAPE, dtype=np.uint8)
MASK = RANDOM.integers(0, 2, SHAPE, dtype=np.uint8)
WHOLE = Roi.at((0, 0, 0), SHAPE)
INTEGERS = [np.bool_, *(np.dtype(f"{kind}{size}").type for kind in "ui" for size in (1, 2, 4, 8))]


def store_of(folder: Path, labels: Any = LABELS, mask: Any = None) -> CutoutStore:
    store = CutoutStore(Folder(folder))
    for identity, voxels in (("image", IMAGE), ("labels", labels), ("mask", mask)):
        if voxels is not None:
            store.write(identity, WHOLE, voxels)
    return store


def load(folder: Path, task: TaskSettings, labels: Any = LABELS, mask: Any = None, split: Any = "train") -> SplitArrays:
    identities = Identities(("image",), "labels", None if mask is None else "mask")
    return load_split(store_of(folder, labels, mask), identities, task, split)


@st.composite
def mappings(draw: st.DrawFn) -> tuple[dict[str, int], list[int | str], Any, np.dtype[Any], list[int]]:
    """A map, ignored labels, the rest, an integer type, and values of it."""
    dtype = np.dtype(draw(st.sampled_from(INTEGERS)))
    bounds: Any = None if dtype == np.bool_ else np.iinfo(dtype)
    low, high = (0, 1) if bounds is None else (int(bounds.min), int(bounds.max))
    ends = sorted(draw(st.sets(st.integers(-4, 9) | st.sampled_from([low, high, 2**64 - 1, -(2**63)]), max_size=8)))
    keys = [(ends[n], ends[n + 1]) for n in range(0, len(ends) - 1, 2)]
    names = [str(first) if draw(st.booleans()) else f"{first}-{last}" for first, last in keys]
    ignored = draw(st.lists(st.sampled_from(names), unique=True)) if names else []
    listed = {name: draw(st.integers(0, 2)) for name in names if name not in ignored}
    unlisted = draw(st.sampled_from(["refuse", "ignore", "cells", 1]))
    values = draw(st.lists(st.integers(max(low, -5), min(high, 10)) | st.sampled_from([low, high]), min_size=1))
    return listed, [int(key) if "-" not in key[1:] else key for key in ignored], unlisted, dtype, values


@given(mappings())
def test_labels_of_any_integer_type_have_the_class_of_their_range(case: Any) -> None:
    listed, ignored, unlisted, dtype, values = case
    task = task_settings(annotation_map=listed, ignore_labels=ignored, unlisted_labels=unlisted)
    found, refused = LabelMap.of(task).classes(np.array(values, dtype).reshape(1, 1, -1))
    rest: int | None = {"refuse": None, "ignore": IGNORED, "cells": 2, 1: 1}[unlisted]

    def expected(value: int) -> int | None:
        own: int
        for key, own in [*listed.items(), *((str(each), IGNORED) for each in ignored)]:
            first, _, last = key[1:].partition("-")
            if int(key[0] + first) <= value <= int(last or key[0] + first):
                return own
        return rest

    classes = [expected(int(value)) for value in values]
    assert found.ravel().tolist() == [IGNORED if each is None else each for each in classes]
    assert (refused is None) == (None not in classes)
    if refused is not None:
        assert refused.ravel().tolist() == [each is None for each in classes]


@pytest.mark.parametrize("dtype", [np.uint64, np.int64, np.uint32, np.int32])
def test_instance_ids_are_cells_and_the_rest_is_background(dtype: Any) -> None:
    top = np.iinfo(dtype).max
    ids = np.array([[[0, 1, 2, 70_000, top]]], dtype)
    task = task_settings(annotation_map={"0": 0}, unlisted_labels="cells")
    assert classes_of([ids], [Roi.at((0, 0, 0), (1, 1, 5))], task).ravel().tolist() == [0, 2, 2, 2, 2]
    with pytest.raises(InputError, match=rf"box z0-1_y0-1_x0-5: label {top} is outside the classes of small; acc"):
        classes_of([ids], [Roi.at((0, 0, 0), (1, 1, 5))], task_settings(annotation_map={"0-70000": 0}))


def test_ignored_labels_are_no_class(tmp_path: Path) -> None:
    labels = LABELS.copy()
    labels[0, :4, :4] = 255
    masks = load(tmp_path, task_settings(ignore_labels=[255, "1-1"]), labels).masks
    assert masks is not None
    expected = np.where((labels == 255) | (labels == 1), IGNORED, labels)[:4, :16, :16]
    np.testing.assert_array_equal(masks[:, 0], expected)


@pytest.mark.parametrize("downsample", [1, 2])
def test_labels_count_where_the_mask_and_a_box_say_so(tmp_path: Path, downsample: int) -> None:
    boxes = [{"z": 1}, {"z": [3, 9], "y": [2, 9]}, {"x": 5}]
    task = task_settings(mask_chan="file:m.npy", annotated=boxes, downsample=downsample)
    masks = load(tmp_path, task, mask=MASK).masks
    counted = np.zeros(SHAPE, np.bool_)
    counted[1] = counted[3:9, 2:9] = counted[:, :, 5] = True
    middles = slice(downsample // 2, 16, downsample)
    expected = np.where(counted & (MASK > 0), LABELS, IGNORED)[:4, middles, middles]
    assert masks is not None
    np.testing.assert_array_equal(masks[:, 0], expected)


VARIANTS: list[dict[str, Any]] = [
    {"mask_chan": "file:m.npy"},
    {"annotated": [{"z": [1, 7], "y": [3, 12]}, {"z": 9}]},
    {"ignore_labels": ["3-200"]},
    {"annotation_map": {"0": 0, "1": 1, "2": 2}, "unlisted_labels": "ignore"},
]


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
@pytest.mark.parametrize("kind", ["segmentation", "classification"])
def test_a_label_that_does_not_count_changes_nothing(tmp_path: Path, changes: dict[str, Any], kind: str) -> None:
    if kind == "classification":
        changes = {"annotation_map": {"0": 0, "1": 1, "2": 2}, **changes}
    task = task_settings(kind, **changes)
    ignored = np.full(SHAPE, "mask_chan" not in changes and "annotated" not in changes)
    if "mask_chan" in changes:
        ignored |= MASK == 0
    elif "annotated" in changes:
        ignored[:] = True
        ignored[1:7, 3:12] = ignored[9] = False
    else:
        ignored = np.random.default_rng(3).random(SHAPE) < 0.7
    found = []
    for number in range(2):
        # Labels 3 to 200 are no class: they would be refused where they counted.
        other = np.random.default_rng(number).integers(3, 201, SHAPE, dtype=np.uint8)
        labels = np.where(ignored, other, LABELS)
        mask = MASK if "mask_chan" in changes else None
        found.append([load(tmp_path / str(number), task, labels, mask, split) for split in ("train", "val", "test")])
    for first, second in zip(*found, strict=True):
        np.testing.assert_array_equal(first.labels, second.labels)
        np.testing.assert_array_equal(first.class_counts(3), second.class_counts(3))
        if kind == "segmentation":
            assert first.masks is not None
            assert second.masks is not None
            np.testing.assert_array_equal(first.masks, second.masks)
            assert first.class_counts(3).sum() == (first.masks != IGNORED).sum() > 0


def test_images_outside_of_the_annotated_boxes_are_no_samples(tmp_path: Path) -> None:
    cubes = [cube(z=(0, 4), x=[0, 32]), cube(split="val", z=(5, 7)), cube("B", z=(4, 5)), cube(split="test", z=(8, 10))]
    boxes = [{"z": [1, 3], "x": [4, 18]}, {"z": 2}, {"z": 6}, {"z": 8, "y": [0, 2]}]
    task = task_settings(cubes=cubes, annotated=boxes)
    plan = [sample.roi for sample in sampling.samples(task, "train")]
    assert [(roi.z[0], roi.x[0]) for roi in plan] == [(1, 0), (1, 16), (2, 0), (2, 16)]
    assert sampling.count_samples(task, "train") == 4
    assert sampling.boxes(task) == [
        Roi((1, 3), (0, 16), (0, 32)),
        Roi((6, 7), (0, 16), (0, 16)),
        Roi((8, 9), (0, 16), (0, 16)),
    ]
    assert sampling.describe(task, [1, 1])["splits"]["train"] == {"images": 4, "per_class": {"A": 4, "B": 0}}
    arrays = load(tmp_path, task)
    assert arrays.masks is not None
    [mosaic] = assemble(task, "train", arrays.masks)
    assert mosaic.offset == (1, 0, 0)
    expected = np.where(np.arange(32) < 18, LABELS[1, :16, :32], EMPTY)
    expected[:, :4] = EMPTY
    np.testing.assert_array_equal(mosaic.pixels, [expected, LABELS[2, :16, :32]])
    np.testing.assert_array_equal(cut(task, "train", [mosaic], (1, 16, 16)), arrays.masks)


def test_the_slices_of_a_scaled_task_are_annotated_ones() -> None:
    task = task_settings(cubes=[cube(z=(0, 100)), cube(split="val", z=(100, 101)), cube(split="test", z=(101, 102))])
    boxes = [{"z": z} for z in range(5, 102, 10)] + [{"z": 100}, {"z": 101}]
    few = task.replace("t", annotated=boxes, max_slices=3)
    assert [sample.roi.z[0] for sample in sampling.samples(few, "train")] == [15, 55, 85]


def test_a_split_without_a_voxel_that_counts_is_one_line(tmp_path: Path) -> None:
    mask = MASK.copy()
    mask[5:7, :16, :16] = 0
    with pytest.raises(InputError) as caught:
        load(tmp_path, task_settings(mask_chan="file:m.npy"), mask=mask, split="val")
    assert str(caught.value) == (
        "small: mask_chan: no voxel of the val split is left; accepted: at least one that is annotated and has a class"
    )
    # The box lies beyond the last image of its cube.
    task = task_settings(
        cubes=[cube(z=(0, 4), x=[0, 24]), cube(split="val", z=(5, 7)), cube(split="test", z=(8, 10))],
        annotated=[{"z": [0, 4], "x": [18, 24]}, {"z": [5, 10]}],
    )
    with pytest.raises(InputError, match="small: annotated: no voxel of the train split is left"):
        load(tmp_path / "other", task)


def test_classes_that_a_split_lacks_are_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    labels = np.zeros_like(LABELS)
    labels[8:10, 3] = 2
    with caplog.at_level(logging.WARNING):
        load_splits(store_of(tmp_path, labels), Identities(("image",), "labels"), task_settings())
    [line] = caplog.messages
    assert line == (
        "small: classes without a voxel or image: train has no vessels, cells; val has no vessels, cells; test has no "
        "vessels; such a class has no score there, and none in a mean"
    )


def test_the_class_of_an_image_is_its_most_frequent_label_that_counts(tmp_path: Path) -> None:
    labels = np.full(SHAPE, 9, np.uint8)
    labels[:, :2] = 2
    labels[1, :2] = 9
    labels[2, :1] = 1
    task = task_settings(
        "classification",
        annotation_map={"1": 1, "2": 2},
        ignore_labels=[9],
        annotated=[{"z": [0, 3]}, {"z": 3, "y": [8, 9]}, {"z": [4, 12]}],
        cubes=[cube(), cube(split="test", z=(8, 10))],
    )
    # Slice 2 has two labels equally often, the least wins; slices 1 and 3 have none that counts: the cube's own.
    assert load(tmp_path, task, labels).labels.tolist() == [2, 0, 1, 0]


@pytest.mark.parametrize(
    ("address", "dtype"),
    [
        ("file:labels.npy", np.int64),
        ("file:labels.npy", np.int16),
        ("file:labels.npy", np.bool_),
        ("file:labels.tif", np.bool_),
        ("file:labels.tif", np.uint32),
        ("zarr://labels.zarr", np.int32),
        ("zarr://labels.zarr", np.uint64),
    ],
)
def test_labels_of_any_integer_type_are_read_from_files(tmp_path: Path, address: str, dtype: Any) -> None:
    import tifffile
    import zarr

    labels = (LABELS > 0 if dtype == np.bool_ else LABELS).astype(dtype)
    offset: Any = 0 if dtype == np.bool_ else dtype(np.iinfo(dtype).max - 2)
    labels = labels if dtype == np.bool_ else labels + offset
    np.save(tmp_path / "image.npy", IMAGE)
    if address.endswith("npy"):
        np.save(tmp_path / "labels.npy", labels)
    elif address.endswith("tif"):
        tifffile.imwrite(tmp_path / "labels.tif", labels, photometric="minisblack")
    else:
        zarr.create_array(tmp_path / "labels.zarr", data=labels, chunks=(4, 16, 16), dimension_names=["z", "y", "x"])
    task = task_settings(annotation_chan=address, annotation_map={str(offset + n): n for n in range(3)})
    volumes = ingest(CutoutStore(Folder(tmp_path / "store")), task, tmp_path / "task.json")
    masks = load_split(CutoutStore(Folder(tmp_path / "store")), volumes.identities, task, "train").masks
    assert masks is not None
    expected = LABELS > 0 if dtype == np.bool_ else LABELS
    np.testing.assert_array_equal(masks[:, 0], expected[:4, :16, :16])
