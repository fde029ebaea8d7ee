"""A run from its settings to its file (`engine.execute`), in one process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.engine import execute as executing
from mtneuro_ray.engine.execute import execute, train_here
from mtneuro_ray.engine.loop import train
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import LAST, MODEL, TRAINED, RunFolder, checkpoint_folder, has_weights
from tests.engine.data import data_of, run_of
from tests.settings import task_settings

RUN = run_of("segmentation", epochs=1)
DIVERGING = run_of("segmentation", epochs=2, optimizer="SGD", learning_rate=1e11, normalization="none")


def test_a_finished_run_leaves_its_file_and_its_weights_and_no_checkpoint(tmp_path: Path) -> None:
    out = Folder(tmp_path)
    context = WorkerContext(checkpoints=checkpoint_folder(out, RUN), checkpoint_interval_s=0)
    record = execute(RUN, data_of("segmentation"), context, out)
    assert record.status == "done"
    assert RunFolder(out).read(RUN.run_id) == record
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    weights = [f"checkpoints/{RUN.train_id}/{name}" for name in (MODEL, TRAINED)]
    assert files == [*weights, f"logs/{RUN.run_id}.log", f"runs/{RUN.run_id}.json"]
    assert set(record.metrics) == {"val", "test"}
    assert record.settings == RUN.model_dump(mode="json")
    assert record.summary == RUN.summary()
    assert record.placement == {"workers": 1, "threads": 1, "device": record.placement["device"]}
    assert {"torch", "numpy", "python", "mtneuro_ray"} <= record.versions.keys()
    assert record.timings["total_s"] > 0


def test_the_file_holds_the_same_numbers_as_a_second_execution(tmp_path: Path) -> None:
    first, second = (train_here(RUN, data_of("segmentation"), Folder(tmp_path / name)) for name in ("a", "b"))
    assert (first.metrics, first.history) == (second.metrics, second.history)


def test_a_run_that_diverges_leaves_its_error(tmp_path: Path) -> None:
    out = Folder(tmp_path)
    record = train_here(DIVERGING, data_of("segmentation"), out)
    assert record.status == "error"
    assert record.error is not None
    assert record.error.startswith("diverged: the loss is ")
    assert RunFolder(out).read(DIVERGING.run_id) == record
    assert not checkpoint_folder(out, DIVERGING).exists(LAST)


def test_a_failure_of_the_program_is_recorded_in_one_line_and_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr(executing, "train", broken)
    with pytest.raises(RuntimeError, match="first line"):
        train_here(RUN, data_of("segmentation"), Folder(tmp_path))
    record = RunFolder(Folder(tmp_path)).read(RUN.run_id)
    assert record is not None
    assert (record.status, record.error) == ("error", "RuntimeError: first line")


def test_a_failed_run_can_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = Folder(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(executing, "train", lambda *arguments, **options: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train_here(RUN, data_of("segmentation"), out)
    assert train_here(RUN, data_of("segmentation"), out).status == "done"
    assert [record.status for record in RunFolder(out).all()] == ["done"]


def test_only_the_leader_writes_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = train(RUN, data_of("segmentation"), WorkerContext())
    monkeypatch.setattr(executing, "train", lambda *arguments, **options: outcome)
    follower = WorkerContext(rank=1, world_size=2, checkpoints=Folder(tmp_path / "c"))
    record = execute(RUN, {}, follower, Folder(tmp_path))
    assert record.status == "done"
    assert list(tmp_path.rglob("*.json")) == []
    execute(RUN, {}, replace(follower, rank=0), Folder(tmp_path))
    assert len(list(tmp_path.rglob("*.json"))) == 1


def test_an_encoder_whose_weights_are_damaged_is_trained_again_by_the_next_submit(tmp_path: Path) -> None:
    out = Folder(tmp_path)
    encoder = run_of("classification", epochs=1)
    weights = checkpoint_folder(out, encoder)
    assert train_here(encoder, data_of("classification"), out).status == "done"
    content = bytearray(weights.read(MODEL))
    content[len(content) // 2] ^= 1
    weights.write(MODEL, bytes(content))
    readout = RunSettings.of(task_settings("readout"), encoder.network, "final", ["image", "labels"], encoder)
    record = execute(readout, {}, WorkerContext(), out)
    assert record.status == "error"
    assert record.error is not None
    assert record.error.endswith(
        "can't be used (ChecksumError: what was written has changed); accepted: to submit again"
    )
    assert not has_weights(out, encoder)
