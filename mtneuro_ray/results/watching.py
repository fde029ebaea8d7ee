"""Progress of a sweep, from what it leaves in its output folder: by any process that reads the folder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.lease import SILENCE_S, DriverSign, driver_of
from mtneuro_ray.storage.records import RunFolder, RunRecord, outcome
from mtneuro_ray.sweep.experiment import Experiment
from mtneuro_ray.sweep.outline import read_outline
from mtneuro_ray.sweep.sweep import Sweep, Total


@dataclass(slots=True)
class SweepView:
    """Runs, sweep and driver of an output folder; only files that may have changed are read again."""

    out: Folder
    experiments: list[Experiment] = field(default_factory=list)
    sweep: Sweep = field(default_factory=lambda: Sweep([]))
    records: dict[str, RunRecord] = field(default_factory=dict)
    sign: DriverSign | None = None
    moved: float = 0.0
    states: set[str] = field(default_factory=set)
    has_begun: bool = False

    def look(self) -> list[RunRecord]:
        """Read new files, and return the runs that have ended since the last look."""
        # The driver is read first: if it has gone, the runs that are read afterwards are complete.
        sign = driver_of(self.out)
        if sign != self.sign:
            self.sign, self.moved = sign, time.monotonic()
        runs = RunFolder(self.out)
        known = self.records
        wanted = [run_id for run_id in runs.ids() if run_id not in known or known[run_id].status != "done"]
        ended = [record for record in runs.read_all(wanted) if record != known.get(record.run_id)]
        is_new = all(record.run_id not in known for record in ended)
        known.update((record.run_id, record) for record in ended)
        experiments = read_outline(self.out)
        if experiments != self.experiments or not is_new:
            # A run with another outcome than before may change the runs that follow from it.
            self.experiments, self.sweep = experiments, Sweep(experiments, known.values())
        waiting = {record.run_id: record for record in ended}
        while found := [planned for planned in self.sweep.open if planned.run_id in waiting]:
            for planned in found:
                self.sweep.end(waiting[planned.run_id])
        return ended

    @property
    def has_runs(self) -> bool:
        """Whether the folder holds a sweep or runs."""
        return bool(self.records or self.experiments)

    @property
    def is_over(self) -> bool:
        """Whether the folder holds a sweep without a driver."""
        return self.sign is None and self.has_runs

    @property
    def totals(self) -> dict[str, Total]:
        """Progress of each stage of the sweep, or of all runs where there is no sweep."""
        if self.experiments:
            return {stage: total for stage, total in self.sweep.totals().items() if total.expected}
        failed = sum(record.status == "error" for record in self.records.values())
        return {"runs": Total(len(self.records), len(self.records) - failed, failed)}

    def progress(self) -> str:
        """One line with the progress of every stage."""
        return "; ".join(
            f"{stage} {total.done} of {total.expected}" + (f", {total.failed} failed" if total.failed else "")
            for stage, total in self.totals.items()
        )

    def driver(self) -> str:
        """One line with the state of the driver."""
        if self.sign is None:
            return "no sweep is at work here"
        if self.sign.is_gone:
            return f"{self.sign} is gone: it was killed; the same sweep command goes on from here"
        silence = time.monotonic() - self.moved
        if silence < SILENCE_S:
            return f"{self.sign} is at work"
        return f"{self.sign} has been silent for {silence:.0f} s: if it was killed, the same sweep command goes on"

    def best(self) -> list[str]:
        """One line for each search with its best candidate so far, by the mean over its seeds."""
        lines = []
        for experiment in self.experiments:
            selection = self.sweep.best(experiment) if experiment.space.searches else None
            if selection is not None:
                candidate = " ".join(f"{key}={value}" for key, value in selection.best.candidate.items())
                value = f"{experiment.metric} {selection.best.mean:.4f}"
                lines.append(f"best so far: {experiment.name} {candidate}: {value}")
        return lines

    def line(self, record: RunRecord) -> str:
        """The line that the sweep prints for a run that has ended."""
        planned = self.sweep.find(record.run_id)
        if planned is None:
            name = f"{record.summary['model']}/{record.summary['task']}"
            return f"[{record.run_id}] {name}: {outcome(record, '')}"
        stage = self.sweep.stage(planned)
        total = self.totals[stage]
        return f"[{stage} {total.done + total.failed}/{total.expected}] {planned}: {outcome(record, planned.metric)}"

    def news(self, ended: list[RunRecord]) -> Iterator[str]:
        """Lines to print after a look: at first the progress, then each run that has ended, and the result."""
        if self.has_begun:
            yield from map(self.line, ended)
        elif self.has_runs:
            self.has_begun = True
            yield self.progress()
        if self.is_over:
            yield from [self.progress(), *self.best(), self.driver()]
            return
        if self.sign is None:
            state = f"{self.out}: holds no runs yet, and no sweep is at work here; waiting for one"
        else:
            # Seconds of silence would make each of these lines new.
            state = self.driver() if self.sign.is_gone else f"{self.sign} runs the sweep"
        if state not in self.states:
            self.states.add(state)
            yield state
