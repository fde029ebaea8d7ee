import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.data import sampling as plan
from mtneuro_ray.data.ingest import (
    Volumes,
    check_alignment,
    fetch_here,
    open_volumes,
    pending,
)
from mtneuro_ray.data.ingest import ingest as ingest_task
from mtneuro_ray.data.store import CutoutStore, ingest_lock
from mtneuro_ray.data.verify import verify
from mtneuro_ray.errors import InputError, SourceError, StoreError
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.volumes.address_options import AddressOptions
from mtneuro_ray.volumes.files import FileSource
from tests.settings import cube, task_settings
from tests.volumes.sources import MemoryVolume

SHAPE = (12, 24, 40)


@pytest.fixture(autouse=True)
def small_cutouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several cutouts per box of these small tasks."""
    monkeypatch.setattr(plan, "CUTOUT_SHAPE", (2, 16, 16))


def volumes(fails_after: int | None = None, dtype: Any = np.uint64) -> tuple[MemoryVolume, MemoryVolume, Volumes]:
    random = np.random.default_rng(0)
    image = MemoryVolume(random.integers(0, 256, SHAPE, dtype=np.uint8), "image", fails_after)
    labels = MemoryVolume(random.integers(0, 3, SHAPE, dtype=dtype), "labels")
    return image, labels, Volumes((image,), labels)


def ingest(store: CutoutStore, task: TaskSettings, opened: Volumes) -> int:
    """Bytes that came from the sources."""
    taken: list[int] = []
    fetch_here(store, pending(store, task, opened), taken.append)
    return sum(taken)


def needed(*tasks: TaskSettings) -> np.ndarray[Any, np.dtype[np.int64]]:
    """1 where a task has an image."""
    wanted = np.zeros(SHAPE, np.int64)
    for task in tasks:
        for roi in plan.boxes(task):
            wanted[roi.slices] = 1
    return wanted


ONE = task_settings()
OTHER = task_settings(
    tile_size=[12, 12],
    cubes=[
        cube(z=(2, 8), y=[8, 20], x=[4, 36]),
        cube(split="val", z=(8, 9), y=[0, 12], x=[0, 24]),
        cube(split="test", z=(9, 12), y=[0, 24], x=[0, 12]),
    ],
)


def test_tasks_that_share_boxes_read_every_voxel_once(tmp_path: Path) -> None:
    store = CutoutStore(Folder(tmp_path))
    image, labels, opened = volumes()
    total = ingest(store, ONE, opened) + ingest(store, OTHER, opened)
    assert (needed(ONE) & needed(OTHER)).any()
    for source in (image, labels):
        np.testing.assert_array_equal(source.reads, needed(ONE, OTHER))
    assert total == needed(ONE, OTHER).sum() * (1 + 8)


def test_a_second_ingest_reads_nothing(tmp_path: Path) -> None:
    store = CutoutStore(Folder(tmp_path))
    _, _, opened = volumes()
    ingest(store, ONE, opened)
    assert pending(store, ONE, opened) == []
    assert ingest(store, ONE, volumes(fails_after=0)[2]) == 0


def test_what_was_ingested_is_what_the_source_holds(tmp_path: Path) -> None:
    store = CutoutStore(Folder(tmp_path))
    image, labels, opened = volumes()
    ingest(store, OTHER, opened)
    boxes = plan.boxes(OTHER)
    for source in (image, labels):
        for roi, voxels in zip(boxes, store.read(source.identity, boxes), strict=True):
            np.testing.assert_array_equal(voxels, source.read(roi))


def test_a_damaged_shard_is_fetched_again_and_nothing_else(tmp_path: Path) -> None:
    store = CutoutStore(Folder(tmp_path))
    ingest(store, ONE, volumes()[2])
    image, labels, opened = volumes()
    damaged = store.boxes(image.identity)[1]
    next(tmp_path.rglob(f"{damaged}.parquet")).write_bytes(b"")
    boxes = [each.roi for each in pending(store, ONE, opened)]
    ingest(store, ONE, opened)
    # The image and the labels have shards of the same names; one of the two was damaged.
    assert boxes == [damaged]
    assert image.reads.sum() + labels.reads.sum() == damaged.num_voxels


@pytest.mark.parametrize("reads", [0, 1, 3])
def test_an_interrupted_ingest_goes_on_where_it_stopped(tmp_path: Path, reads: int) -> None:
    store = CutoutStore(Folder(tmp_path))
    first, _, opened = volumes(fails_after=reads)
    with pytest.raises(SourceError, match="gone"):
        ingest(store, ONE, opened)
    assert len(store.boxes(first.identity)) == reads
    second, _, opened = volumes()
    ingest(store, ONE, opened)
    np.testing.assert_array_equal(first.reads + second.reads, needed(ONE))


def test_channels_of_16_bits_are_stored_as_they_are_and_checked_again(tmp_path: Path) -> None:
    store = CutoutStore(Folder(tmp_path))
    random = np.random.default_rng(0)
    channels = [MemoryVolume(random.integers(0, 2**16, SHAPE, np.uint16), name) for name in ("red", "green")]
    opened = Volumes(tuple(channels), None)
    assert ingest(store, ONE, opened) == 2 * 2 * needed(ONE).sum()
    assert pending(store, ONE, opened) == []
    for source in channels:
        stored = store.read(source.identity, plan.boxes(ONE))
        assert {voxels.dtype for voxels in stored} == {np.dtype(np.uint16)}
        np.testing.assert_array_equal(stored[0], source.read(plan.boxes(ONE)[0]))
    assert verify(store, ONE, opened, num_boxes=1, seed=0) > 0
    channels[1]._voxels += 1
    with pytest.raises(SourceError, match="memory:green: box"):
        verify(store, ONE, opened, num_boxes=1, seed=0)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (np.zeros(SHAPE, np.uint16), "memory:other holds uint16, the first channel uint8"),
        (np.zeros((1, 2, 3), np.uint8), "image_chan: memory:other is 1 x 2 x 3 voxels, the image 12 x 24 x 40"),
    ],
)
def test_channels_that_do_not_fit_together_are_refused(other: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_alignment(Volumes((volumes()[0], MemoryVolume(other, "other")), None), "task.json")


def test_a_box_outside_the_volume_is_refused_when_the_volumes_are_opened(tmp_path: Path) -> None:
    for name, depth in (("image", 10), ("labels", 10), ("image", 9), ("labels", 9)):
        if depth == 9 and name == "image":
            open_volumes(task_settings(), tmp_path / "task.json")
        np.save(tmp_path / f"{name}.npy", np.zeros((depth, 16, 16), np.uint8))
    with pytest.raises(InputError) as caught:
        open_volumes(task_settings(), tmp_path / "task.json")
    assert str(caught.value) == (
        f"{tmp_path / 'task.json'}: cubes.2.z: ends at 10, outside the volume; accepted: at most 9"
    )


def test_a_readout_task_reads_sampled_images_and_the_annotation_of_whole_cubes(tmp_path: Path) -> None:
    store = CutoutStore(Folder(tmp_path))
    image, labels, opened = volumes()
    cubes = [cube(z=(1, 6), x=[0, 20]), cube(split="test", z=(6, 11))]
    task = task_settings("readout", cubes=cubes, max_slices=2)
    ingest(store, task, opened)
    whole = np.zeros(SHAPE, np.int64)
    for each in task.cubes:
        whole[each.roi.slices] = 1
    np.testing.assert_array_equal(labels.reads, whole)
    np.testing.assert_array_equal(image.reads, needed(task))
    assert image.reads.sum() == 4 * 256


def test_the_voxel_size_of_the_metadata_is_kept_and_that_of_an_address_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = CutoutStore(Folder(tmp_path / "store"))
    for name in ("image", "labels"):
        np.save(tmp_path / f"{name}.npy", np.full((10, 16, 16), len(name), np.uint8))
    image = FileSource(tmp_path / "image.npy")
    stated = Volumes((image,), FileSource(tmp_path / "labels.npy", options=AddressOptions(voxel_size_um=(4, 2, 2))))
    stated.note(store)
    assert store.about(image.identity) == {}
    image.voxel_size_um = (4.0, 2.0, 2.0)
    labels = FileSource(tmp_path / "labels.npy")
    Volumes((image,), labels).note(store)
    stated.note(store)
    assert store.about(labels.identity)["voxel_size_um"] == [4, 2, 2]
    assert not caplog.messages
    image.voxel_size_um = (4.0, 1.0, 1.0)
    Volumes((image,), None).note(store)
    assert "has voxels of [4.0, 1.0, 1.0] um (z, y, x), before [4.0, 2.0, 2.0]: results in micro" in caplog.text


def test_a_readout_task_without_a_class_is_refused_when_its_volumes_are_opened(tmp_path: Path) -> None:
    for name in ("image", "labels"):
        np.save(tmp_path / f"{name}.npy", np.zeros((10, 16, 16), np.uint8))
    with pytest.raises(InputError, match=r"task\.json: classes: 'axons' is missing; accepted: "):
        open_volumes(task_settings("readout"), tmp_path / "task.json")
    open_volumes(task_settings("readout", classes=["axons", "vessels", "cells"]), tmp_path / "task.json")


def test_an_annotation_that_no_class_is_read_from_is_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", np.zeros((10, 16, 16), np.uint8))
    task = task_settings("classification", annotation_chan="file:none.npy")
    assert task.label_map is None
    assert len(open_volumes(task, tmp_path / "task.json").channels) == 1


def aligned(image: Any = (), labels: Any = ()) -> Volumes:
    """Volumes of one shape, with attributes changed."""
    both = volumes()[2]
    for source, changes in zip(both.channels, (dict(image), dict(labels)), strict=True):
        for key, value in changes.items():
            setattr(source, key, value)
    return both


@pytest.mark.parametrize(
    ("image", "labels", "words"),
    [
        ({}, {"shape": (12, 12, 20)}, "annotation_chan: memory:labels is 12 x 12 x 20 voxels, the image 12 x 24 x 40"),
        ({"voxel_size_um": (2.0, 1.0, 1.0)}, {"voxel_size_um": (1.0, 1.0, 1.0)}, "has a voxel size [1.0, 1.0, 1.0] um"),
        ({"origin_um": (0.0, 0.0, 0.0)}, {"origin_um": (0.0, 5.0, 0.0)}, "has its origin at [0.0, 5.0, 0.0] um"),
        ({"indexed": True}, {}, "image_chan: memory:image has a palette"),
    ],
)
def test_an_annotation_that_does_not_lie_on_the_image_is_refused(image: Any, labels: Any, words: str) -> None:
    with pytest.raises(InputError) as caught:
        check_alignment(aligned(image, labels), "task.json")
    assert str(caught.value).startswith("task.json: ")
    assert words in str(caught.value)
    assert "accepted: " in str(caught.value)


def test_volumes_that_fit_or_do_not_say_are_accepted() -> None:
    check_alignment(aligned(), "task.json")
    check_alignment(aligned({"voxel_size_um": (2.0, 1.0, 1.0)}, {"indexed": True}), "task.json")
    check_alignment(aligned({"voxel_size_um": (1.17,) * 3}, {"voxel_size_um": (1.1700001,) * 3}), "task.json")
    check_alignment(Volumes((volumes()[0],), None), "task.json")


def test_verification_finds_voxels_that_differ(tmp_path: Path) -> None:
    store = CutoutStore(Folder(tmp_path))
    _, labels, opened = volumes()
    ingest(store, ONE, opened)
    assert verify(store, ONE, opened, seed=0) > 1000
    labels._voxels = labels._voxels.copy()
    labels._voxels[:, ::4] ^= np.uint64(1)
    with pytest.raises(SourceError, match=r"^memory:labels: box z\S+: \d+ of \d+ voxels differ from those in "):
        verify(store, ONE, opened, seed=0)


def test_what_no_image_holds_is_said_by_ingest(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("image", "labels"):
        np.save(tmp_path / f"{name}.npy", np.zeros((10, 16, 20), np.uint8))
    cubes = [cube(x=[0, 20]), cube(split="val", z=(5, 7)), cube(split="test", z=(8, 10))]
    ingest_task(CutoutStore(Folder(tmp_path)), task_settings(cubes=cubes), tmp_path / "task.json")
    assert "small: 1 of 3 cubes: cubes.0 (A, train): no image holds 20 % of its voxels: x 4 of 20" in caplog.text


def test_one_ingest_at_a_time(tmp_path: Path) -> None:
    from filelock import FileLock, Timeout

    store = CutoutStore(Folder(tmp_path / "store"))
    with ingest_lock(store), pytest.raises(Timeout):
        FileLock(tmp_path / "store" / "ingest.lock", timeout=0).acquire()
    with FileLock(tmp_path / "store" / "ingest.lock", timeout=0):
        pass


def test_a_complete_store_that_can_only_be_read_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "image.npy", np.zeros(SHAPE, np.uint8))
    np.save(tmp_path / "labels.npy", np.zeros(SHAPE, np.int64))
    store = CutoutStore(Folder(tmp_path / "store"))
    ingest_task(store, ONE, tmp_path / "task.json")

    def refuse(*arguments: Any, **options: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    # Permissions do not hold back root, as whom tests may run.
    monkeypatch.setattr("mtneuro_ray.data.store.FileLock.acquire", refuse)
    for name in ("write", "delete"):
        monkeypatch.setattr(Folder, name, refuse)
    ingest_task(store, ONE, tmp_path / "task.json")
    shard, *_ = sorted((tmp_path / "store").glob("*/*.parquet"))
    content = shard.read_bytes()
    shard.write_bytes(content[:50])
    with pytest.raises(StoreError, match=r"is damaged .*, and can't be deleted: Permission denied"):
        ingest_task(store, ONE, tmp_path / "task.json")
    shard.unlink()
    with pytest.raises(StoreError, match=r"shard z.* can't be written: Permission denied"):
        ingest_task(store, ONE, tmp_path / "task.json")


def test_a_second_ingest_waits_for_the_first_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    import threading
    import time

    store = CutoutStore(Folder(tmp_path / "store"))
    held, order = threading.Event(), []

    def first() -> None:
        with ingest_lock(store):
            held.set()
            time.sleep(1.5)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    assert held.wait(10)
    with ingest_lock(store):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]
    assert "another ingest" in caplog.text


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"shape": (12, 24, 39)}, "is 12 x 24 x 39 voxels, the image 12 x 24 x 40; accepted: the same"),
        ({"voxel_size_um": (4.0, 1.0, 1.0)}, "has a voxel size [4.0, 1.0, 1.0] um"),
        ({"origin_um": (0.0, 0.0, 3.0)}, "has its origin at [0.0, 0.0, 3.0] um"),
    ],
    ids=str,
)
@pytest.mark.parametrize("key", ["annotation", "mask"])
def test_labels_that_do_not_lie_on_the_image_are_refused(key: str, changes: dict[str, Any], problem: str) -> None:
    image, labels, _ = volumes()
    image.voxel_size_um, image.origin_um = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)
    other = MemoryVolume(np.zeros(SHAPE, np.uint8), "other")
    for name, value in changes.items():
        setattr(other, name, value)
    annotation, mask = (other, None) if key == "annotation" else (labels, other)
    both = Volumes((image,), annotation, mask)
    with pytest.raises(InputError) as caught:
        check_alignment(both, "task.json")
    assert str(caught.value).startswith(f"task.json: {key}_chan: {other.uri} {problem}")


def test_a_readout_task_without_one_of_its_classes_is_refused() -> None:
    task = task_settings("readout", classes=["bg", "vessels", "cells"])
    with pytest.raises(InputError) as caught:
        open_volumes(task, Path("task.json"))
    assert str(caught.value) == (
        "task.json: classes: 'axons' is missing; accepted: in a readout task, vessels, cells, axons and others"
    )
