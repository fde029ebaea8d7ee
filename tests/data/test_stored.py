from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mtneuro_ray.data.ahead import in_windows
from mtneuro_ray.data.identities import Identities
from mtneuro_ray.data.resident import Batch, ResidentSplit
from mtneuro_ray.data.stored import exceeds, parts_of, read_bytes, split_bytes
from mtneuro_ray.data.streamed import StreamedSplit, on_device
from mtneuro_ray.errors import StoreError
from mtneuro_ray.roi import Roi
from tests.data.stored import IDENTITIES, SHAPE, filled_store, resident, stored
from tests.settings import cube, task_settings

CPU = torch.device("cpu")
TASK = task_settings(
    cubes=[
        cube(z=(0, 6), y=[3, 40], x=[2, 40]),
        cube("B", z=(8, 11)),
        cube(split="val", z=(12, 15)),
        cube(split="test", z=(16, 18)),
    ]
)


def equal(one: Batch, other: Batch) -> bool:
    masks = one.masks is None and other.masks is None
    if one.masks is not None and other.masks is not None:
        masks = torch.equal(one.masks, other.masks)
    return torch.equal(one.images, other.images) and masks and torch.equal(one.labels, other.labels)


@pytest.mark.parametrize("changes", [{}, {"downsample": 2}, {"volume_z": 2}])
def test_a_stored_split_knows_what_one_in_memory_holds(tmp_path: Path, changes: dict[str, Any]) -> None:
    task, store = TASK.replace("task", **changes), filled_store(tmp_path)
    for split, expected in resident(store, task).items():
        found = stored(store, task)[split]
        assert (len(found), found.region_names) == (len(expected), expected.region_names)
        np.testing.assert_array_equal(found.labels, expected.labels)
        np.testing.assert_array_equal(found.regions, expected.regions)
        np.testing.assert_array_equal(found.class_counts(3), expected.class_counts(3))
        chosen = np.array([len(found) - 1, 0, len(found) - 1])
        images, masks = found.read(chosen)
        np.testing.assert_array_equal(images, expected.images[chosen])
        np.testing.assert_array_equal(masks, np.asarray(expected.masks)[chosen])
        assert expected.masks is not None
        assert split_bytes(task, len(found)) == found.num_bytes == expected.images.nbytes + expected.masks.nbytes
        empty, _ = found.read(np.array([], np.int64))
        assert (empty.shape, empty.dtype) == ((0, *expected.images.shape[1:]), expected.images.dtype)


def test_a_split_over_several_volumes_is_stored_too(tmp_path: Path) -> None:
    """Cubes of two volumes in turn, of which one has a wider type."""
    store, box = filled_store(tmp_path), Roi.at((0, 0, 0), SHAPE)
    [image], [labels] = store.read("image", [box]), store.read("labels", [box])
    store.write("wide", box, image[::-1].astype(np.uint16) * 200)
    store.write("flipped", box, labels[::-1])
    cubes = TASK.model_dump(mode="json")["cubes"]
    train = [cube(z=(at, at + 2), x=[0, 40], volume=name) for at, name in ((0, None), (2, "b"), (4, None), (6, "b"))]
    task = task_settings(
        volumes={"b": {"image_chan": "file:wide.npy", "annotation_chan": "file:flipped.npy"}},
        cubes=[*train, *cubes[2:]],
    )
    identities = Identities((), parts={"": IDENTITIES, "b": Identities(("wide",), "flipped")})
    expected, found = resident(store, task, identities)["train"], stored(store, task, identities=identities)["train"]
    assert expected.images.dtype == found.dtype == np.uint16
    assert expected.masks is not None
    assert found.num_bytes == expected.images.nbytes + expected.masks.nbytes
    np.testing.assert_array_equal(found.class_counts(3), expected.class_counts(3))
    for chosen in (np.arange(len(found))[::-1], np.array([0, 0]), np.array([5]), np.array([], np.int64)):
        images, masks = found.read(chosen)
        np.testing.assert_array_equal(images, expected.images[chosen])
        assert images.dtype == expected.images.dtype
        np.testing.assert_array_equal(np.asarray(masks), expected.masks[chosen])
    for budget, streams in ((found.num_bytes - 1, True), (found.num_bytes, False)):
        assert exceeds(store, identities, task, "train", budget) is streams


def test_labels_of_whole_images_come_from_their_annotation(tmp_path: Path) -> None:
    task = task_settings("classification", annotation_map={1: 1, 2: 2}, cubes=TASK.model_dump(mode="json")["cubes"])
    store = filled_store(tmp_path)
    expected, found = resident(store, task)["train"], stored(store, task)["train"]
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.class_counts(3), expected.class_counts(3))
    assert len(set(found.labels.tolist())) > 1
    assert found.read(np.array([0]))[1] is None


@given(st.lists(st.integers(0, 9), max_size=40), st.integers(1, 10**6))
def test_windows_are_the_batches_in_order_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = [np.full(length, number, np.int64) for number, length in enumerate(lengths)]
    windows = list(in_windows(batches, read_bytes(TASK), budget))
    assert [id(batch) for window in windows for batch in window] == [id(batch) for batch in batches]
    for window in windows:
        assert len(window) == 1 or sum(map(len, window)) <= max(1, budget // 4 // read_bytes(TASK))


@given(st.integers(1, 40))
def test_parts_are_adjacent_and_none_is_empty(number: int) -> None:
    parts = parts_of(TASK, "train", number)
    assert [index for part in parts for index in range(*part)] == list(range(27))
    assert len(parts) == min(number, 27)


def test_batches_come_ahead_in_any_order_and_others_when_they_are_asked_for(tmp_path: Path) -> None:
    store = filled_store(tmp_path)
    expected = ResidentSplit(resident(store, TASK)["train"], CPU)
    split = on_device(stored(store, TASK)["train"], CPU)
    assert isinstance(split, StreamedSplit)
    assert split.voxels == expected.voxels
    random = np.random.default_rng(0)
    batches = [random.integers(0, len(split), size) for size in (3, 0, 5, 1, 4, 4, 7, 2)]
    other = np.array([5, 2])
    with split.announced(iter(batches)):
        for number, indices in enumerate(batches):
            if number % 3 == 2:
                assert equal(split.gather(other), expected.gather(other))
                for place, batch in split.walk(4, 9):
                    assert equal(batch, expected.part(place.start, place.stop))
            assert equal(split.gather(indices), expected.gather(indices))
    assert equal(split.gather(batches[0]), expected.gather(batches[0]))


def test_each_shard_is_decoded_once_for_a_window_and_the_thread_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled_store(tmp_path)
    split = on_device(stored(store, TASK, 10**9)["train"], CPU)
    decoded: list[Any] = []
    read_shard = type(store).read_shard
    monkeypatch.setattr(
        type(store),
        "read_shard",
        lambda own, *box: (decoded.append(box), read_shard(own, *box))[1],  # type: ignore[func-returns-value]
    )
    before = threading.active_count()
    with split.announced(np.array_split(np.random.default_rng(0).permutation(len(split)), 9)):
        split.gather(np.random.default_rng(0).permutation(len(split))[:3])
    assert len(decoded) == len(set(decoded))
    assert threading.active_count() == before


def test_a_lost_shard_is_an_error_where_its_batch_is_taken(tmp_path: Path) -> None:
    store = filled_store(tmp_path)
    # Windows of one image.
    split = on_device(stored(store, TASK, 1)["train"], CPU)
    for roi in store.boxes("image"):
        if roi.origin == (0, 0, 0):
            store._source_folder("image").delete(f"{roi}.parquet")
    with split.announced([np.array([20]), np.array([0])]):
        split.gather(np.array([20]))
        with pytest.raises(StoreError, match="are not stored"):
            split.gather(np.array([0]))


def test_the_type_of_boxes_is_that_of_their_shards_together(tmp_path: Path) -> None:
    store, whole = filled_store(tmp_path), Roi.at((0, 0, 0), SHAPE)
    assert store.dtype("image", [whole]) == np.uint8
    box = Roi.at((SHAPE[0], 0, 0), (2, 2, 2))
    store.write("image", box, np.full(box.shape, -1, np.int16))
    both = Roi((0, SHAPE[0] + 2), (0, 2), (0, 2))
    assert store.dtype("image", [both]) == store.read("image", [both])[0].dtype == np.int16
    with pytest.raises(StoreError, match="no voxels of other are stored"):
        store.dtype("other", [whole])
