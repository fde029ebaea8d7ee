"""Trials whose process is lost, and trials that fail for good."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from ray.tune import ExperimentAnalysis
from ray.tune.experiment import Trial

from mtneuro_ray.cli.main import main
from mtneuro_ray.cluster.dispatch import Dispatch
from mtneuro_ray.cluster.packing import Packing
from mtneuro_ray.cluster.ray_tune import run_all
from mtneuro_ray.cluster.shared import Shared
from mtneuro_ray.config.resources import ResourceSettings
from mtneuro_ray.config.sweeps import load_sweep
from mtneuro_ray.data.ingest import open_volumes
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.results import Results
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord
from mtneuro_ray.sweep.experiment import Experiment
from mtneuro_ray.sweep.sweep import Sweep
from tests.faults.watch import epochs_saved
from tests.tiny import Tiny, write_tiny

pytestmark = pytest.mark.ray

EPOCHS = 30
PATIENCE_S = 300.0
ONE_CELL = "axes.learning_rate = [0.01]"


def with_run(tiny: Tiny, settings: str) -> Tiny:
    tiny.space.write_text(tiny.space.read_text().replace("[1, 100]", "[1]") + f"\n[run]\n{settings}\n")
    return tiny


def experiment_of(tiny: Tiny) -> Experiment:
    """The experiment that repeats the one candidate."""
    _, [(experiment, pair)] = load_sweep(str(tiny.space))
    identities = [channel.identity for channel in open_volumes(pair.task, pair.task_file).channels]
    return Experiment(experiment, pair, tuple(identities))


@contextmanager
def trials_killed_at(out: Path, epoch: int) -> Iterator[list[int]]:
    """SIGKILL a trial's process once its checkpoint holds `epoch`; the epochs of the checkpoint that was left."""
    left: list[int] = []
    stop = threading.Event()

    def wait_and_kill() -> None:
        while not stop.wait(0.02):
            if max(epochs_saved(out).values(), default=0) < epoch:
                continue
            for process in psutil.Process().children(recursive=True):
                if " ".join(process.cmdline()).startswith("ray::ImplicitFunc"):
                    process.kill()
                    psutil.wait_procs([process], timeout=PATIENCE_S)
                    left.extend(epochs_saved(out).values())
                    return

    thread = threading.Thread(target=wait_and_kill)
    thread.start()
    try:
        yield left
    finally:
        stop.set()
        thread.join()


def epochs_trained(record: RunRecord, tiny: Tiny) -> float:
    """By the process that has finished the run."""
    _, [(_, pair)] = load_sweep(str(tiny.space))
    images = sum(cube.z[1] - cube.z[0] for cube in pair.task.cubes if cube.split == "train") * 4
    return record.timings["train_s"] * record.timings["train_images_per_s"] / images


def sweep(tiny: Tiny, out: Path) -> int:
    return main(["sweep", "--space", str(tiny.space), "--out", str(out)])


def test_a_trial_that_is_killed_goes_on_from_its_last_checkpoint(cluster: None, tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path / "tiny", axes=ONE_CELL, epochs=EPOCHS)
    with_run(tiny, "checkpoint_interval_s = 0\nmax_failures = 1")
    assert sweep(tiny, tmp_path / "whole") == 0
    with trials_killed_at(tmp_path / "out", 3) as left:
        assert sweep(tiny, tmp_path / "out") == 0
    [[whole], [resumed]] = Results(tmp_path / "whole").records, Results(tmp_path / "out").records
    assert epochs_trained(whole, tiny) == pytest.approx(EPOCHS)
    [epoch] = left
    assert 3 <= epoch < EPOCHS
    assert epochs_trained(resumed, tiny) == pytest.approx(EPOCHS - epoch)
    assert (resumed.metrics, resumed.history) == (whole.metrics, whole.history)


@pytest.mark.slow
def test_a_run_that_is_killed_on_every_try_is_given_up(
    cluster: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = write_tiny(tmp_path / "tiny", axes=ONE_CELL, epochs=EPOCHS)
    with_run(tiny, "checkpoint_interval_s = 0\nmax_failures = 0")
    with trials_killed_at(tmp_path / "out", 1), trials_killed_at(tmp_path / "out", EPOCHS // 2):
        assert sweep(tiny, tmp_path / "out") == 1
    told = capsys.readouterr().err.splitlines()
    assert told[-1].startswith("failed: network/tiny_segmentation")
    # Once beside others, and once by itself.
    assert "its process was lost (killed, or out of memory) on every try, with a device to itself, too" in told[-1]
    assert [record.status for record in Results(tmp_path / "out").records] == ["error"]
    assert sweep(tiny, tmp_path / "out") == 0


@pytest.mark.slow
def test_a_run_that_can_not_write_is_tried_again_and_then_reported_with_its_error(
    cluster: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = write_tiny(tmp_path / "tiny", axes=ONE_CELL)
    with_run(tiny, "checkpoint_interval_s = 0\nmax_failures = 1")
    out = tmp_path / "out"
    # A folder in the place of a file: an OSError even for root, as a full disk is.
    blocked = out / "checkpoints" / Sweep([experiment_of(tiny)]).known[0].train_id / "last.pt"
    blocked.mkdir(parents=True)
    assert sweep(tiny, out) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[-1].startswith("failed: network/tiny_segmentation")
    assert "IsADirectoryError: [Errno 21] " in told[-1]
    [record] = Results(out).records
    assert record.status == "error"
    assert record.error is not None
    assert told[-1].endswith(record.error)
    blocked.rmdir()
    assert sweep(tiny, out) == 0


@ray.remote
def unreadable() -> None:
    raise RuntimeError("damaged\nin many lines")


@pytest.mark.parametrize(
    "cut_short",
    [None, *(pytest.param(file, marks=pytest.mark.slow) for file in ("error", "state"))],
    ids=["", "Tune's error file is cut short", "Tune's state file is cut short"],
)
def test_a_trial_that_fails_before_its_run_begins_is_reported_with_its_error(
    cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut_short: str | None
) -> None:
    # As Tune reads them back from the output folder, after a disk was full.
    if cut_short == "error":
        monkeypatch.setattr(Trial, "get_pickled_error", lambda trial: pickle.loads(b""))
    elif cut_short == "state":
        monkeypatch.setattr(ExperimentAnalysis, "__init__", lambda analysis, *arguments, **options: json.loads(""))
    tiny = with_run(write_tiny(tmp_path / "tiny", axes=ONE_CELL), "max_failures = 0")
    pipeline, out = Sweep([experiment_of(tiny)]), Folder(tmp_path / "out")
    run = pipeline.known[0].run
    # What an earlier sweep has left of it says nothing about this one.
    RunFolder(out).write(RunRecord.failed(run, "another error"))
    refs: Any = dict.fromkeys(("train", "val", "test"), unreadable.remote())
    monkeypatch.setattr("mtneuro_ray.cluster.shared.share_splits", lambda *arguments, **options: refs)
    resources = ResourceSettings(max_failures=0)
    shared = Shared(CutoutStore(Folder(tmp_path / "store")))
    run_all(pipeline, Dispatch(pipeline, shared, out, resources, Packing(resources)), out, resources)
    record = RunFolder(out).read(run.run_id)
    assert record is not None
    assert record.status == "error"
    assert "damaged" in str(record.error)
    assert len(pipeline.problems()) == len(pipeline.known)
