"""Patches: what they hold, how they are balanced, and the images that cover the cubes of a split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtneuro_ray.config.loading import load_task
from mtneuro_ray.config.preset import preset_named
from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.data import cubes as cubes_module
from mtneuro_ray.data import sampling as plan
from mtneuro_ray.data import stored_cubes
from mtneuro_ray.data.ahead import read_ahead
from mtneuro_ray.data.class_labels import IGNORED
from mtneuro_ray.data.cubes import CubeArrays, counted, load_cubes, strips_of
from mtneuro_ray.data.identities import Identities
from mtneuro_ray.data.patches import PatchPlan
from mtneuro_ray.data.samples import load_split
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.data.stored import describe, joined, parts_of
from mtneuro_ray.data.stored_cubes import StoredCubes, StoredPatches
from mtneuro_ray.data.streamed import on_device, statistics_images
from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Roi, Shape
from mtneuro_ray.storage.folder import Folder
from tests.data.stored import IDENTITIES, filled_store
from tests.settings import cube, task_settings

CPU = torch.device("cpu")
PATCHES = {"kind": "patches", "patches_per_epoch": 50}
Masks = list[npt.NDArray[np.uint8]]


def drawing(size: Shape, shapes: list[Shape], **sampling: Any) -> TaskSettings:
    """A task whose training cubes, of regions A and B by turns, have these shapes; in a row along y."""
    cubes = [cube("AB"[n % 2], z=(0, z), y=[100 * n, 100 * n + y], x=[5, 5 + x]) for n, (z, y, x) in enumerate(shapes)]
    rest = [cube(split=split, z=(z, z + size[0]), y=[0, 99], x=[0, 99]) for split, z in (("val", 90), ("test", 95))]
    return task_settings(
        sampling={**PATCHES, **sampling}, volume_z=size[0], tile_size=list(size[1:]), cubes=[*cubes, *rest]
    )


def cubes_of(
    size: Shape, shapes: list[Shape], masks: Masks | None = None, seed: int = 0, **sampling: Any
) -> CubeArrays:
    """Cubes whose grey value is the number of the voxel, so that a patch tells its place; class 2 is rare."""
    random, task = np.random.default_rng(seed), drawing(size, shapes, **sampling)
    if masks is None:
        masks = [random.choice(np.array([0, 1, 2, 255], np.uint8), shape, p=(0.5, 0.3, 0.02, 0.18)) for shape in shapes]
        masks[0].flat[:3] = (0, 1, 2)
    first = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
    values = [np.arange(start, stop).reshape(each) for start, stop, each in zip(first, first[1:], shapes, strict=False)]
    strips = (masks[number][roi.slices] for number, roi in strips_of(task.cubes[: len(shapes)]))
    return CubeArrays.of(
        task,
        "train",
        counted(strips, 3),
        np.dtype(np.int32),
        values=tuple(np.stack([each, -each]).astype(np.int32) for each in values),
        classes=tuple(masks),
    )


def places(arrays: CubeArrays, seed: int = 0, epoch: int = 0, number: int = 50) -> list[tuple[int, Roi]]:
    drawn = PatchPlan(arrays, seed)
    return drawn.places(np.arange(number) + epoch * drawn.count)


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
    arrays = cubes_of(size, shapes, seed=seed, balance=balance)
    split = on_device(arrays, CPU, seed)
    with split.announced([], 3):
        batch = split.gather(np.arange(50))
    assert batch.images.shape == (50, 2, *size)
    assert batch.masks is not None
    starts = np.cumsum([0, *(each[0].size for each in arrays.values)])
    for image, mask in zip(batch.images.numpy(), batch.masks.numpy(), strict=True):
        number = int(np.searchsorted(starts, image[0, 0, 0, 0], side="right")) - 1
        inside = np.unravel_index(image[0, 0, 0, 0] - starts[number], shapes[number])
        roi = Roi.at([int(at) for at in inside], size)
        assert roi.within(shapes[number])
        np.testing.assert_array_equal(image, arrays.values[number][(slice(None), *roi.slices)])
        np.testing.assert_array_equal(mask, arrays.classes[number][roi.slices])
        assert (mask != IGNORED).any()


def test_a_patch_depends_on_seed_epoch_and_index_alone() -> None:
    shapes: list[Shape] = [(5, 20, 20), (4, 30, 10)]
    arrays, more = cubes_of((2, 4, 4), shapes), cubes_of((2, 4, 4), shapes, patches_per_epoch=60)
    expected = places(arrays, 7, epoch=2)
    shuffled = np.random.default_rng(0).permutation(50)
    assert [expected[index] for index in shuffled] == PatchPlan(more, 7).places(2 * 60 + shuffled)
    assert expected not in (places(arrays, 8, epoch=2), places(arrays, 7, epoch=3))


def test_places_are_those_of_a_list_of_all_voxels() -> None:
    """Strips find the voxel that a list of all voxels of a class would hold at the same place."""
    arrays = cubes_of((2, 3, 4), [(3, 400, 200), (2, 7, 5)], balance="class")
    drawn = np.random.Generator(np.random.Philox(key=[4, 1], counter=[0, 0, 0, 7])).random((50, 5))
    voxels = [
        [(number, *at) for number, mask in enumerate(arrays.classes) for at in np.argwhere(mask == name).tolist()]
        for name in range(3)
    ]
    expected = []
    for group, voxel, *shares in drawn.tolist():
        own = voxels[int(group * 3)]
        number, *at = own[int(voxel * len(own))]
        whole = arrays.classes[number].shape
        low = [a - int(s * n) for a, s, n in zip(at, shares, (2, 3, 4), strict=True)]
        low = [min(max(a, 0), side - n) for a, side, n in zip(low, whole, (2, 3, 4), strict=True)]
        expected.append((number, Roi.at(low, (2, 3, 4))))
    assert places(arrays, 4, epoch=1) == expected


def test_balance_draws_classes_and_regions_equally() -> None:
    shapes: list[Shape] = [(10, 20, 20), (10, 20, 20)]
    masks = [np.zeros(shape, np.uint8) for shape in shapes]
    masks[1].flat[:40] = 1  # 1 voxel in 200
    for balance, expected in (("none", 0.005), ("class", 0.5)):
        arrays = cubes_of((1, 1, 1), shapes, masks, patches_per_epoch=2000, balance=balance)
        drawn = arrays.masks(places(arrays, number=2000))
        assert (drawn == 1).mean() == pytest.approx(expected, abs=0.03)
    masks[0].flat[10:] = IGNORED  # 10 voxels of region A that count, 4000 of B
    for balance, expected in (("none", 0.0025), ("region", 0.5)):
        arrays = cubes_of((1, 1, 1), shapes, masks, patches_per_epoch=2000, balance=balance)
        assert np.mean([number == 0 for number, _ in places(arrays, number=2000)]) == pytest.approx(expected, abs=0.03)


def test_places_are_uniform_but_for_the_border() -> None:
    arrays = cubes_of((1, 1, 4), [(1, 1, 40)], [np.zeros((1, 1, 40), np.uint8)], patches_per_epoch=5000)
    starts = [roi.x[0] for _, roi in places(arrays, 1, number=5000)]
    counts = np.bincount(starts, minlength=37) / 5000
    np.testing.assert_allclose(counts[1:-1], 1 / 40, atol=0.008)
    # Patches that would begin outside lie at the border.
    np.testing.assert_allclose(counts[[0, -1]], 2.5 / 40, atol=0.01)


def test_what_lies_under_ignored_voxels_does_not_move_a_patch(tmp_path: Path) -> None:
    """Other labels where the mask says that none counts."""
    found = []
    for value in (0, 2):
        store, _, labels = stored(tmp_path / str(value))
        mask = (np.random.default_rng(5).random(labels.shape) < 0.5).astype(np.uint8)
        whole = Roi.at((0, 0, 0), labels.shape)
        store.write("other", whole, np.where(mask, labels, np.uint8(value)))
        store.write("mask", whole, mask)
        task = patches_task(mask_chan="file:mask.npy", sampling={**PATCHES, "balance": "class"})
        arrays = load_cubes(store, Identities(("image",), "other", "mask"), task, "train")
        found.append((places(arrays), arrays.class_counts(3).tolist(), [each.tolist() for each in arrays.classes]))
    assert found[0] == found[1]


def patches_task(**changes: Any) -> TaskSettings:
    values: dict[str, Any] = {
        "sampling": PATCHES,
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


def stored(folder: Path) -> tuple[CutoutStore, npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    random, shape = np.random.default_rng(2), (15, 60, 40)
    image, labels = random.integers(0, 256, shape, dtype=np.uint8), random.integers(0, 3, shape, dtype=np.uint8)
    store, whole = CutoutStore(Folder(folder)), Roi.at((0, 0, 0), shape)
    store.write("image", whole, image)
    store.write("labels", whole, labels)
    return store, image, labels


def test_cells_hold_every_voxel_of_the_cubes_once(tmp_path: Path) -> None:
    store, image, labels = stored(tmp_path)
    task, identities = patches_task(), Identities(("image",), "labels")
    assert plan.channel_boxes(task)[0] == sorted(each.roi for each in task.cubes)
    assert plan.remainders(task) == []
    for split in ("train", "val", "test"):
        arrays = load_cubes(store, identities, task, split)
        counts = np.zeros(labels.shape, int)
        for (number, cell), (also, roi) in zip(arrays.cells, arrays.images, strict=True):
            assert number == also
            assert roi.shape == arrays.size
            assert not cell.minus(roi)
            counts[arrays.cubes[number].roi.slices][cell.slices] += 1
        expected = np.zeros(labels.shape, int)
        for number, each in enumerate(arrays.cubes):
            expected[each.roi.slices] = 1
            np.testing.assert_array_equal(arrays.values[number][0], image[each.roi.slices])
            np.testing.assert_array_equal(arrays.classes[number], labels[each.roi.slices])
        np.testing.assert_array_equal(counts, expected)
        np.testing.assert_array_equal(
            arrays.class_counts(3).sum(0), np.bincount(labels[expected.astype(bool)], minlength=3)
        )
        # As plain images, neighbours overlap at the end of a cube.
        tiles = load_split(store, identities, task, split)
        images, masks = arrays.read(np.arange(len(arrays)))
        np.testing.assert_array_equal(tiles.images, images)
        np.testing.assert_array_equal(tiles.masks, masks)
        np.testing.assert_array_equal(tiles.regions, arrays.regions)
    assert plan.count_samples(task, "train") == 50
    # Windows of 2 x 16 x 16 voxels, each half of its side after the other: 4 x 4 x 4 of 5 x 40 x 33 voxels.
    assert [plan.count_predicted(task, split) for split in ("val", "test")] == [4 * 4 * 4, 4 * 2 * 2]
    assert plan.count_predicted(task.replace("task", max_slices=1), "val") == -(-64 // 3)
    assert plan.describe(task, [1, 1])["splits"]["train"] == {"images": 50, "per_class": {"patches": 50}}
    assert len(statistics_images(load_cubes(store, identities, task, "train"))) == 30


def test_max_slices_leaves_out_slices_of_val_and_test_only(tmp_path: Path) -> None:
    store, _, labels = stored(tmp_path)
    task, identities = patches_task(max_slices=1), Identities(("image",), "labels")
    val = load_cubes(store, identities, task, "val")
    assert {roi.z for _, roi in val.cells} == {(2, 4)}
    np.testing.assert_array_equal(val.class_counts(3)[0], np.bincount(labels[7:9, 0:40, 3:36].ravel()))
    assert {roi.z for _, roi in load_cubes(store, identities, task, "train").cells} == {(0, 2), (2, 4), (4, 5)}


def test_patches_come_from_annotated_boxes(tmp_path: Path) -> None:
    store, _, _ = stored(tmp_path)
    task = patches_task(annotated=[{"z": [0, 1], "y": [50, 60], "x": [0, 40]}, {"z": [5, 15]}])
    arrays = load_cubes(store, Identities(("image",), "labels"), task, "train")
    assert {number for number, _ in places(arrays)} == {1}
    store.write("nothing", Roi.at((0, 0, 0), (15, 60, 40)), np.full((15, 60, 40), 9, np.uint8))
    task = patches_task(ignore_labels=[9])
    with pytest.raises(InputError, match=r"no voxel of the train split is left"):
        load_cubes(store, Identities(("image",), "nothing"), task, "train")


def test_cubes_of_several_volumes_come_from_their_own(tmp_path: Path) -> None:
    store, image, labels = stored(tmp_path)
    whole = Roi.at((0, 0, 0), image.shape)
    store.write("second", whole, 255 - image)
    store.write("their labels", whole, 2 - labels)
    cubes = [{**each.model_dump(mode="json"), "volume": "other"} for each in patches_task().cubes[1:2]]
    task = patches_task(
        cubes=[*(each.model_dump(mode="json") for each in patches_task().cubes[:1]), *cubes]
        + [each.model_dump(mode="json") for each in patches_task().cubes[2:]],
        volumes={"other": {"image_chan": "file:other.npy", "annotation_chan": "file:their.npy"}},
    )
    parts = {"": Identities(("image",), "labels"), "other": Identities(("second",), "their labels")}
    arrays = load_cubes(store, Identities((), parts=parts), task, "train")
    np.testing.assert_array_equal(arrays.values[0][0], image[task.cubes[0].roi.slices])
    np.testing.assert_array_equal(arrays.values[1][0], 255 - image[task.cubes[1].roi.slices])
    np.testing.assert_array_equal(arrays.classes[1], 2 - labels[task.cubes[1].roi.slices])


@pytest.mark.parametrize("parts", [1, 3, 100])
def test_cubes_in_the_store_hold_what_those_in_memory_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    # Boxes that cut strips, and several strips in a slice.
    monkeypatch.setattr(stored_cubes, "CUTOUT_SHAPE", (4, 10, 16))
    monkeypatch.setattr(cubes_module, "STRIP", 150)
    store = filled_store(tmp_path)
    cubes = [
        cube(z=(0, 6), y=[3, 40], x=[2, 40]),
        cube("B", z=(8, 11)),
        cube(split="val", z=(12, 15)),
        cube(split="test", z=(16, 18)),
    ]
    task = patches_task(cubes=cubes, sampling={**PATCHES, "balance": "class"})
    expected = load_cubes(store, IDENTITIES, task, "train")
    pieces = [describe(store, IDENTITIES, task, "train", *part) for part in parts_of(task, "train", parts)]
    found = joined(store, IDENTITIES, task, "train", 10**6, pieces)
    assert isinstance(found, StoredCubes)
    np.testing.assert_array_equal(found.counts, expected.counts)
    assert found.dtype == expected.dtype
    for arrays in zip(found.read(np.arange(5)), expected.read(np.arange(5)), strict=True):
        np.testing.assert_array_equal(*arrays)
    for each, other in zip(statistics_images(found), statistics_images(expected), strict=True):
        np.testing.assert_array_equal(each, other)
    plan, numbers = PatchPlan(found, 1), np.arange(60)
    assert plan.places(numbers) == PatchPlan(expected, 1).places(numbers)
    # Read ahead, in windows of a few patches.
    batches = np.array_split(numbers, 7)
    patches = StoredPatches(found, plan)
    for (images, masks), batch in zip(read_ahead(patches, batches), batches, strict=True):
        for own, wanted in zip((images, masks), expected.voxels(plan.places(batch)), strict=True):
            np.testing.assert_array_equal(own, wanted)


def test_patches_are_taken_in_an_epoch_only() -> None:
    split = on_device(cubes_of((2, 4, 4), [(5, 20, 20)]), CPU, 0)
    assert len(split) == 50
    with pytest.raises(InputError, match=r"^sampling: "):
        split.gather(np.arange(2))
    with pytest.raises(InputError, match=r"^sampling: "):
        split.part(0, 1)
    with split.announced([], 1):
        assert split.gather(np.arange(0)).images.shape == (0, 2, 2, 4, 4)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"sampling": {"kind": "patches"}}, "sampling.patches_per_epoch: is missing; accepted: 1 to 1000000"),
        ({"sampling": {"patches_per_epoch": 4}}, "sampling: has keys of patches; accepted: 'kind': 'patches'"),
        ({"sampling": {"kind": "patches", "patches_per_epoch": 0}}, "sampling.patches_per_epoch: is 0"),
        ({"sampling": {"kind": "patch"}}, "sampling.kind: is 'patch'"),
        ({"tile_stride": [4, 4]}, "tile_stride: is not for sampling by patches; accepted: leave it out"),
        ({"downsample": 2}, "downsample: is not for sampling by patches; accepted: leave it out"),
        ({"tile_size": [50, 16]}, "tile_size: 50 x 16 is larger than cube 0"),
    ],
)
def test_bad_settings_are_one_line(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError) as caught:
        patches_task(**changes)
    assert str(caught.value).startswith(f"task.json: {text}")


def test_patches_need_a_class_per_voxel() -> None:
    with pytest.raises(InputError, match=r"sampling\.kind: patches need a class per voxel"):
        task_settings("classification", sampling=PATCHES)


def test_the_smoke_preset_draws_fewer_patches() -> None:
    task = patches_task(sampling={"kind": "patches", "patches_per_epoch": 5000, "balance": "class"})
    small = preset_named("smoke", "--preset").scale_task(task, "task.json")
    assert (small.sampling.patches_per_epoch, small.sampling.balance) == (64, "class")


def test_the_example_of_the_page_is_a_task_with_flat_patches() -> None:
    task, _ = load_task("examples/patches.json")
    assert (task.image_size, task.sampling.balance) == ((4, 64, 64), "class")
    assert {size % 4 for cube in task.cubes for size in cube.roi.shape} != {0}
