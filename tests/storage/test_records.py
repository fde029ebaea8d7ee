import json
import logging
import math
from dataclasses import replace
from pathlib import Path

import pytest

from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord, scalars
from tests.results.records import segmentation_record
from tests.settings import run_settings

DONE = segmentation_record()
FAILED = RunRecord.failed(run_settings(data=("phantom:image", "phantom:labels")), "diverged", host="here")


def test_a_record_reads_back_as_it_was_written(tmp_path: Path) -> None:
    runs = RunFolder(Folder(tmp_path))
    runs.write(DONE)
    assert runs.read(DONE.run_id) == DONE
    assert runs.all() == [DONE]
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [f"{DONE.run_id}.json"]


def test_metrics_keep_their_order(tmp_path: Path) -> None:
    runs = RunFolder(Folder(tmp_path))
    runs.write(DONE)
    record = runs.read(DONE.run_id)
    assert record is not None
    assert [list(values) for values in record.metrics.values()] == [list(v) for v in DONE.metrics.values()]
    assert list(record.metrics) == ["val", "test"]


def test_numbers_that_are_no_numbers_survive(tmp_path: Path) -> None:
    runs = RunFolder(Folder(tmp_path))
    values = {"loss": math.nan, "high": math.inf, "low": -math.inf, "one": 1.0, "sum": 0.1 + 0.2}
    runs.write(replace(DONE, metrics={"val": values}))
    record = runs.read(DONE.run_id)
    assert record is not None
    read = record.metrics["val"]
    assert math.isnan(read.pop("loss"))
    assert read == {"high": math.inf, "low": -math.inf, "one": 1.0, "sum": 0.1 + 0.2}
    value = record.metric("val/one")
    assert isinstance(value, float)


def test_a_finished_run_is_not_replaced_by_a_failed_one(tmp_path: Path) -> None:
    runs = RunFolder(Folder(tmp_path))
    assert FAILED.run_id == DONE.run_id
    runs.write(FAILED)
    assert runs.read(DONE.run_id) == FAILED
    assert not runs.is_done(DONE.run_id)
    runs.write(DONE)
    runs.write(FAILED)
    assert runs.read(DONE.run_id) == DONE
    assert runs.is_done(DONE.run_id)


def test_a_run_that_is_not_there_is_none(tmp_path: Path) -> None:
    runs = RunFolder(Folder(tmp_path))
    assert runs.read("0123") is None
    assert not runs.is_done("0123")
    assert runs.all() == []


def as_text(**changes: object) -> str:
    values = {"run_id": "x", "status": "done", "summary": DONE.summary, "settings": DONE.settings}
    return json.dumps({**values, **changes})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "3",
        "{}",
        '{"run_id": "x"}',
        "[" * 100_000,
        as_text(colour="red"),
        as_text(status="maybe"),
        as_text(summary={}),
        as_text(summary=None),
        as_text(settings={}),
        as_text(metrics=[]),
    ],
    ids=lambda text: text[:40],
)
def test_a_broken_run_file_is_left_out_with_a_warning(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    runs = RunFolder(Folder(tmp_path))
    runs.write(DONE)
    (tmp_path / "runs" / "x.json").write_text(text)
    assert runs.all() == [DONE]
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert f"{tmp_path}/runs/x.json" in record.getMessage()


def test_the_file_that_the_broken_ones_differ_from_is_read(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "x.json").write_text(as_text())
    assert len(RunFolder(Folder(tmp_path)).all()) == 1


def test_a_file_from_before_a_setting_with_a_default_is_read(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    settings = {key: DONE.settings[key] for key in ("task", "network", "role", "data")}
    (tmp_path / "runs" / "x.json").write_text(as_text(settings=settings))
    [record] = RunFolder(Folder(tmp_path)).all()
    assert record.settings == settings
    assert "weights" in DONE.settings


def test_a_metric_is_found_by_split_and_name() -> None:
    assert DONE.metric("val/dataset/iou_mean") == 0.5
    assert DONE.metric("test/image/f1_mean") == pytest.approx(0.34)
    for name in ("val/accuracy", "train/loss", "test/confusion", "test/dataset/iou", "", "val"):
        assert DONE.metric(name) is None


def test_scalars_are_the_plain_numbers_of_all_splits() -> None:
    metrics = {"val": {"a": 1.0, "b": [1.0]}, "test": {"a": 2.0, "confusion": [[1]]}}
    assert scalars(metrics) == {"val/a": 1.0, "test/a": 2.0}
