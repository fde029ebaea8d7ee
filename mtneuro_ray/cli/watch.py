"""`mtneuro-ray results runs --watch`: a sweep as it goes, from any machine that reads its output folder."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.lease import SILENCE_S, DriverSign, driver_of
from mtneuro_ray.storage.records import RunFolder, RunRecord, outcome
from mtneuro_ray.sweep.outline import Outline, OutlinedRun

_LAST_LINES = 8


@dataclass(slots=True)
class _View:
    """What is known of an output folder, read again only where it may have changed."""

    out: Folder
    outline: Outline = field(default_factory=Outline)
    records: dict[str, RunRecord] = field(default_factory=dict)
    sign: DriverSign | None = None
    moved: float = 0.0

    def look(self) -> list[RunRecord]:
        """Read what is new; the runs that have ended since the last look are returned."""
        # First: runs that are read after a driver has gone are all that it left.
        sign = driver_of(self.out)
        if sign != self.sign:
            self.sign, self.moved = sign, time.monotonic()
        self.outline = Outline.read(self.out)
        runs = RunFolder(self.out)
        known = self.records
        wanted = [run_id for run_id in runs.ids() if run_id not in known or known[run_id].status != "done"]
        ended = [record for record in runs.read_all(wanted) if record != known.get(record.run_id)]
        known.update((record.run_id, record) for record in ended)
        return ended

    @property
    def is_over(self) -> bool:
        """Whether a sweep was here and no driver is."""
        return self.sign is None and bool(self.records or self.outline.stages)

    @property
    def stages(self) -> dict[str, list[OutlinedRun]]:
        """Stages of the sweep; of a folder without one, all of its runs."""
        if self.outline.stages:
            return self.outline.stages
        runs = [
            OutlinedRun(run_id, str(record.summary["model"]), "", "", "") for run_id, record in self.records.items()
        ]
        return {"runs": runs}

    def counts(self, runs: list[OutlinedRun]) -> tuple[int, int]:
        """How many of some runs are done, or were stopped, and how many failed the last time that they were tried."""
        found = [self.records[run.run_id].status for run in runs if run.run_id in self.records]
        return sum(status != "error" for status in found), sum(status == "error" for status in found)

    @property
    def failed(self) -> int:
        """How many runs of the sweep failed."""
        return sum(self.counts(runs)[1] for runs in self.stages.values())

    def progress(self) -> str:
        """How far the sweep is, in one line."""
        parts = []
        for label, runs in self.stages.items():
            done, failed = self.counts(runs)
            parts.append(f"{label} {done} of {len(runs)}" + (f", {failed} failed" if failed else ""))
        later = [f"then {self.outline.later} seed runs"] if self.outline.later else []
        return "; ".join([*parts, *later])

    def driver(self) -> str:
        """Who runs the sweep, and since when nothing was heard of it, in one line."""
        if self.sign is None:
            return "no sweep is at work here"
        if self.sign.is_gone:
            return f"{self.sign} is gone: it was killed; the same sweep command goes on from here"
        silence = time.monotonic() - self.moved
        if silence < SILENCE_S:
            return f"{self.sign} is at work"
        return f"{self.sign} has been silent for {silence:.0f} s: if it was killed, the same sweep command goes on"

    def best(self) -> list[str]:
        """The best candidate of each experiment so far, a line each."""
        best: dict[str, tuple[float, str]] = {}
        for run in self.outline.stages.get("candidates", ()):
            record = self.records.get(run.run_id)
            value = record.metric(run.metric) if record is not None and record.status == "done" else None
            if value is None or math.isnan(value):
                continue
            sign = -1.0 if run.mode == "min" else 1.0
            if run.experiment not in best or sign * value > best[run.experiment][0]:
                best[run.experiment] = (sign * value, f"{run.name}: {run.metric} {value:.4f}")
        return [f"best so far: {line}" for _, line in best.values()]

    def line(self, record: RunRecord) -> str:
        """A run that has ended, as the sweep itself tells of it."""
        for label, runs in self.stages.items():
            for run in runs:
                if run.run_id == record.run_id:
                    done, failed = self.counts(runs)
                    return f"[{label} {done + failed}/{len(runs)}] {run.name}: {outcome(record, run.metric)}"
        return f"[{record.run_id}] {record.summary['model']}/{record.summary['experiment']}: {outcome(record, '')}"


def watch(out: Folder, seconds: float) -> int:
    """Show a sweep until no driver is at work on it: a table on a terminal, otherwise a line for each run that ends.

    Args:
        out: Its output folder.
        seconds: Between two looks.

    Returns:
        0; 1 where runs failed.
    """
    view = _View(out)
    console = Console(highlight=False, soft_wrap=True)
    with _table(view, console) if console.is_terminal else _lines(view) as show:
        while True:
            show(view.look())
            if view.is_over:
                return 1 if view.failed else 0
            time.sleep(seconds)


@contextmanager
def _lines(view: _View) -> Iterator[Callable[[list[RunRecord]], None]]:
    told: list[str] = []

    def say_once(line: str) -> None:
        if line not in told:
            told.append(line)
            print(line, flush=True)

    first = True

    def show(ended: list[RunRecord]) -> None:
        nonlocal first
        if not first:
            for record in ended:
                print(view.line(record), flush=True)
        if first and (view.records or view.outline.stages):
            print(view.progress(), flush=True)
            first = False
        if view.sign is None and not view.is_over:
            say_once(f"{view.out}: holds no runs yet, and no sweep is at work here; waiting for one")
        elif view.sign is not None:
            # Seconds of silence would make each of these lines new.
            say_once(view.driver() if view.sign.is_gone else f"{view.sign} runs the sweep")
        if view.is_over:
            print("\n".join([view.progress(), *view.best(), view.driver()]), flush=True)

    yield show


@contextmanager
def _table(view: _View, console: Console) -> Iterator[Callable[[list[RunRecord]], None]]:
    last: list[str] = []

    with Live(console=console, auto_refresh=False) as live:

        def show(ended: list[RunRecord]) -> None:
            last.extend(view.line(record) for record in ended[-_LAST_LINES:])
            del last[:-_LAST_LINES]
            table = Table("stage", "done", "failed", "to come")
            for label, runs in view.stages.items():
                done, failed = view.counts(runs)
                table.add_row(label, str(done), str(failed), str(len(runs) - done - failed))
            if view.outline.later:
                table.add_row("seeds", "", "", str(view.outline.later))
            lines = [f"{view.out}", view.driver(), *view.best(), *last]
            live.update(Group(table, *(Text(line) for line in lines)), refresh=True)

        yield show
