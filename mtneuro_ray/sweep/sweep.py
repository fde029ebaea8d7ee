"""The runs of a sweep: those that are needed, ready to start, or selected, given the records of ended runs.

The only implementation of this rule: the driver, the plan's estimate, `results runs --watch` and the simulation of a
cluster use it. It uses neither Ray nor files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.storage.records import RunRecord
from mtneuro_ray.sweep.experiment import Experiment, PlannedRun, Rounds, Selection

Stage = Literal["search", "repeat", "evaluate"]
STAGES: tuple[Stage, ...] = ("search", "repeat", "evaluate")


@dataclass(frozen=True, slots=True)
class Total:
    """Numbers of runs of a stage.

    Attributes:
        known: Runs with known settings, ended or not.
        done: Known runs that are done or were stopped.
        failed: Known runs that ended in an error.
        unknown: Upper limit of the runs to come whose settings depend on results.
    """

    known: int = 0
    done: int = 0
    failed: int = 0
    unknown: int = 0

    @property
    def expected(self) -> int:
        """Upper limit of all runs of the stage."""
        return self.known + self.unknown


@dataclass(slots=True)
class _Search:
    """State of one experiment.

    Attributes:
        experiment: The experiment.
        rounds: Generator of the rounds to come.
        round: Runs of the current round; a run may occur twice.
        runs: Run id -> run, for all rounds so far.
        is_over: True if no round is to come.
        finals: Final runs, empty if no candidate has a value; None while the candidate is unknown.
    """

    experiment: Experiment
    rounds: Rounds
    round: list[PlannedRun] = field(default_factory=list)
    runs: dict[str, PlannedRun] = field(default_factory=dict)
    is_over: bool = False
    finals: list[PlannedRun] | None = None


def is_result(record: RunRecord, *, stops: bool) -> bool:
    """True if the record of an earlier sweep counts as a result; otherwise its run is trained again.

    Args:
        record: The record.
        stops: True if this sweep stops candidates early; then stopped candidates count, too.
    """
    return record.status == "done" or (stops and record.status == "stopped")


def _slim(record: RunRecord, *, ends_now: bool = False) -> RunRecord:
    """The record without the fields that no rule reads, because thousands are kept in memory.

    Of a run that ends in this sweep, proposals read the history if it was stopped. The scheduler and Optuna's log are
    shown the histories of earlier sweeps.
    """
    numbers = {
        split: {name: value for name, value in values.items() if isinstance(value, float)}
        for split, values in record.metrics.items()
    }
    slim = replace(record, settings={}, metrics=numbers, class_counts={}, versions={}, notes=[])
    if not ends_now:
        return slim
    history = record.history if record.status == "stopped" else []
    return replace(slim, history=history, timings={}, placement={}, normalization={})


class Sweep:
    """The runs of a list of experiments, and their state.

    The final runs of an experiment are known as soon as its own search is over. Of final runs with equal weights one
    trains and the others wait for it; a readout waits for its encoder run. The set of runs and every selection depend
    on the records alone, not on the order in which the runs end.

    Args:
        experiments: Experiments with distinct names.
        records: Records of earlier sweeps that count as results (see `is_result`).
        has_weights: Returns whether the finished training of a run has left its weights. Called for ended runs only.
    """

    def __init__(
        self,
        experiments: Sequence[Experiment],
        records: Iterable[RunRecord] = (),
        has_weights: Callable[[RunSettings], bool] = lambda run: True,
    ) -> None:
        self.experiments = list(experiments)
        self._has_weights = has_weights
        self._searches = {experiment.name: _Search(experiment, experiment.rounds()) for experiment in experiments}
        self._followers: dict[str, list[_Search]] = {}
        for search in self._searches.values():
            self._followers.setdefault(search.experiment.origin or search.experiment.name, []).append(search)
        self._records = {record.run_id: _slim(record) for record in records}
        self._known: dict[str, PlannedRun] = {}
        self._stages: dict[str, Stage] = {}
        # Id of weights -> runs that train or evaluate them; id of weights -> readouts of this encoder.
        self._of_weights: dict[str, list[PlannedRun]] = {}
        self._readouts: dict[str, list[PlannedRun]] = {}
        self._trained: dict[str, bool] = {}
        self._open: dict[str, PlannedRun] = {}
        # Runs that became known since the last call of `end`.
        self._new: list[PlannedRun] = []
        for search in self._searches.values():
            self._advance(search)
        self._told = {planned.run_id for planned in self.ready()}

    @property
    def known(self) -> list[PlannedRun]:
        """All known runs, ended or not, in the order of the experiments."""
        ordered: dict[str, PlannedRun] = {}
        for search in self._searches.values():
            ordered.update(search.runs)
            for planned in search.finals or ():
                runs = [planned] if planned.encoder is None else [planned.encoder, planned]
                ordered.update((each.run_id, self._known[each.run_id]) for each in runs)
        return list(ordered.values())

    def find(self, run_id: str) -> PlannedRun | None:
        """The known run with this id; None without one."""
        return self._known.get(run_id)

    @property
    def open(self) -> list[PlannedRun]:
        """Known runs that have not ended; none if the sweep is complete."""
        return list(self._open.values())

    @property
    def records(self) -> Mapping[str, RunRecord]:
        """Run id -> record of each ended run, without settings, class counts, versions and notes.

        Of one that ended in this sweep also without timings and placement, and without history unless it was stopped.
        """
        return self._records

    def stage(self, planned: PlannedRun) -> Stage:
        """The stage of a known run: "evaluate" for a final run whose weights another run trains."""
        return self._stages[planned.run_id]

    def ready(self) -> list[PlannedRun]:
        """Open runs that need no result of another open run, in the order in which they became known."""
        return [planned for planned in self._open.values() if self.is_ready(planned)]

    def is_ready(self, planned: PlannedRun) -> bool:
        """True if an open run needs no result of another open run."""
        if planned.run.role == "candidate":
            return True
        if planned.encoder is not None and planned.encoder.run_id in self._open:
            return False
        if self._has_trained(planned.train_id):
            return True
        waiting = [self._open[each.run_id] for each in self._of_weights[planned.train_id] if each.run_id in self._open]
        if planned.encoder is not None:
            # The encoder run failed; another run with equal weights may succeed.
            return not waiting
        trainer = next((each for each in waiting if each.again), waiting[0])
        return trainer.run_id == planned.run_id

    def end(self, record: RunRecord) -> list[PlannedRun]:
        """Record that a run has ended.

        Returns:
            The runs that become ready by it. Each run is returned at most once, and not if it was ready from the start.
        """
        planned = self._open.pop(record.run_id)
        self._records[record.run_id] = _slim(record, ends_now=True)
        if record.status == "done" and (planned.keeps_weights or planned.run.role == "final"):
            self._trained[planned.train_id] = True
        self._new = []
        if planned.run.role == "candidate":
            self._advance(self._searches[planned.experiment])
        waiting = [*self._of_weights.get(planned.train_id, ()), *self._readouts.get(planned.train_id, ())]
        touched = dict.fromkeys(each.run_id for each in [*waiting, *self._new])
        open_now = [self._open[run_id] for run_id in touched if run_id in self._open and run_id not in self._told]
        ready = [each for each in open_now if self.is_ready(each)]
        self._told.update(each.run_id for each in ready)
        return ready

    def best(self, experiment: Experiment) -> Selection | None:
        """The best candidate so far in the search of an experiment or of its origin; None without a value."""
        search = self._searches[experiment.origin or experiment.name]
        return search.experiment.selection(search.runs.values(), self._records)

    def totals(self) -> dict[Stage, Total]:
        """Numbers of runs of each stage."""
        counts = {stage: {"known": 0, "done": 0, "failed": 0, "unknown": 0} for stage in STAGES}
        for run_id, stage in self._stages.items():
            counts[stage]["known"] += 1
            if run_id not in self._open:
                counts[stage]["failed" if self._records[run_id].status == "error" else "done"] += 1
        for search in self._searches.values():
            space = search.experiment.space
            if not search.is_over:
                counts["search"]["unknown"] += max(0, space.num_candidate_runs - len(search.runs))
            if search.finals is None:
                counts["repeat"]["unknown"] += len(space.seeds)
        return {stage: Total(**each) for stage, each in counts.items()}

    def problems(self) -> list[str]:
        """Errors, one line per run or experiment, in the order of the experiments; empty if all runs are done."""
        lines = [
            f"{name}: no candidate has a validation value, so there is nothing to repeat"
            for name, search in self._searches.items()
            if search.finals == []
        ]
        for planned in self.known:
            record = self._records.get(planned.run_id)
            if record is None or record.status == "error":
                lines.append(f"{planned}: {record.error if record else 'no result'}")
        return lines

    def _advance(self, search: _Search) -> None:
        """Start the next round if all runs of the current one have ended; after the last round, add the final runs."""
        while not search.is_over and all(planned.run_id not in self._open for planned in search.round):
            try:
                if not search.round:
                    search.round = next(search.rounds)
                else:
                    search.round = search.rounds.send([self._records[planned.run_id] for planned in search.round])
            except StopIteration:
                search.is_over = True
                for follower in self._followers.get(search.experiment.name, ()):
                    self._repeat(follower)
                break
            for planned in search.round:
                search.runs[planned.run_id] = planned
                self._add(planned, "search")

    def _repeat(self, search: _Search) -> None:
        """Add the final runs of an experiment, once its candidate is known."""
        experiment = search.experiment
        origin = self._searches[experiment.origin or experiment.name].experiment
        if not origin.space.searches:
            search.finals = experiment.final_runs(origin.space.search.candidates[0])
        else:
            selection = self.best(experiment)
            search.finals = [] if selection is None else experiment.final_runs(dict(selection.best.candidate))
        for planned in search.finals:
            if planned.encoder is not None:
                self._add(planned.encoder, "repeat")
                self._readouts.setdefault(planned.train_id, []).append(planned)
            self._add(planned, "repeat")

    def _add(self, planned: PlannedRun, stage: Stage) -> None:
        run_id = planned.run_id
        if run_id in self._known:
            return
        self._known[run_id] = planned
        self._new.append(planned)
        is_readout = planned.run.encoder_run is not None
        others = self._of_weights.setdefault(planned.train_id, [])
        self._stages[run_id] = "evaluate" if is_readout or (stage == "repeat" and others) else stage
        if (planned.run.role == "final" and not is_readout) or planned.keeps_weights:
            others.append(planned)
        if run_id not in self._records:
            self._open[run_id] = planned
            if planned.encoder is not None:
                self._train_again(self._known[planned.encoder.run_id])

    def _train_again(self, encoder: PlannedRun) -> None:
        """Open a finished encoder run again if the weights that a readout needs are gone."""
        trainers = [encoder, *self._of_weights[encoder.train_id]]
        if any(each.run_id in self._open for each in trainers) or self._records[encoder.run_id].status != "done":
            return
        if not self._has_trained(encoder.train_id):
            self._open[encoder.run_id] = replace(encoder, again=True)

    def _has_trained(self, train_id: str) -> bool:
        """True if a finished run has left these weights."""
        if train_id not in self._trained:
            ended = [each for each in self._of_weights[train_id] if each.run_id in self._records]
            done = next((each for each in ended if self._records[each.run_id].status == "done"), None)
            if done is None:
                return False
            self._trained[train_id] = self._has_weights(done.run)
        return self._trained[train_id]
