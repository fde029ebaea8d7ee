"""Aim read back with its own reader: each run once, whatever was killed, deleted or pushed from another process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder
from tests.trackers.sample import HISTORY, mended, push_to, write_runs

aim = pytest.importorskip("aim")
pytestmark = pytest.mark.slow
_REINDEX = "from aim.cli.cli import cli_entry_point; cli_entry_point()"
# Pushes, and is killed at a call of a function: before any value is written, among the values, before the digest.
_KILLED = """
import os, signal, sys
from unittest.mock import patch
from aim import Run
from mtneuro_ray.storage.folder import Folder
from tests.trackers.sample import push_to

out, place, owner, name, left = sys.argv[1:]
owner, left = {"Run": Run, "Folder": Folder}[owner], int(left)
real = getattr(owner, name)

def counted(*arguments, **options):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **options)

with patch.object(owner, name, counted):
    push_to(f"aim://{place}", Folder(out))
"""


def runs_of(place: Path) -> list[Any]:
    """The runs that Aim counts: its index is written anew, and then read by a repository of its own."""
    command = [sys.executable, "-c", _REINDEX, "storage", "--repo", str(place), "reindex", "-y"]
    subprocess.run(command, check=True, capture_output=True)
    repository = aim.Repo(str(place))
    runs = list(repository.iter_runs())
    assert len(runs) == repository.total_runs_count() == len(repository.list_all_runs())
    assert len(runs) == len({row.hash for row in repository.structured_db.runs()})
    return runs


def assert_whole(runs: list[Any]) -> None:
    """The run of the sample that is done is there with its settings, its history and its final metrics."""
    [found] = [run for run in runs if run["hparams", "seed"] == 1 and run["hparams", "role"] == "final"]
    assert found.experiment == "my_sweep/other/small"
    assert found["hparams", "optimizer.learning_rate"] == 0.01
    assert found["run", "status"] == "done"
    metrics = {metric.name: metric for metric in found.metrics()}
    assert metrics["final/test/dataset/iou_mean"].values.last_value() == pytest.approx(0.25)
    table = metrics["val/dataset/iou_mean"].dataframe().sort_values("step")
    assert list(zip(table["step"], table["value"], strict=True)) == [
        (entry["epoch"], pytest.approx(entry["val/dataset/iou_mean"])) for entry in HISTORY
    ]


def test_aim_has_each_run_once(tmp_path: Path) -> None:
    out, place = Folder(tmp_path / "my_sweep"), tmp_path / "aim"
    *_, failed = write_runs(out)
    assert push_to(f"aim://{place}", out) == (3, 0)
    assert push_to(f"aim://{place}", out) == (0, 3)
    assert_whole(runs_of(place))
    RunFolder(out).write(mended(failed))
    assert push_to(f"aim://{place}", out) == (1, 2)
    another = "import sys; from tests.trackers.sample import *; print(push_to(sys.argv[1], Folder(sys.argv[2])))"
    command = [sys.executable, "-c", another, f"aim://{place}", str(out)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "(0, 3)\n"
    runs = runs_of(place)
    assert_whole(runs)
    assert sorted(run["run", "status"] for run in runs) == ["done", "done", "done"]
    delete = "import aim, sys; assert aim.Repo(sys.argv[1]).delete_run(sys.argv[2])"
    subprocess.run([sys.executable, "-c", delete, str(place), runs[0].hash], check=True)
    assert push_to(f"aim://{place}", out) == (1, 2)
    assert len(runs_of(place)) == 3


def test_a_push_that_was_killed_and_started_again_has_each_run_once(tmp_path: Path) -> None:
    out, place = Folder(tmp_path / "my_sweep"), tmp_path / "aim"
    write_runs(out)
    for owner, name, left in (("Run", "__setitem__", 0), ("Folder", "write", 0), ("Run", "track", 5)):
        killed = [sys.executable, "-c", _KILLED, str(out), str(place), owner, name, str(left)]
        assert subprocess.run(killed, capture_output=True).returncode == -9
    added, known = push_to(f"aim://{place}", out)
    assert added >= 1
    assert added + known == 3
    runs = runs_of(place)
    assert len(runs) == 3
    assert_whole(runs)
