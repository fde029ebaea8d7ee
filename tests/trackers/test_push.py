"""Runs added to trackers during a sweep and afterwards, whatever becomes of the tracker."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from mtneuro_ray.cli.main import main
from mtneuro_ray.config.resources import ResourceSettings
from mtneuro_ray.config.trackers import TrackerAddress
from mtneuro_ray.errors import InputError, MTNeuroError
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder
from mtneuro_ray.trackers.base import Tracked
from mtneuro_ray.trackers.push import Tracking, push
from tests.cli.commands import only_error
from tests.trackers.sample import Memory, mended, write_runs

SAMPLE = "tests.trackers.sample"


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.setattr(Memory, "kept", {})
    return Folder(tmp_path / "my_sweep")


@pytest.mark.parametrize(
    ("text", "name", "place"),
    [
        ("tensorboard", "tensorboard", None),
        ("tensorboard:///data/events", "tensorboard", "/data/events"),
        ("tensorboard:events", "tensorboard", "events"),
        ("tensorboard://events", "tensorboard", "events"),
        ("mlflow:http://127.0.0.1:5000", "mlflow", "http://127.0.0.1:5000"),
        ("mlflow://127.0.0.1:5000", "mlflow", "127.0.0.1:5000"),
        ("mlflow:sqlite:////data/runs.db", "mlflow", "sqlite:////data/runs.db"),
        (f"{SAMPLE}:MEMORY", f"{SAMPLE}:MEMORY", None),
        (f"{SAMPLE}:MEMORY:there", f"{SAMPLE}:MEMORY", "there"),
    ],
)
def test_an_address_is_a_name_and_a_place(text: str, name: str, place: str | None) -> None:
    assert TrackerAddress.of(text, "--to") == (name, place)


@pytest.mark.parametrize("text", ["", "mlflow:", "no spaces", "tensorbord"])
def test_another_address_is_refused_in_a_tune_space_and_on_the_command_line(text: str) -> None:
    with pytest.raises(InputError, match=r"^space\.toml: run\.trackers: "):
        ResourceSettings(trackers=(text,)).check("space.toml")


def test_a_missing_package_is_one_line_with_the_extra(out: Folder) -> None:
    with pytest.raises(InputError, match=r"no_such_package is not installed; accepted: pip install 'mtneuro-ray\[tr"):
        Tracking([f"{SAMPLE}:MISSING"], out)
    with pytest.raises(InputError, match=r"^--to: missing: no_such_package is not installed"):
        push([], out, TrackerAddress.of(f"{SAMPLE}:MISSING", "--to"), "--to")


def test_what_a_tracker_is_given_has_numbers_only_and_links_to_what_is_there(out: Folder) -> None:
    candidate, final, failed = write_runs(out)
    run = Tracked.of(final, out)
    assert run.experiment == "other/small"
    assert run.settings["optimizer.learning_rate"] == 0.01
    assert (run.settings["role"], run.settings["seed"], run.settings["task"]) == ("final", 1, "small")
    assert [epoch for epoch, _ in run.history] == [1, 2, 3]
    assert run.history[1][1] == {"train/loss": 0.5, "val/dataset/iou_mean": 0.2}
    assert run.metrics["test/dataset/iou_mean"] == 0.25
    assert run.links == {"run file": str(out / f"runs/{final.run_id}.json")}
    assert (run.began_at, run.ended_at) == (1_700_000_000.0, 1_700_000_030.0)
    assert Tracked.of(failed, out).error == "diverged"
    assert Tracked.of(final, out).digest == run.digest != Tracked.of(candidate, out).digest


def test_a_sweep_that_was_killed_and_submitted_again_adds_each_run_once(out: Folder) -> None:
    candidate, final, failed = write_runs(out)
    with Tracking([f"{SAMPLE}:MEMORY"], out) as tracking:
        tracking.add(candidate)
        tracking.add(failed)
    with Tracking([f"{SAMPLE}:MEMORY"], out) as tracking:
        for record in (candidate, final, mended(failed)):
            tracking.add(record)
    kept = Memory.kept["my_sweep"]
    assert {run_id: run.status for run_id, run in kept.items()} == {
        record.run_id: "done" for record in (candidate, final, failed)
    }


def test_a_tracker_that_fails_is_warned_of_once_and_the_others_go_on(
    out: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    records = write_runs(out)
    with (
        caplog.at_level(logging.WARNING),
        Tracking([f"{SAMPLE}:BROKEN", f"{SAMPLE}:MEMORY"], out) as tracking,
    ):
        for record in records:
            tracking.add(record)
    [warning] = [record.getMessage() for record in caplog.records]
    assert warning.startswith(f"{SAMPLE}:BROKEN: can't be written (ConnectionError: the server); ")
    assert Memory.kept["my_sweep"].keys() == {record.run_id for record in records}
    with pytest.raises(MTNeuroError, match="0 runs were added; the same command goes on"):
        push(records, out, TrackerAddress.of(f"{SAMPLE}:BROKEN", "--to"), "--to")


def test_the_command_adds_what_is_missing(out: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    *_, failed = write_runs(out)
    command = ["results", "push", "--to", f"{SAMPLE}:MEMORY:there", "--out", str(out)]
    for told in ("3 runs added, 0 were there", "0 runs added, 3 were there"):
        assert main(command) == 0
        assert capsys.readouterr().out == f"{SAMPLE}:MEMORY:there: {told}\n"
    RunFolder(out).write(mended(failed))
    assert main(command) == 0
    assert "1 runs added, 2 were there" in capsys.readouterr().out
    assert main([*command[:3], "nowhere", "--out", str(out)]) == 2
    assert "'nowhere' is unknown" in only_error(capsys)
