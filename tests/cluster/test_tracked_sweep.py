"""A sweep that fills trackers while it runs."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from mtneuro_ray.cluster.driver import Where, sweep
from mtneuro_ray.config.sweeps import load_sweep
from mtneuro_ray.data.ingest import identities_of
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.results import Results
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord
from mtneuro_ray.sweep.experiment import Experiment
from mtneuro_ray.sweep.sweep import Sweep
from tests.tiny import write_tiny
from tests.trackers.sample import Memory

TRACKERS = '\n[run]\ntrackers = ["tests.trackers.sample:BROKEN", "tensorboard"]\n'


def events(out: Path) -> dict[str, int]:
    """Run id -> time at which its event file was written."""
    files = (out / "trackers/tensorboard/out").rglob("*tfevents*")
    return {path.parent.name: path.stat().st_mtime_ns for path in files}


@pytest.mark.ray
def test_a_tracked_sweep_and_its_second_submission_add_each_run_once(
    cluster: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiny, out = write_tiny(tmp_path / "tiny", epochs=1), tmp_path / "out"
    tiny.space.write_text(tiny.space.read_text() + TRACKERS)
    space, entries = load_sweep(str(tiny.space))
    where = Where(CutoutStore(Folder(out / "store")), Folder(out))
    with caplog.at_level(logging.WARNING):
        assert sweep(entries, space.run, where) == []
    told = [record.getMessage() for record in caplog.records if "BROKEN" in record.getMessage()]
    assert len(told) == 1
    run_ids = {record.run_id for record in Results(out).records}
    first = events(out)
    assert first.keys() == run_ids
    assert len(run_ids) == 6
    # As after a driver that was killed between a run's file and its events, and one that was killed before both.
    lost, open_run, *_ = sorted(run_ids)
    for run_id in (lost, open_run):
        [folder] = (out / "trackers").rglob(run_id)
        shutil.rmtree(folder)
    (out / f"runs/{open_run}.json").unlink()
    assert sweep(entries, space.run, where) == []
    again = events(out)
    assert again.keys() == run_ids
    assert {run_id for run_id in run_ids if again[run_id] != first[run_id]} == {lost, open_run}


def test_a_sweep_that_is_done_fills_its_trackers_without_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Memory, "kept", {})
    tiny, out = write_tiny(tmp_path / "tiny"), Folder(tmp_path / "out")
    tiny.space.write_text(tiny.space.read_text() + '\n[run]\ntrackers = ["tests.trackers.sample:MEMORY"]\n')
    space, entries = load_sweep(str(tiny.space))
    pipeline = Sweep(Experiment.of_entries(entries, identities_of), [], lambda run: False)
    waiting = list(pipeline.ready())
    while waiting:
        run = waiting.pop().run
        metrics = {"val": {"dataset/iou_mean": 0.5, "loss": 1.0}}
        record = RunRecord(run.run_id, "done", run.summary(), run.model_dump(mode="json"), metrics)
        RunFolder(out).write(record)
        waiting += pipeline.end(record)
    assert len(RunFolder(out).ids()) == 6
    assert sweep(entries, space.run, Where(CutoutStore(out / "store"), out)) == []
    assert sorted(Memory.kept["out"]) == RunFolder(out).ids()
