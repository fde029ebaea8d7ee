"""Work that may last is told of: what reads all runs, and what writes files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mtneuro_ray import progress
from mtneuro_ray.cli import export, results, submissions, trackers
from mtneuro_ray.cli.main import main
from mtneuro_ray.storage.folder import Folder
from tests.cli.commands import tiny
from tests.trackers.sample import write_runs


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Texts of the work that was announced, each with its end."""
    texts: list[str] = []

    @contextmanager
    def working(text: str) -> Iterator[None]:
        texts.append(text)
        yield
        texts.append("end")

    for module in (results, export, submissions):
        monkeypatch.setattr(module, "working", working)
    return texts


def test_reading_runs_and_writing_a_bundle_are_told_of(tmp_path: Path, told: list[str]) -> None:
    write_runs(Folder(tmp_path))
    file = tmp_path / "mine.zip"
    assert main(["results", "bundle", "--out", str(tmp_path), "--to", str(file)]) == 0
    assert told == [f"reading the runs of {tmp_path}", "end", f"writing {file}", "end"]
    told.clear()
    assert main(["results", "leaderboard", str(file), "--to", str(tmp_path / "page.html")]) == 0
    assert told == ["reading 1 submissions", "end"]


def test_pushed_runs_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_runs(Folder(tmp_path))

    def impatient(label: str, total: int, unit: str, **options: float) -> object:
        assert options == {"patience_s": 2.0}
        return progress.progress(label, total, unit)

    monkeypatch.setattr(trackers, "progress", impatient)
    assert main(["results", "push", "--to", "tests.trackers.sample:MEMORY:x", "--out", str(tmp_path)]) == 0
    assert "adding runs to tests.trackers.sample:MEMORY: 3 runs in " in capsys.readouterr().err


def test_export_of_data_is_told_of(tmp_path: Path, told: list[str]) -> None:
    assert main(["export", "data", *tiny(tmp_path)[:2], "--out", str(tmp_path)]) == 0
    assert told == ["writing the splits of small", "end"]
