"""Patches: what they hold, how they are balanced, and the images that cover a cube in evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtneuro_ray.config.preset import preset_named
from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.data import sampling as plan
from mtneuro_ray.data.identities import Identities
from mtneuro_ray.data.labels import IGNORED
from mtneuro_ray.data.mosaic import overlapping
from mtneuro_ray.data.patches import CubeArrays, PatchPlan
from mtneuro_ray.data.resident import on_device
from mtneuro_ray.data.samples import load_cubes, load_for_training, load_split
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Roi, Shape
from mtneuro_ray.storage.folder import Folder
from tests.settings import cube, task_settings

CPU = torch.device("cpu")


def cubes_of(shapes: tuple[Shape, ...], size: Shape, seed: int = 0, **changes: Any) -> CubeArrays:
    """Cubes whose grey value is the number of the voxel, so that a patch tells its place; class 2 is rare."""
    random = np.random.default_rng(seed)
    voxels = sum(int(np.prod(shape)) for shape in shapes)
    masks = random.choice(np.array([0, 1, 2, IGNORED], np.uint8), voxels, p=(0.5, 0.3, 0.02, 0.18))
    masks[:3] = (0, 1, 2)
    values: dict[str, Any] = {
        "images": np.stack([np.arange(voxels), -np.arange(voxels)]).astype(np.int32),
        "masks": masks,
        "shapes": shapes,
        "regions": np.arange(len(shapes)) % 2,
        "region_names": ("A", "B"),
        "size": size,
        "count": 50,
    }
    return CubeArrays(**{**values, **changes})


@settings(max_examples=40, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(2, 6), st.integers(3, 9), st.integers(3, 9)), min_size=1, max_size=3),
    size=st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 3)),
    seed=st.integers(0, 5),
    balance=st.sampled_from(["none", "class", "region"]),
)
def test_a_patch_is_a_box_of_one_cube_with_a_voxel_that_counts(
    shapes: list[Shape], size: Shape, seed: int, balance: Any
) -> None:
    arrays = cubes_of(tuple(shapes), size, seed, balance=balance)
    batch = on_device(arrays, CPU, seed).gather(np.arange(50), 3)
    assert batch.images.shape == (50, 2, *size)
    assert batch.masks is not None
    starts = arrays.starts
    for image, mask in zip(batch.images.numpy(), batch.masks.numpy(), strict=True):
        first = image[0, 0, 0, 0]
        number = int(np.searchsorted(starts, first, side="right")) - 1
        inside = np.unravel_index(first - starts[number], arrays.shapes[number])
        roi = Roi.at([int(at) for at in inside], size)
        assert roi.within(arrays.shapes[number])
        whole = arrays.images[:, starts[number] : starts[number + 1]].reshape(2, *arrays.shapes[number])
        np.testing.assert_array_equal(image, whole[(slice(None), *roi.slices)])
        np.testing.assert_array_equal(mask, arrays.mask(number)[roi.slices])
        assert (mask != IGNORED).any()


def test_a_patch_depends_on_seed_epoch_and_index_alone() -> None:
    arrays = cubes_of(((5, 20, 20), (4, 30, 10)), (2, 4, 4))
    places = PatchPlan(arrays, 7).places(2, np.arange(50))
    shuffled = np.random.default_rng(0).permutation(50)
    again = PatchPlan(cubes_of(((5, 20, 20), (4, 30, 10)), (2, 4, 4), count=60), 7).places(2, shuffled)
    assert [places[index] for index in shuffled] == again
    for seed, epoch in ((8, 2), (7, 3)):
        assert PatchPlan(arrays, seed).places(epoch, np.arange(50)) != places


def test_balance_draws_classes_and_regions_equally() -> None:
    masks = np.zeros(2 * 4000, np.uint8)
    masks[4000:4040] = 1  # 1 voxel in 200, in the second cube
    shapes: tuple[Shape, ...] = ((10, 20, 20), (10, 20, 20))
    for balance, expected in (("none", 0.005), ("class", 0.5)):
        arrays = cubes_of(shapes, (1, 1, 1), masks=masks, count=4000, balance=balance)
        batch = on_device(arrays, CPU, 0).gather(np.arange(4000), 0)
        assert batch.masks is not None
        assert (batch.masks == 1).double().mean() == pytest.approx(expected, abs=0.03)
    masks[10:4000] = IGNORED  # 10 voxels of region A that count, 4000 of B
    for balance, expected in (("none", 0.0025), ("region", 0.5)):
        arrays = cubes_of(shapes, (1, 1, 1), masks=masks, count=4000, balance=balance)
        drawn = [number for number, _ in PatchPlan(arrays, 0).places(0, np.arange(4000))]
        assert np.mean(np.array(drawn) == 0) == pytest.approx(expected, abs=0.03)


def test_places_are_uniform_but_for_the_border() -> None:
    arrays = cubes_of(((1, 1, 40),), (1, 1, 4), masks=np.zeros(40, np.uint8), count=20_000)
    starts = [roi.x[0] for _, roi in PatchPlan(arrays, 1).places(0, np.arange(20_000))]
    counts = np.bincount(starts, minlength=37) / 20_000
    np.testing.assert_allclose(counts[1:-1], 1 / 40, atol=0.006)
    # Patches that would begin outside lie at the border.
    np.testing.assert_allclose(counts[[0, -1]], 2.5 / 40, atol=0.01)


def patches_task(**changes: Any) -> TaskSettings:
    values: dict[str, Any] = {
        "sampling": {"kind": "patches", "patches_per_epoch": 20},
        "tile_size": [16, 16],
        "volume_z": 2,
        "cubes": [
            cube(z=(0, 5), y=[0, 40], x=[3, 36]),
            cube("B", z=(0, 5), y=[41, 57], x=[3, 19]),
            cube(split="val", z=(5, 10), y=[0, 40], x=[3, 36]),
            cube(split="test", z=(10, 15), y=[0, 20], x=[3, 20]),
        ],
    }
    return task_settings(**{**values, **changes})


def stored(folder: Path) -> tuple[CutoutStore, np.ndarray, np.ndarray]:
    random = np.random.default_rng(2)
    shape = (15, 60, 40)
    image, labels = random.integers(0, 256, shape, dtype=np.uint8), random.integers(0, 3, shape, dtype=np.uint8)
    store, whole = CutoutStore(Folder(folder)), Roi.at((0, 0, 0), shape)
    store.write("image", whole, image)
    store.write("labels", whole, labels)
    return store, image, labels


def test_evaluation_counts_every_voxel_of_a_split_once(tmp_path: Path) -> None:
    store, _, labels = stored(tmp_path)
    task = patches_task()
    for split in ("train", "val", "test"):
        arrays = load_split(store, Identities(("image",), "labels"), task, split)
        assert arrays.masks is not None
        counts = np.zeros(labels.shape, int)
        for sample, mask in zip(plan.samples(task, split), arrays.masks, strict=True):
            counts[sample.roi.slices] += mask != IGNORED
            assert ((mask == labels[sample.roi.slices]) | (mask == IGNORED)).all()
        expected = np.zeros(labels.shape, int)
        for each in task.cubes:
            if each.split == split:
                expected[each.roi.slices] = 1
        np.testing.assert_array_equal(counts, expected)
    assert overlapping(task)
    assert plan.remainders(task) == []
    assert task.ignoring == ("sampling",)


def test_the_training_split_is_its_whole_cubes(tmp_path: Path) -> None:
    store, image, labels = stored(tmp_path)
    task, identities = patches_task(), Identities(("image",), "labels")
    assert plan.channel_boxes(task)[0] == sorted(each.roi for each in task.cubes)
    arrays = load_cubes(store, identities, task)
    for number, each in enumerate(task.cubes[:2]):
        first, last = arrays.starts[number : number + 2]
        np.testing.assert_array_equal(arrays.images[0, first:last], image[each.roi.slices].ravel())
        np.testing.assert_array_equal(arrays.mask(number), labels[each.roi.slices])
    whole = load_split(store, identities, task, "train")
    np.testing.assert_array_equal(arrays.class_counts(3), whole.class_counts(3))
    assert isinstance(load_for_training(store, identities, task, "train"), CubeArrays)
    assert not isinstance(load_for_training(store, identities, task, "val"), CubeArrays)
    assert len(arrays) == plan.count_samples(task, "train") == 20
    assert plan.describe(task, [1, 1])["splits"]["train"] == {"images": 20, "per_class": {"patches": 20}}
    annotated = patches_task(annotated=[{"z": [0, 1], "y": [50, 60], "x": [0, 40]}, {"z": [5, 15]}])
    found = load_cubes(store, identities, annotated)
    assert {number for number, _ in PatchPlan(found, 0).places(0, np.arange(20))} == {1}


def test_a_method_that_names_no_epoch_is_refused() -> None:
    split = on_device(cubes_of(((5, 20, 20),), (2, 4, 4)), CPU, 0)
    assert len(split) == 50
    with pytest.raises(InputError, match=r"^sampling: "):
        split.gather(np.arange(2))
    with pytest.raises(InputError, match=r"^sampling: "):
        split.part(0, 1)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"sampling": {"kind": "patches"}}, "sampling.patches_per_epoch: is missing; accepted: 1 to 10000000"),
        ({"sampling": {"patches_per_epoch": 4}}, "sampling: has keys of patches; accepted: 'kind': 'patches'"),
        ({"sampling": {"kind": "patches", "patches_per_epoch": 0}}, "sampling.patches_per_epoch: is 0"),
        ({"sampling": {"kind": "patch"}}, "sampling.kind: is 'patch'"),
        ({"tile_stride": [4, 4]}, "tile_stride: is not for sampling by patches; accepted: leave it out"),
        ({"downsample": 2}, "downsample: is not for sampling by patches; accepted: leave it out"),
    ],
)
def test_bad_settings_are_one_line(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError) as caught:
        patches_task(**changes)
    assert str(caught.value).startswith(f"task.json: {text}")


def test_patches_need_a_class_per_voxel() -> None:
    sampling = {"kind": "patches", "patches_per_epoch": 4}
    with pytest.raises(InputError, match=r"sampling\.kind: patches need a class per voxel"):
        task_settings("classification", sampling=sampling)


def test_the_smoke_preset_draws_fewer_patches() -> None:
    task = patches_task(sampling={"kind": "patches", "patches_per_epoch": 5000, "balance": "class"})
    small = preset_named("smoke", "--preset").scale_task(task, "task.json")
    assert (small.sampling.patches_per_epoch, small.sampling.balance) == (64, "class")
