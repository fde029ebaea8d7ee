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
from mtneuro_ray.sweep.experiment import Experiment, PlannedRun
from mtneuro_ray.sweep.outline import write_outline
from tests.sweep.test_experiment import candidates_of, done, experiment_of

METRIC = "val/dataset/iou_mean"
SEARCH = experiment_of({"learning_rate": [0.1, 0.01, 0.001]}, seeds=[1])
RUNS = candidates_of(SEARCH)
NAMES = [str(planned) for planned in RUNS]


def ended(planned: PlannedRun, value: float) -> RunRecord:
    return replace(done(planned.run, value), timings={"total_s": 1.5})


CANDIDATES = [ended(RUNS[0], 0.5), ended(RUNS[1], 0.625)]
FAILED = RunRecord.failed(RUNS[2].run, "the loss is nan")
FINAL = SEARCH.final_runs({"learning_rate": 0.01})[0]
SEED = ended(FINAL, 0.5)


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

    def outline(self, *experiments: Experiment) -> None:
        write_outline(self.out, experiments or [SEARCH])

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
    sweep.outline()
    sweep.end(CANDIDATES[0])


def test_each_run_that_ends_is_a_line_and_the_end_of_the_driver_is_the_end(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(sweep)
    sweep.steps = [
        sweep.sign,
        lambda: sweep.end(FAILED),
        lambda: sweep.end(CANDIDATES[1]),
        lambda: sweep.end(SEED),
        sweep.gone,
    ]
    assert watch(sweep) == 1
    assert sweep.steps == []
    assert capsys.readouterr().out.splitlines() == [
        "search 1 of 3; repeat 0 of 1",
        "process 7 on elsewhere runs the sweep",
        f"[search 2/3] {NAMES[2]}: error: the loss is nan",
        f"[search 3/3] {NAMES[1]}: {METRIC} 0.6250, 1.5 s",
        f"[repeat 1/1] {FINAL}: {METRIC} 0.5000, 1.5 s",
        "search 2 of 3, 1 failed; repeat 1 of 1",
        f"best so far: {NAMES[1]}: {METRIC} 0.6250",
        "no sweep is at work here",
    ]


def test_a_run_that_failed_and_is_done_now_counts_as_done(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    sweep.outline()
    sweep.end(RunRecord.failed(RUNS[0].run, "out of memory"))
    sweep.steps = [lambda: sweep.end(CANDIDATES[0]), sweep.gone]
    assert watch(sweep) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "search 0 of 3, 1 failed; repeat 0 of 1"
    assert "search 1 of 3; repeat 0 of 1" in lines


def test_a_file_that_does_not_change_is_read_once(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(sweep)
    read, asked = type(sweep.out).read, []

    def counted(folder: Folder, name: str) -> bytes:
        asked.append(name)
        return read(folder, name)

    monkeypatch.setattr(type(sweep.out), "read", counted)
    sweep.steps = [sweep.sign, sweep.sign, sweep.gone]
    assert watch(sweep) == 0
    assert [name for name in asked if name.startswith(RUNS[0].run_id)] == [f"{RUNS[0].run_id}.json"]


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


def test_the_best_of_a_search_over_seeds_is_that_of_the_mean(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    search = {"axes": {"learning_rate": [0.1, 0.01]}, "over_seeds": True}
    over_seeds = experiment_of(search=search, seeds=[1, 2])
    # The luckiest seed belongs to the worse candidate.
    values = list(zip(candidates_of(over_seeds), (0.9, 0.1, 0.6, 0.5), strict=True))
    sweep.outline(over_seeds)
    sweep.end(*(ended(planned, value) for planned, value in values))
    sweep.gone()
    assert watch(sweep) == 0
    assert f"best so far: net/small learning_rate=0.01: {METRIC} 0.5500\n" in capsys.readouterr().out


def test_before_a_sweep_has_begun_it_is_waited_for(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    sweep.steps = [lambda: None, lambda: begin(sweep), sweep.gone]
    assert watch(sweep) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{sweep.out}: holds no runs yet, and no sweep is at work here; waiting for one"
    assert lines[1] == "search 1 of 3; repeat 0 of 1"


@pytest.mark.parametrize("content", [b"", b"[]", b'{"version": 2, "experiments": [{"x": 1}]}'])
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
        f"[search 2/3] {NAMES[2]}: error: the loss is nan",
    ):
        assert text in shown
    assert f"best so far: {NAMES[0]}: {METRIC} 0.5000" in shown


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
