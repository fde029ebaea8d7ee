"""`mtneuro-ray results runs --watch`: progress of a sweep, from any machine that reads its output folder."""

from __future__ import annotations

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
from mtneuro_ray.sweep.outline import Outline
from mtneuro_ray.sweep.sweep import Sweep, Total

_LAST_LINES = 8


@dataclass(slots=True)
class _View:
    """Runs, sweep and driver of an output folder; only what may have changed is read again."""

    out: Folder
    outline: Outline = field(default_factory=Outline)
    sweep: Sweep = field(default_factory=lambda: Sweep([]))
    records: dict[str, RunRecord] = field(default_factory=dict)
    sign: DriverSign | None = None
    moved: float = 0.0

    def look(self) -> list[RunRecord]:
        """Read what is new, and return the runs that have ended since the last look."""
        # The driver first: if it has gone, the runs read afterwards are complete.
        sign = driver_of(self.out)
        if sign != self.sign:
            self.sign, self.moved = sign, time.monotonic()
        runs = RunFolder(self.out)
        known = self.records
        wanted = [run_id for run_id in runs.ids() if run_id not in known or known[run_id].status != "done"]
        ended = [record for record in runs.read_all(wanted) if record != known.get(record.run_id)]
        is_new = all(record.run_id not in known for record in ended)
        known.update((record.run_id, record) for record in ended)
        self._follow(ended, is_new)
        return ended

    def _follow(self, ended: list[RunRecord], is_new: bool) -> None:
        """Update the sweep with the runs that have ended."""
        outline = Outline.read(self.out)
        if outline != self.outline or not is_new:
            # A run with another outcome than before may change the runs that follow from it.
            self.outline, self.sweep = outline, Sweep(outline.experiments, self.records.values())
            return
        waiting = {record.run_id: record for record in ended}
        while found := [planned for planned in self.sweep.open if planned.run_id in waiting]:
            for planned in found:
                self.sweep.end(waiting[planned.run_id])

    @property
    def is_over(self) -> bool:
        """Whether the folder holds a sweep without a driver."""
        return self.sign is None and bool(self.records or self.outline.experiments)

    @property
    def totals(self) -> dict[str, Total]:
        """Progress of each stage of the sweep, or of all runs where there is no sweep."""
        if self.outline.experiments:
            return {stage: total for stage, total in self.sweep.totals().items() if total.expected}
        failed = sum(record.status == "error" for record in self.records.values())
        return {"runs": Total(len(self.records), len(self.records) - failed, failed)}

    @property
    def failed(self) -> int:
        """Number of failed runs."""
        return sum(total.failed for total in self.totals.values())

    def progress(self) -> str:
        """Progress of the stages, in one line."""
        return "; ".join(
            f"{stage} {total.done} of {total.expected}" + (f", {total.failed} failed" if total.failed else "")
            for stage, total in self.totals.items()
        )

    def driver(self) -> str:
        """State of the sweep's driver, in one line."""
        if self.sign is None:
            return "no sweep is at work here"
        if self.sign.is_gone:
            return f"{self.sign} is gone: it was killed; the same sweep command goes on from here"
        silence = time.monotonic() - self.moved
        if silence < SILENCE_S:
            return f"{self.sign} is at work"
        return f"{self.sign} has been silent for {silence:.0f} s: if it was killed, the same sweep command goes on"

    def best(self) -> list[str]:
        """One line for the best candidate of each search so far, by the mean over its seeds."""
        lines = []
        for experiment in self.outline.experiments:
            selection = self.sweep.best(experiment) if experiment.space.searches else None
            if selection is not None:
                candidate = " ".join(f"{key}={value}" for key, value in selection.best.candidate.items())
                value = f"{experiment.metric} {selection.best.mean:.4f}"
                lines.append(f"best so far: {experiment.name} {candidate}: {value}")
        return lines

    def line(self, record: RunRecord) -> str:
        """A run that has ended, as the sweep itself reports it."""
        planned = self.sweep.find(record.run_id)
        if planned is None:
            name = f"{record.summary['model']}/{record.summary['task']}"
            return f"[{record.run_id}] {name}: {outcome(record, '')}"
        stage = self.sweep.stage(planned)
        total = self.totals[stage]
        return f"[{stage} {total.done + total.failed}/{total.expected}] {planned}: {outcome(record, planned.metric)}"


def watch(out: Folder, seconds: float) -> int:
    """Show a sweep until no driver is at work on it: a table on a terminal, otherwise a line for each run that ends.

    Args:
        out: Output folder of the sweep.
        seconds: Time between two looks.

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
        if first and (view.records or view.outline.experiments):
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
            for stage, total in view.totals.items():
                to_come = total.expected - total.done - total.failed
                table.add_row(stage, str(total.done), str(total.failed), str(to_come))
            lines = [f"{view.out}", view.driver(), *view.best(), *last]
            live.update(Group(table, *(Text(line) for line in lines)), refresh=True)

        yield show
