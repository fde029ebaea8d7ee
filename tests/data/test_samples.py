import logging
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.data.identities import Identities
from mtneuro_ray.data.samples import SplitArrays, area_average, load_split, load_splits
from mtneuro_ray.data.sampling import samples
from mtneuro_ray.data.semantics import load_attributes
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.errors import InputError, StoreError
from mtneuro_ray.roi import Roi
from mtneuro_ray.storage.folder import Folder
from tests.settings import cube, task_settings

SHAPE = (12, 24, 40)
IMAGE = np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)
LABELS = np.random.default_rng(1).integers(0, 3, SHAPE, dtype=np.uint8)
REGIONS = ["CTX", "STR", "VP", "ZI"]
Bytes = npt.NDArray[np.uint8]


def load(
    folder: Path, task: TaskSettings, labels: Bytes | None = LABELS, split: Any = "train", image: Bytes = IMAGE
) -> SplitArrays:
    store = CutoutStore(Folder(folder))
    whole = Roi.at((0, 0, 0), SHAPE)
    store.write("image", whole, image)
    if labels is not None:
        store.write("labels", whole, labels)
    return load_split(store, Identities(("image",), None if labels is None else "labels"), task, split)


def slow_average(image: Bytes, factor: int) -> Bytes:
    """Each output voxel from a plain Python sum, half rounded up."""
    height, width = (side // factor for side in image.shape)
    out = np.empty((height, width), np.uint8)
    for y in range(height):
        for x in range(width):
            block = image[y * factor : (y + 1) * factor, x * factor : (x + 1) * factor].ravel().tolist()
            out[y, x] = int(sum(block) / len(block) + 0.5)
    return out


@given(
    st.sampled_from([1, 2, 3, 4]).flatmap(
        lambda factor: st.tuples(
            st.just(factor),
            arrays(
                np.uint8,
                st.tuples(st.just(2), st.integers(1, 4), st.integers(1, 4)).map(
                    lambda s: (s[0], s[1] * factor, s[2] * factor)
                ),
            ),
        )
    )
)
def test_area_average_is_the_rounded_mean_of_each_block(case: tuple[int, Bytes]) -> None:
    factor, images = case
    averaged = area_average(images, factor)
    assert averaged.dtype == np.uint8
    for got, image in zip(averaged, images, strict=True):
        np.testing.assert_array_equal(got, slow_average(image, factor))


def test_images_and_masks_are_the_boxes_of_the_plan_in_its_order(tmp_path: Path) -> None:
    cubes = [
        cube("B", z=(2, 5), y=[0, 24], x=[8, 40], label=1),
        cube("A", z=(0, 2), x=[0, 40]),
        cube("A", split="val", z=(6, 7)),
        cube("B", split="test", z=(8, 9)),
    ]
    task = task_settings(tile_size=[12, 8], cubes=cubes)
    arrays_ = load(tmp_path, task)
    plan = samples(task, "train")
    assert len(arrays_) == len(plan) == 3 * 2 * 4 + 2 * 1 * 5
    assert arrays_.masks is not None
    assert arrays_.images[:, 0].shape == arrays_.masks.shape == (34, 1, 12, 8)
    for image, mask, region, label, sample in zip(
        arrays_.images, arrays_.masks, arrays_.regions, arrays_.labels, plan, strict=True
    ):
        np.testing.assert_array_equal(image[0], IMAGE[sample.roi.slices])
        np.testing.assert_array_equal(mask, LABELS[sample.roi.slices])
        assert (arrays_.region_names[region], label) == (sample.region, sample.label)
    assert arrays_.region_names == ("B", "A")


def test_volumes_keep_their_slices(tmp_path: Path) -> None:
    arrays_ = load(tmp_path, task_settings(volume_z=2, downsample=2), split="train")
    assert arrays_.masks is not None
    assert arrays_.images[:, 0].shape == arrays_.masks.shape == (2, 2, 8, 8)
    for z in range(4):
        np.testing.assert_array_equal(arrays_.images[z // 2, 0, z % 2], slow_average(IMAGE[z, :16, :16], 2))
        np.testing.assert_array_equal(arrays_.masks[z // 2, z % 2], LABELS[z, 1:16:2, 1:16:2])


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_each_split_is_its_own_cubes(tmp_path: Path, split: Any) -> None:
    task = task_settings()
    [z] = [each.z for each in task.cubes if each.split == split]
    np.testing.assert_array_equal(load(tmp_path, task, split=split).images[:, 0, 0], IMAGE[slice(*z), :16, :16])


def test_axons_are_background_in_three_classes(tmp_path: Path) -> None:
    labels = LABELS.copy()
    labels[::2] = 3
    task = task_settings(annotation_map={"0": 0, "1": 1, "2": 2, "3": 0})
    masks = load(tmp_path, task, labels).masks
    assert masks is not None
    np.testing.assert_array_equal(masks[:, 0], np.where(labels == 3, 0, labels)[:4, :16, :16])


def test_a_label_outside_the_classes_is_one_line_with_its_box(tmp_path: Path) -> None:
    labels = LABELS.copy()
    labels[2, 3, 4] = 7
    with pytest.raises(InputError) as caught:
        load(tmp_path, task_settings(), labels)
    assert str(caught.value) == (
        "file:labels.npy: box z2-3_y0-16_x0-16: label 7 is outside the classes of small; accepted: 0, 1, 2, others "
        "by unlisted_labels or ignore_labels"
    )


def test_a_label_outside_every_image_does_not_matter(tmp_path: Path) -> None:
    labels = LABELS.copy()
    labels[:, 16:] = 7
    assert len(load(tmp_path, task_settings(), labels)) == 4


def region_task(**changes: Any) -> TaskSettings:
    cubes = [
        cube("STR", label=1),
        cube("STR", split="val", z=(5, 7), label=1),
        cube("STR", split="test", z=(8, 10), label=1),
    ]
    return task_settings("classification", classes=REGIONS, cubes=cubes, **changes)


def test_the_class_of_an_image_is_its_most_frequent_label_mapped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    labels = np.full(SHAPE, 2, np.uint8)
    labels[1, :10] = 8
    labels[2, :7] = 5
    arrays_ = load(tmp_path, region_task(), labels)
    assert arrays_.labels.tolist() == [1, 1, 1, 1]
    assert arrays_.masks is None
    assert caplog.records == []


def test_a_slice_of_another_region_is_labelled_so_and_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    labels = np.full(SHAPE, 2, np.uint8)
    labels[2] = 5
    assert load(tmp_path, region_task(), labels).labels.tolist() == [1, 1, 3, 1]
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == "small: image z2-3_y0-16_x0-16 of region STR is mostly label 5 (class ZI)"


def test_a_label_without_a_class_keeps_the_cube_s_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    labels = np.full(SHAPE, 2, np.uint8)
    labels[3] = 77
    assert load(tmp_path, region_task(), labels).labels.tolist() == [1, 1, 1, 1]
    [record] = caplog.records
    assert record.getMessage() == (
        "small: image z3-4_y0-16_x0-16 of region STR is mostly label 77 (no class: the cube's own is kept)"
    )


def test_a_blank_annotation_keeps_the_cube_s_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    labels = np.full(SHAPE, 2, np.uint8)
    labels[3] = 0
    assert load(tmp_path, region_task(), labels).labels.tolist() == [1, 1, 1, 1]
    [record] = caplog.records
    assert record.getMessage() == (
        "small: image z3-4_y0-16_x0-16 of region STR is mostly label 0 (not annotated: the cube's own is kept)"
    )


def test_without_an_annotation_the_cubes_labels_are_the_classes(tmp_path: Path) -> None:
    task = task_settings("classification", annotation_chan=None)
    assert load(tmp_path, task, None).labels.tolist() == [0, 0, 0, 0]
    task = region_task(annotation_chan=None)
    assert load(tmp_path, task, None).labels.tolist() == [1, 1, 1, 1]


def test_regions_of_a_lab_s_own_are_not_read_from_the_annotation(tmp_path: Path) -> None:
    task = task_settings("classification", classes=["A", "B"])
    assert load(tmp_path, task, np.full(SHAPE, 9, np.uint8)).labels.tolist() == [0, 0, 0, 0]


def test_voxels_that_are_not_stored_are_an_error(tmp_path: Path) -> None:
    store = CutoutStore(Folder(tmp_path))
    store.write("image", Roi.at((0, 0, 0), (3, 16, 16)), IMAGE[:3, :16, :16])
    with pytest.raises(StoreError, match=r"256 voxels of box z3-4_y0-16_x0-16 of image are not stored"):
        load_split(store, Identities(("image",)), task_settings(annotation_chan="file:l.npy"), "train")


def readout_task(**changes: Any) -> TaskSettings:
    cubes = [cube("B", split="test", z=(4, 7), label=1), cube("B", label=1), cube("A", z=(0, 7), x=[20, 36])]
    return task_settings("readout", classes=["bg", "vessels", "cells", "axons"], cubes=cubes, **changes)


def test_a_readout_task_has_targets_of_whole_tiles_beside_its_small_images(tmp_path: Path) -> None:
    task = readout_task(downsample=2, max_slices=3)
    arrays_ = load(tmp_path, task)
    assert arrays_.images.shape == (6, 1, 1, 8, 8)
    assert arrays_.masks is None
    assert arrays_.targets is not None
    assert arrays_.labels.tolist() == [1, 1, 1, 0, 0, 0]
    for image, corners, sample in zip(arrays_.images, arrays_.targets, samples(task, "train"), strict=True):
        tile, labels = IMAGE[sample.roi.slices][0], LABELS[sample.roi.slices][0]
        np.testing.assert_array_equal(image[0, 0], slow_average(tile, 2))
        vessels = [100 * np.mean(labels[y : y + 8, x : x + 8] == 1) for y in (0, 8) for x in (0, 8)]
        np.testing.assert_allclose(corners[:, 0], vessels)


def test_splits_that_are_loaded_together_are_those_loaded_one_by_one(tmp_path: Path) -> None:
    task = readout_task()
    alone = {split: load(tmp_path, task, split=split) for split in ("train", "test")}
    store = CutoutStore(Folder(tmp_path))
    together = load_splits(store, Identities(("image",), "labels"), task)
    targets = load_attributes(store, "labels", task)
    assert together.keys() == alone.keys() == targets.keys()
    for split, arrays_ in together.items():
        np.testing.assert_array_equal(arrays_.images, alone[split].images)
        assert arrays_.targets is not None
        np.testing.assert_array_equal(arrays_.targets, targets[split])
        np.testing.assert_array_equal(arrays_.targets, np.asarray(alone[split].targets))


def test_only_readout_tasks_have_targets(tmp_path: Path) -> None:
    assert load(tmp_path, task_settings()).targets is None
    assert load(tmp_path, region_task()).targets is None


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "int8", "int16", "int32", "float16", "float32", "float64"])
def test_averages_keep_the_type_and_round_half_up(dtype: str) -> None:
    random, kind = np.random.default_rng(3), np.dtype(dtype)
    if kind.kind == "f":
        values = random.normal(0, 100, (2, 3, 1, 6, 9)).astype(kind)
    else:
        values = random.integers(np.iinfo(kind).min, np.iinfo(kind).max, (2, 3, 1, 6, 9), kind, endpoint=True)
    found = area_average(values, 3)
    assert (found.dtype, found.shape) == (kind, (2, 3, 1, 2, 3))
    for place in np.ndindex(found.shape):
        rows, columns = (slice(3 * start, 3 * start + 3) for start in place[3:])
        block = [Fraction(each) for each in values[(*place[:3], rows, columns)].ravel().tolist()]
        mean = sum(block) / 9
        if kind.kind == "f":
            np.testing.assert_allclose(float(found[place]), float(mean), atol=500 * float(np.finfo(kind).eps))
        else:
            assert int(found[place]) == math.floor(mean + Fraction(1, 2))


def test_images_of_several_channels_and_16_bits_are_read_as_they_are(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    channels = random.integers(-(2**15), 2**15, (2, *SHAPE)).astype(np.int16)
    store, whole = CutoutStore(Folder(tmp_path)), Roi.at((0, 0, 0), SHAPE)
    for name, voxels in zip("ab", channels, strict=True):
        store.write(name, whole, voxels)
    store.write("labels", whole, LABELS.astype(np.uint16))
    task = task_settings()
    found = load_split(store, Identities(("a", "b"), "labels"), task, "train")
    assert found.images.dtype == np.int16
    assert found.images.shape == (4, 2, 1, 16, 16)
    np.testing.assert_array_equal(found.images[:, :, 0], channels[:, :4, :16, :16].transpose(1, 0, 2, 3))
    np.testing.assert_array_equal(found.masks, load(tmp_path / "8", task).masks)
    store.write("wide", whole, channels[0].astype(np.int64))
    for names, kinds in ((("a", "labels"), "int16, uint16"), (("wide",), "int64")):
        with pytest.raises(InputError, match=f"image_chan: holds {kinds}; accepted: "):
            load_split(store, Identities(names), task, "train")
