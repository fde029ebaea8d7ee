"""The watcher of the fault harness sees what it is there to see."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.roi import Roi
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunRecord
from tests.faults.schedule import KINDS, draw
from tests.faults.watch import Watcher, epochs_saved, essence
from tests.settings import run_settings

RUN = run_settings()
DONE = RunRecord(RUN.run_id, "done", RUN.summary(), RUN.model_dump(mode="json"), metrics={"val": {"loss": 0.5}})
BOX = Roi((0, 2), (0, 4), (0, 4))


@pytest.fixture
def watcher(tmp_path: Path) -> Watcher:
    return Watcher(tmp_path / "out", tmp_path / "store", ["volume"])


def write_run(watcher: Watcher, out: Path, record: RunRecord, size: int | None = None) -> None:
    path = out / "runs" / f"{record.run_id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(json.dumps(asdict(record)).encode()[:size])
    watcher.look()


def test_a_sweep_without_fault_shows_no_violation(watcher: Watcher, tmp_path: Path) -> None:
    out = tmp_path / "out"
    watcher.look()
    CutoutStore(Folder(tmp_path / "store")).write("volume", BOX, np.zeros(BOX.shape, np.uint8))
    state = io.BytesIO()
    torch.save({"epoch": 3}, state)
    Folder(out).write("checkpoints/abc/last.pt", state.getvalue())
    Folder(out).write("driver.json", b"{}")
    write_run(watcher, out, RunRecord.failed(RUN, "broken"))
    write_run(watcher, out, DONE)
    watcher.look()
    assert watcher.violations == []
    assert watcher.seen == {"ingest": 1, "checkpoint": 1, "run": 1, "json": 1}
    assert watcher.done == {RUN.run_id}
    assert epochs_saved(out) == {"abc": 3}


def test_a_run_file_that_is_not_whole_is_seen(watcher: Watcher, tmp_path: Path) -> None:
    write_run(watcher, tmp_path / "out", DONE, size=100)
    assert watcher.violations == [f"{RUN.run_id}.json: a run file of 100 bytes that is not whole"]


@pytest.mark.parametrize("again", [replace(DONE, host="elsewhere"), RunRecord.failed(RUN, "lost"), DONE])
def test_a_finished_run_that_is_written_again_is_seen(watcher: Watcher, tmp_path: Path, again: RunRecord) -> None:
    write_run(watcher, tmp_path / "out", DONE)
    path = tmp_path / "out" / "runs" / f"{RUN.run_id}.json"
    path.rename(path.with_suffix(".old"))
    write_run(watcher, tmp_path / "out", again)
    assert watcher.violations == [f"{RUN.run_id}.json: a finished run was written again, now {again.status}"]


def test_a_finished_run_that_is_gone_is_seen(watcher: Watcher, tmp_path: Path) -> None:
    write_run(watcher, tmp_path / "out", DONE)
    (tmp_path / "out" / "runs" / f"{RUN.run_id}.json").unlink()
    watcher.look()
    assert watcher.violations == [f"{RUN.run_id}.json: a finished run is gone"]


@pytest.mark.parametrize("name", ["last.pt", "model.pt", "trained.json"])
def test_a_checkpoint_that_is_not_whole_is_seen(watcher: Watcher, tmp_path: Path, name: str) -> None:
    Folder(tmp_path / "out").write(f"checkpoints/abc/{name}", b"PK\x03")
    watcher.look()
    [violation] = watcher.violations
    assert f"{name}: 3 bytes that are not whole" in violation


def test_a_shard_that_is_not_what_was_written_is_seen(watcher: Watcher, tmp_path: Path) -> None:
    store = tmp_path / "store"
    CutoutStore(Folder(store)).write("volume", BOX, np.zeros(BOX.shape, np.uint8))
    [path] = store.rglob("*.parquet")
    path.write_bytes(path.read_bytes()[:-10])
    watcher.look()
    assert len(watcher.violations) == 1
    assert "bytes that are not whole (StoreError" in watcher.violations[0]


def test_what_the_store_notes_of_a_source_is_whole_or_seen(watcher: Watcher, tmp_path: Path) -> None:
    store = CutoutStore(Folder(tmp_path / "store"))
    store.note("volume", {"voxel_size": [1.17, 1.17, 1.17]})
    watcher.look()
    assert watcher.violations == []
    [path] = (tmp_path / "store").rglob("about.json")
    path.write_bytes(path.read_bytes()[:-3])
    watcher.look()
    [violation] = watcher.violations
    assert "about.json" in violation
    assert "bytes that are not whole" in violation


def test_what_is_compared_leaves_out_what_differs_between_executions(tmp_path: Path) -> None:
    for name, record in (("a", DONE), ("b", replace(DONE, host="there", timings={"total_s": 1.0}))):
        Folder(tmp_path / name).write(f"runs/{record.run_id}.json", json.dumps(asdict(record)).encode())
    assert essence(tmp_path / "a") == essence(tmp_path / "b")
    assert essence(tmp_path / "a")[RUN.run_id]["metrics"] == DONE.metrics


def test_a_seed_says_which_faults_and_twenty_of_them_have_all_kinds() -> None:
    schedules = [draw(seed) for seed in range(20)]
    assert schedules == [draw(seed) for seed in range(20)]
    assert {fault.kind for faults in schedules for fault in faults} == set(KINDS)
    assert {len(faults) for faults in schedules} == {2, 3}
