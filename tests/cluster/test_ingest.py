from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from mtneuro_ray.cluster.ray_data import fetch_all, get_splits, results, share_task
from mtneuro_ray.config.base import read_json
from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.data.ingest import Cutout, ingest
from mtneuro_ray.data.samples import SplitArrays, load_split
from mtneuro_ray.data.sampling import boxes, missing
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.errors import SourceError, StoreError
from mtneuro_ray.roi import Roi
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.volumes.bossdb import BossSettings, BossSource
from tests.bossdb_server import BossServer
from tests.tiny import write_tiny

pytestmark = pytest.mark.ray

SHAPE = (40, 70, 90)
WANTED = [Roi((0, 40), (0, 64), (0, 64)), Roi((10, 30), (20, 70), (30, 90))]


@pytest.fixture
def volume() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(3).integers(1, 255, SHAPE, dtype=np.uint8)


def _source(server: BossServer) -> BossSource:
    settings = BossSettings(server.host, "http", timeout_s=5.0, attempts=2, backoff_s=0.01)
    return BossSource("bossdb://lab/brain/image", settings)


def _fetch(store: CutoutStore, source: BossSource) -> int:
    asked: list[int] = []
    todo = missing(WANTED, store.boxes(source.identity))
    fetch_all(store, [Cutout(source, roi) for roi in todo], asked.append)
    return sum(asked)


def test_every_voxel_is_asked_once_and_a_second_ingest_reads_nothing(
    cluster: None, tmp_path: Path, volume: np.ndarray[Any, np.dtype[np.uint8]]
) -> None:
    store = CutoutStore(Folder(tmp_path))
    with BossServer({"lab/brain/image": volume}) as server:
        source = _source(server)
        asked = _fetch(store, source)
        served = np.zeros(SHAPE, np.int64)
        for _, roi in server.boxes:
            served[roi.slices] += 1
        wanted = np.zeros(SHAPE, bool)
        for roi in WANTED:
            wanted[roi.slices] = True
        assert (served == wanted).all()
        assert asked == wanted.sum()
        assert missing(WANTED, store.boxes(source.identity)) == []
        for roi, voxels in zip(WANTED, store.read(source.identity, WANTED), strict=True):
            assert (voxels == volume[roi.slices]).all()


def test_a_source_that_fails_for_good_is_one_error_and_keeps_what_was_read(
    cluster: None, tmp_path: Path, volume: np.ndarray[Any, np.dtype[np.uint8]]
) -> None:
    store = CutoutStore(Folder(tmp_path))
    with BossServer({"lab/brain/image": volume}) as server:
        source = _source(server)
        store.write(source.identity, WANTED[1], volume[WANTED[1].slices])
        server.fail(forever="503")
        with pytest.raises(SourceError) as raised:
            _fetch(store, source)
        assert "\n" not in str(raised.value)
        assert "503" in str(raised.value)
        assert store.boxes(source.identity) == [WANTED[1]]


def test_a_store_that_can_not_be_written_is_one_error(
    cluster: None, tmp_path: Path, volume: np.ndarray[Any, np.dtype[np.uint8]]
) -> None:
    store = CutoutStore(Folder(tmp_path))
    with BossServer({"lab/brain/image": volume}) as server:
        source = _source(server)
        store.write(source.identity, WANTED[1], volume[WANTED[1].slices])
        [shard] = tmp_path.rglob("*.parquet")
        for roi in missing(WANTED, store.boxes(source.identity)):
            # A folder in the place of a file: an OSError even for root, as a full disk is.
            (shard.parent / f"{roi}.parquet").mkdir()
        with pytest.raises(StoreError, match=r"shard z.* can't be written: Is a directory"):
            _fetch(store, source)
        assert store.boxes(source.identity) == [WANTED[1]]


@ray.remote
def _fail_to_read() -> None:
    raise OSError(5, "Input/output error", "shard")


def test_a_disk_that_fails_a_task_is_an_error_of_the_disk(cluster: None) -> None:
    with pytest.raises(OSError, match=r"^\[Errno 5\] Input/output error: 'shard'$"):
        results([_fail_to_read.remote()])


def test_labels_of_many_bits_are_stored_as_they_are(cluster: None, tmp_path: Path) -> None:
    store = CutoutStore(Folder(tmp_path))
    ids = np.full(SHAPE, 2**64 - 1, np.uint64)
    ids[:, ::2] = 300
    with BossServer({"lab/brain/image": ids}) as server:
        source = _source(server)
        _fetch(store, source)
    for roi, voxels in zip(WANTED, store.read(source.identity, WANTED), strict=True):
        np.testing.assert_array_equal(voxels, ids[roi.slices])


def test_shared_splits_equal_those_loaded_here_and_damage_is_fetched_again(cluster: None, tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path / "tiny")
    task = TaskSettings.load(read_json(tiny.task), "task")
    store = CutoutStore(Folder(tmp_path / "store"))
    volumes = ingest(store, task, tiny.task, fetch_all)
    shards = sorted((tmp_path / "store").rglob("*.parquet"))
    shards[0].write_bytes(shards[0].read_bytes()[:-40])
    shared = get_splits(share_task(store, task, tiny.task))
    assert set(shared) == {"train", "val", "test"}
    assert volumes.annotation is not None
    for split, arrays in shared.items():
        here = load_split(store, volumes.identities, task, split)
        assert isinstance(arrays, SplitArrays)
        assert (arrays.images == here.images).all()
        assert arrays.masks is not None
        assert here.masks is not None
        assert (arrays.masks == here.masks).all()
    image = np.load(tiny.image)
    first = boxes(task)[0]
    assert (store.read(volumes.images[0].identity, [first])[0] == image[first.slices]).all()
