"""Each tracker read back with its own reader: nested, with settings, history and metrics, and pushed twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder
from tests.trackers.sample import HISTORY, mended, push_to, write_runs


@pytest.fixture
def out(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "my_sweep")


def test_tensorboards_reader_finds_each_run_once_with_steps_and_settings(out: Folder, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    candidate, final, failed = write_runs(out)
    place = tmp_path / "events"
    assert push_to(f"tensorboard://{place}", out) == (3, 0)
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    assert push_to(f"tensorboard://{place}", out) == (0, 3)
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before

    def read(record: Any) -> Any:
        experiment = f"{record.summary['model']}/{record.summary['task']}"
        found = accumulator.EventAccumulator(str(place / "my_sweep" / experiment / record.run_id))
        return found.Reload()

    events = read(final)
    scalars = [(event.step, event.value) for event in events.Scalars("val/dataset/iou_mean")]
    assert scalars == [(entry["epoch"], pytest.approx(entry["val/dataset/iou_mean"])) for entry in HISTORY]
    assert events.Scalars("val/dataset/iou_mean")[-1].wall_time == pytest.approx(1_700_000_030)
    assert "val/loss" not in events.Tags()["scalars"]
    assert events.Scalars("final/test/dataset/iou_mean")[0].value == pytest.approx(0.25)
    assert "_hparams_/session_start_info" in events.SummaryMetadata.__self__.summary_metadata
    assert b"runs/" in events.Tensors("run/text_summary")[0].tensor_proto.string_val[0]
    assert len(read(candidate).Scalars("train/loss")) == 1
    RunFolder(out).write(mended(failed))
    assert push_to(f"tensorboard://{place}", out) == (1, 2)
    assert len(read(failed).Scalars("train/loss")) == 3
    assert len(list(place.rglob("*tfevents*"))) == 3


def test_mlflow_has_sweep_experiment_and_run_nested_and_each_once(out: Folder, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    candidate, final, failed = write_runs(out)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert push_to(f"mlflow:{uri}", out) == (3, 0)
    assert push_to(f"mlflow:{uri}", out) == (0, 3)
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("my_sweep")
    runs = client.search_runs([experiment.experiment_id])
    parents = {run.info.run_id: run.info.run_name for run in runs if "mlflow.parentRunId" not in run.data.tags}
    assert sorted(parents.values()) == ["net/small", "other/small"]
    own = {run.data.tags["mtneuro.run_id"]: run for run in runs if "mtneuro.run_id" in run.data.tags}
    assert own.keys() == {candidate.run_id, final.run_id, failed.run_id}
    found = own[final.run_id]
    assert parents[found.data.tags["mlflow.parentRunId"]] == "other/small"
    assert found.data.params["optimizer.learning_rate"] == "0.01"
    assert found.data.metrics["final/test/dataset/iou_mean"] == pytest.approx(0.25)
    history = client.get_metric_history(found.info.run_id, "val/dataset/iou_mean")
    assert [(each.step, each.value) for each in history] == [
        (entry["epoch"], entry["val/dataset/iou_mean"]) for entry in HISTORY
    ]
    assert (found.info.status, own[failed.run_id].info.status) == ("FINISHED", "FAILED")
    assert found.data.tags["link.run file"] == str(out / f"runs/{final.run_id}.json")
    RunFolder(out).write(mended(failed))
    assert push_to(f"mlflow:{uri}", out) == (1, 2)
    assert len(client.search_runs([experiment.experiment_id])) == 5


def test_a_run_that_mlflow_has_in_part_is_written_again(
    out: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    from mtneuro_ray.errors import MTNeuroError

    write_runs(out)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, "set_terminated", _gone)
        with pytest.raises(MTNeuroError, match="the server went away"):
            push_to(f"mlflow:{uri}", out)
    assert push_to(f"mlflow:{uri}", out) == (3, 0)
    client = mlflow.MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("my_sweep").experiment_id])
    assert len([run for run in runs if "mtneuro.run_id" in run.data.tags]) == 3


def _gone(*arguments: object, **options: object) -> None:
    raise ConnectionError("the server went away")


def log_records(content: bytes) -> Iterator[bytes]:
    """Records of W&B's file: a header of 7 bytes, then LevelDB's log format, blocks of 32 KiB with records in parts."""
    place, record = 7, b""
    while place + 7 <= len(content):
        left = 2**15 - place % 2**15
        if left < 7:
            place += left
            continue
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        record += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield record
            record = b""


@pytest.mark.slow
def test_wandb_leaves_one_offline_folder_for_each_run(out: Folder, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    message: Any = import_module("wandb.proto.wandb_internal_pb2").Record

    _, final, failed = write_runs(out)
    place = tmp_path / "offline"
    assert push_to(f"wandb://{place}", out) == (3, 0)
    assert push_to(f"wandb://{place}", out) == (0, 3)
    RunFolder(out).write(mended(failed))
    assert push_to(f"wandb://{place}", out) == (1, 2)
    folders = {path.name.rpartition("-")[2]: path for path in (place / "wandb").glob("offline-run-*")}
    assert len(list((place / "wandb").glob("offline-run-*"))) == len(folders) == 3
    [file] = folders[final.run_id].glob("*.wandb")
    steps, begun = {}, None
    for data in log_records(file.read_bytes()):
        record = message()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            row = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            steps[row["epoch"]] = row["val/dataset/iou_mean"]
        if record.WhichOneof("record_type") == "run":
            begun = record.run
    assert steps == {entry["epoch"]: entry["val/dataset/iou_mean"] for entry in HISTORY}
    assert begun is not None
    assert (begun.run_id, begun.project, begun.run_group) == (final.run_id, "my_sweep", "other/small")
