from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtneuro_ray.errors import InputError
from mtneuro_ray.onboarding.label_scan import LabelScan, scan_labels
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.source import open_volume


def scan(folder: Path, labels: np.ndarray, **options: Any) -> LabelScan:
    np.save(folder / "labels.npy", labels)
    return scan_labels(open_volume(f"file:{folder}/labels.npy"), **options)


def balls(shape: tuple[int, int, int] = (40, 60, 60), number: int = 12, radius: int = 6) -> np.ndarray:
    """Instance ids: balls at random places."""
    random = np.random.default_rng(3)
    grid = np.indices(shape)
    ids = np.zeros(shape, np.uint64)
    for n in range(number):
        centre = [random.integers(radius, side - radius) for side in shape]
        near = sum((axis - at) ** 2 for axis, at in zip(grid, centre, strict=True)) < radius**2
        ids[near] = n + 1
    return ids


def test_counts_are_those_of_each_slice_along_each_axis(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).choice(np.array([0, 3, 7], np.uint8), (5, 9, 11))
    found = scan(tmp_path, labels)
    assert found.labels == (0, 3, 7)
    assert found.is_whole
    assert found.totals == {label: int((labels == label).sum()) for label in (0, 3, 7)}
    for axis in range(3):
        planes = np.moveaxis(labels, axis, 0)
        for n, label in enumerate(found.labels):
            np.testing.assert_array_equal(found.counts[axis][:, n], (planes == label).sum(axis=(1, 2)))
        assert set(found.read[axis]) == {labels.size // labels.shape[axis]}


@pytest.mark.parametrize(
    ("dtype", "values", "void"),
    [
        ("uint8", [0, 1, 2, 255], (255,)),
        ("int16", [-1, 0, 1, 255, 32767], (-1, 32767)),
        ("uint64", [0, 1, 2**32 - 1, 2**64 - 1], (2**64 - 1,)),
        ("bool", [0, 1], ()),
    ],
)
def test_filled_voxels_have_a_label_that_is_neither_0_nor_void(
    tmp_path: Path, dtype: str, values: list[int], void: tuple[int, ...]
) -> None:
    labels = np.random.default_rng(0).choice(np.array(values, dtype), (5, 9, 11))
    found = scan(tmp_path, labels)
    assert found.void == void
    np.testing.assert_array_equal(found.filled, (labels != 0) & ~np.isin(labels, np.array(void, dtype)))


def test_many_values_are_instance_ids(tmp_path: Path) -> None:
    ids = balls(number=40, radius=4)
    ids[ids > 0] += 2**40
    found = scan(tmp_path, ids)
    assert found.labels == (0, 1)
    assert found.num_instances == len(np.unique(ids)) - 1
    assert found.totals == {0: int((ids == 0).sum()), 1: int((ids > 0).sum())}


@pytest.mark.parametrize(
    ("values", "labels", "void"),
    [([0, 255], (0, 255), ()), ([0, 1, 255], (0, 1), (255,)), ([1, 2], (1, 2), ()), ([0, 1, 200], (0, 1, 200), ())],
)
def test_the_greatest_value_beside_small_ones_means_not_annotated(
    tmp_path: Path, values: list[int], labels: tuple[int, ...], void: tuple[int, ...]
) -> None:
    found = scan(tmp_path, np.random.default_rng(0).choice(np.array(values, np.uint8), (4, 8, 8)))
    assert (found.labels, found.void) == (labels, void)


def test_one_value_everywhere_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"every voxel that was read is 3; accepted: two labels or more"):
        scan(tmp_path, np.full((3, 8, 8), 3, np.uint8))


def test_single_annotated_slices_are_found_and_objects_are_no_slices(tmp_path: Path) -> None:
    dense = (balls() > 0).astype(np.uint8)
    assert scan(tmp_path, dense).annotated_slices is None
    # Few objects, with empty slices between them, which end gradually.
    few = np.zeros((60, 60, 60), np.uint8)
    for start in (2, 22, 42):
        few[start : start + 12, 10:40, 10:40] = balls((13, 30, 30), 1, 6)[:12] > 0
    assert scan(tmp_path, few).annotated_slices is None
    slices = [n for n in range(40) if n % 10 == 4]
    sparse = np.zeros_like(dense)
    sparse[slices] = dense[slices]
    assert scan(tmp_path, sparse).annotated_slices == tuple(slices)


def test_single_annotated_slices_of_a_large_volume_are_found_in_a_sample(tmp_path: Path) -> None:
    labels = np.zeros((200, 256, 256), np.uint8)
    labels[5::10, ::2] = 1
    found = scan(tmp_path, labels, most_voxels=100_000)
    assert not found.is_whole
    assert found.read[0].sum() < labels.size / 2
    assert found.annotated_slices == tuple(range(5, 200, 10))


def test_the_annotated_box_is_that_of_the_labels(tmp_path: Path) -> None:
    labels = np.zeros((30, 40, 50), np.uint8)
    labels[4:20, 8:30, 5:45] = np.random.default_rng(0).integers(0, 3, (16, 22, 40))
    found = scan(tmp_path, labels)
    assert found.annotated_box == Roi((4, 20), (8, 30), (5, 45))
    assert scan(tmp_path, labels + 1).annotated_box == Roi((0, 30), (0, 40), (0, 50))
    large = labels.repeat(8, axis=0).repeat(8, axis=1).repeat(8, axis=2)
    wide = scan(tmp_path, large, most_voxels=1_000_000).annotated_box
    whole = Roi((32, 160), (64, 240), (40, 360))
    assert wide.intersection(whole) == whole
    assert wide.num_voxels < 3 * whole.num_voxels


def test_labels_outside_of_a_mask_count_for_nothing(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 3, (12, 20, 24)).astype(np.uint8)
    mask = np.zeros_like(labels)
    mask[2:9, 4:15, 6:20] = 1
    np.save(tmp_path / "mask.npy", mask)
    inside = open_volume(f"file:{tmp_path}/mask.npy")
    found = scan(tmp_path, labels, mask=inside)
    changed = np.where(mask == 0, 9, labels).astype(np.uint8)
    again = scan(tmp_path, changed, mask=inside)
    assert found.annotated_box == again.annotated_box == Roi((2, 9), (4, 15), (6, 20))
    assert found.totals == again.totals == {n: int((labels[mask > 0] == n).sum()) for n in range(3)}
    np.save(tmp_path / "mask.npy", mask * 0)
    with pytest.raises(InputError, match="outside of the mask"):
        scan(tmp_path, labels, mask=open_volume(f"file:{tmp_path}/mask.npy"))


def test_the_number_of_classes_that_is_asked_for_decides_what_is_an_instance(tmp_path: Path) -> None:
    few = np.random.default_rng(0).integers(0, 6, (6, 12, 12)).astype(np.uint8)
    assert scan(tmp_path, few).labels == tuple(range(6))
    assert scan(tmp_path, few, num_classes=2).totals == {0: int((few == 0).sum()), 1: int((few > 0).sum())}
    many = np.random.default_rng(0).integers(0, 40, (6, 32, 32)).astype(np.uint16)
    assert scan(tmp_path, many).num_instances == 39
    assert scan(tmp_path, many, num_classes=40).totals == {n: int((many == n).sum()) for n in range(40)}
    with pytest.raises(InputError, match="40 labels and no 0: taken for instances, they leave no background"):
        scan(tmp_path, many + 1)
