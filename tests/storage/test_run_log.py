"""Logs of runs that end in every way."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from mtneuro_ray.cli.main import main
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.engine import execute as executing
from mtneuro_ray.errors import TrainingError
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder
from mtneuro_ray.storage.run_log import RunLog, read_log, run_log
from tests.settings import run_settings


def log_of(root: str) -> str:
    log = read_log(Folder(root), "r1")
    assert log is not None
    return log


def test_prints_and_logging_are_kept_and_still_shown(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    with run_log(Folder(root), "r1"):
        print("printed")
        print("complained", file=sys.stderr)
        logging.getLogger("a.module").warning("logged")
    captured = capsys.readouterr()
    assert captured.out == "printed\n"
    assert "complained\n" in captured.err
    print("after it")
    log = log_of(root)
    assert log.startswith("run r1, process ")
    for text in ("printed\n", "complained\n", "logged"):
        assert log.count(text) == 1, text
    assert "after it" not in log


@pytest.mark.parametrize("error", [ValueError("no good"), KeyboardInterrupt()])
def test_what_ends_a_run_is_there_with_its_traceback(root: str, error: BaseException) -> None:
    def deep_down() -> None:
        raise error

    with pytest.raises(type(error)), run_log(Folder(root), "r1"):
        deep_down()
    log = log_of(root)
    assert "Traceback" in log
    assert "in deep_down" in log
    assert type(error).__name__ in log


def test_a_run_that_the_search_stops_is_no_error(root: str) -> None:
    with pytest.raises(SystemExit), run_log(Folder(root), "r1"):
        sys.exit(0)
    assert "stopped by the search\n" in log_of(root)
    assert "Traceback" not in log_of(root)


def test_the_next_try_replaces_the_log(root: str) -> None:
    for text in ("first", "second"):
        with run_log(Folder(root), "r1"):
            print(text)
    assert "second" in log_of(root)
    assert "first" not in log_of(root)


def test_a_worker_that_does_not_lead_leaves_none(tmp_path: Path) -> None:
    with run_log(Folder(tmp_path), "r1", keeps=False):
        print("printed")
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_can_not_be_written_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    with run_log(Folder(tmp_path), "r1"):
        print("printed")


@pytest.mark.parametrize("piece", [1, 7_919, 600_000, 2_000_000])
def test_of_too_much_the_beginning_and_the_end_are_kept(piece: int) -> None:
    text = "".join(f"{number:07}\n" for number in range(250_000))
    log = RunLog()
    for start in range(0, len(text), piece) if piece > 1 else range(0):
        log.write(text[start : start + piece])
    if piece == 1:
        log.write(text[:100_000])
        for character in text[100_000:]:
            log.write(character)
    assert str(log) == f"{text[:100_000]}\n[{len(text) - 500_000} characters left out]\n{text[-400_000:]}"


def test_little_is_kept_as_it_is() -> None:
    log = RunLog()
    for text in ("a\n", "", "b" * 99_998, "c" * 400_000):
        log.write(text)
    assert str(log) == "a\n" + "b" * 99_998 + "c" * 400_000


def test_the_command_shows_the_traceback_of_a_run_that_failed(
    root: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def diverge(*arguments: object, **options: object) -> None:
        raise TrainingError("the loss is nan")

    monkeypatch.setattr(executing, "train", diverge)
    run = run_settings()
    record = executing.execute(run, {}, WorkerContext(), Folder(root))
    assert (record.status, record.error) == ("error", "the loss is nan")
    assert RunFolder(Folder(root)).read(run.run_id) == record
    capsys.readouterr()
    assert main(["results", "log", run.run_id, "--out", root]) == 0
    shown = capsys.readouterr().out
    assert "in diverge\n" in shown
    assert "TrainingError: the loss is nan\n" in shown

    assert main(["results", "log", "no-such-run", "--out", root]) == 2
    assert f"{Folder(root) / 'logs/no-such-run.log'}: there is no such log" in capsys.readouterr().err
    assert main(["results", "log", "--out", root]) == 2
    assert main(["results", "runs", run.run_id, "--out", root]) == 2
