"""A sweep is watched from what it leaves in its output folder; no Ray, and no waiting: each look is a step."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from mtneuro_ray.cli import watch as watching
from mtneuro_ray.cli.main import main
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord
from mtneuro_ray.sweep.outline import Outline, OutlinedRun
from tests.results.records import benchmark_record

METRIC = "val/dataset/iou_mean"
CANDIDATES = [
    replace(benchmark_record(role="candidate", val=val), run_id=f"c{number}") for number, val in enumerate((0.5, 0.625))
]
FAILED = replace(CANDIDATES[1], run_id="c2", status="error", metrics={}, error="the loss is nan")
SEED = replace(benchmark_record(seed=1), run_id="s1")


class Sweep:
    """What a sweep leaves, step by step."""

    def __init__(self, root: str) -> None:
        self.out = Folder(root)
        self.beat = 0
        self.steps: list[Callable[[], None]] = []

    def sign(self, **changes: Any) -> None:
        self.beat += 1
        sign = {"driver": "d", "host": "elsewhere", "pid": 7, "beat": self.beat, **changes}
        self.out.write("driver.json", json.dumps(sign).encode())

    def outline(self, later: int, **stages: list[RunRecord]) -> None:
        runs = {
            label: [OutlinedRun(run.run_id, f"net/task {run.run_id}", "net/task", METRIC, "max") for run in records]
            for label, records in stages.items()
        }
        Outline(runs, later).write(self.out)

    def end(self, *records: RunRecord) -> None:
        self.sign()
        for record in records:
            RunFolder(self.out).write(record)

    def gone(self) -> None:
        self.out.delete("driver.json")


@pytest.fixture
def sweep(root: str, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """A sweep that goes on by a step while the watcher sleeps."""
    sweep = Sweep(root)

    def sleep(seconds: float) -> None:
        assert seconds == 0.5
        sweep.steps.pop(0)()

    monkeypatch.setattr(watching, "time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic))
    return sweep


def watch(sweep: Sweep) -> int:
    return main(["results", "runs", "--out", str(sweep.out), "--watch", "--every", "0.5"])


def begin(sweep: Sweep) -> None:
    sweep.outline(2, candidates=[*CANDIDATES, FAILED])
    sweep.end(CANDIDATES[0])


def test_each_run_that_ends_is_a_line_and_the_end_of_the_driver_is_the_end(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(sweep)
    sweep.steps = [
        sweep.sign,
        lambda: sweep.end(FAILED),
        lambda: sweep.end(CANDIDATES[1]),
        lambda: sweep.outline(0, candidates=[*CANDIDATES, FAILED], seeds=[SEED]),
        lambda: sweep.end(SEED),
        sweep.gone,
    ]
    assert watch(sweep) == 1
    assert sweep.steps == []
    assert capsys.readouterr().out.splitlines() == [
        "candidates 1 of 3; then 2 seed runs",
        "process 7 on elsewhere runs the sweep",
        "[candidates 2/3] net/task c2: error: the loss is nan",
        f"[candidates 3/3] net/task c1: {METRIC} 0.6250, 1.5 s",
        f"[seeds 1/1] net/task s1: {METRIC} 0.5000, 1.5 s",
        "candidates 2 of 3, 1 failed; seeds 1 of 1",
        f"best so far: net/task c1: {METRIC} 0.6250",
        "no sweep is at work here",
    ]


def test_a_run_that_failed_and_is_done_now_counts_as_done(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    sweep.outline(0, candidates=[CANDIDATES[0]])
    sweep.end(replace(CANDIDATES[0], status="error", metrics={}, error="out of memory"))
    sweep.steps = [lambda: sweep.end(CANDIDATES[0]), sweep.gone]
    assert watch(sweep) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "candidates 0 of 1, 1 failed"
    assert "candidates 1 of 1" in lines


def test_a_file_that_does_not_change_is_read_once(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(sweep)
    read, asked = RunFolder.read, []

    def counted(runs: RunFolder, run_id: str) -> RunRecord | None:
        asked.append(run_id)
        return read(runs, run_id)

    monkeypatch.setattr(RunFolder, "read", counted)
    sweep.steps = [sweep.sign, sweep.sign, sweep.gone]
    assert watch(sweep) == 0
    assert asked == ["c0"]


def test_a_driver_that_was_killed_is_told_of_and_waited_for(
    sweep: Sweep, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(sweep)
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    # No machine gives this number to a process.
    sweep.steps = [lambda: sweep.sign(pid=2**31 - 1), lambda: sweep.sign(pid=2**31 - 1), sweep.gone]
    assert watch(sweep) == 0
    told = "process 2147483647 on elsewhere is gone: it was killed; the same sweep command goes on from here\n"
    assert capsys.readouterr().out.count(told) == 1


def test_before_a_sweep_has_begun_it_is_waited_for(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    sweep.steps = [lambda: None, lambda: begin(sweep), sweep.gone]
    assert watch(sweep) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{sweep.out}: holds no runs yet, and no sweep is at work here; waiting for one"
    assert lines[1] == "candidates 1 of 3; then 2 seed runs"


@pytest.mark.parametrize("content", [b"", b"[]", b'{"stages": {"candidates": [{"x": 1}]}, "later": 0}'])
def test_runs_without_an_outline_are_counted(sweep: Sweep, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    sweep.out.write("sweep.json", content)
    sweep.end(CANDIDATES[0], FAILED)
    sweep.gone()
    assert watch(sweep) == 1
    assert "runs 1 of 2, 1 failed" in capsys.readouterr().out


def test_on_a_terminal_it_is_a_table(
    sweep: Sweep, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    begin(sweep)
    sweep.steps = [lambda: sweep.end(FAILED), sweep.gone]
    assert watch(sweep) == 1
    shown = capsys.readouterr().out
    for text in (
        "to come",
        "process 7 on elsewhere is at work",
        "[candidates 2/3] net/task c2: error: the loss is nan",
    ):
        assert text in shown
    assert f"best so far: net/task c0: {METRIC} 0.5000" in shown


def test_ctrl_c_ends_it(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    begin(sweep)

    def interrupt() -> None:
        raise KeyboardInterrupt

    sweep.steps = [interrupt]
    assert watch(sweep) == 130


@pytest.mark.parametrize(
    "arguments",
    [["best", "--watch"], ["runs", "--every", "1"], ["runs", "--watch", "--model", "m"]],
)
def test_what_can_not_be_watched_is_one_line(
    arguments: list[str], root: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["results", *arguments, "--out", root]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: --watch: ")
    assert captured.err.count("\n") == 1
