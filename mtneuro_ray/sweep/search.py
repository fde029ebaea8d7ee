"""Which runs a sweep consists of, and which candidate it selects. Pure: no torch, no ray, no files."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mtneuro_ray.config.axes import Axis, Range, Scalar, choices
from mtneuro_ray.config.loading import Pair
from mtneuro_ray.config.run import Role, RunSettings
from mtneuro_ray.config.space import Candidate, ExperimentSpace, Mode
from mtneuro_ray.storage.records import RunRecord

if TYPE_CHECKING:
    import optuna

RecordOf = Callable[[str], RunRecord | None]

ROUND = 4
"""Candidates that tpe proposes at once by default."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One run of a sweep.

    Attributes:
        run: What is trained.
        pair: The task and network that it comes from.
        point: The parameters under which Tune and Optuna know it, "experiment" first.
        metric: The metric that it is judged by.
        mode: Whether more or less of it is better.
        keeps_weights: Whether it leaves its weights for other runs, though it is a candidate.
        again: Whether it runs though it has a result, because the weights that others need are gone.
    """

    run: RunSettings
    pair: Pair
    point: Candidate
    metric: str
    mode: Mode
    keeps_weights: bool = False
    again: bool = False

    @property
    def encoder(self) -> Plan | None:
        """The run that trains the encoder of a readout."""
        if self.run.encoder_run is None or self.pair.encoder is None:
            return None
        pair = self.pair.encoder
        name = f"{pair.network.table_name}/{pair.task.name} (encoder)"
        return Plan(self.run.encoder_run, pair, {**self.point, "experiment": name}, pair.task.declaration.shown, "max")

    @property
    def experiment(self) -> str:
        """The experiment of the sweep that it belongs to, `model/task`."""
        return str(self.point["experiment"])

    @property
    def candidate(self) -> Candidate:
        """The parameters that the search, or the seeds, gave to it."""
        return {key: value for key, value in self.point.items() if key != "experiment"}

    def __str__(self) -> str:
        return " ".join([self.experiment, *(f"{key}={value}" for key, value in self.candidate.items())])


@dataclass(frozen=True, slots=True)
class Search:
    """One experiment of a sweep: a checked pair, its axes and seeds, and the data that it reads.

    Attributes:
        name: `model/task`.
        space: Axes, seeds, metric and mode.
        pair: Task and network.
        data: Identities of the volumes.
        encoder_data: The same of the encoder run of a readout.
        origin: The search whose candidate is taken, where nothing is searched here.
    """

    name: str
    space: ExperimentSpace
    pair: Pair
    data: tuple[str, ...]
    encoder_data: tuple[str, ...] = ()
    origin: Search | None = None

    @classmethod
    def of(cls, space: ExperimentSpace, pair: Pair, data: Sequence[str], encoder_data: Sequence[str] = ()) -> Search:
        """The search of an experiment."""
        return cls(f"{pair.network.table_name}/{pair.task.name}", space, pair, tuple(data), tuple(encoder_data))

    @classmethod
    def of_sweep(
        cls, entries: Iterable[tuple[ExperimentSpace, Pair]], identities: Callable[[Pair], Sequence[str]]
    ) -> list[Search]:
        """The searches of a sweep's settings.

        Args:
            entries: Of `load_sweep`.
            identities: Gives the identities of the volumes that a pair reads.
        """
        searches = [
            cls.of(space, pair, identities(pair), () if pair.encoder is None else identities(pair.encoder))
            for space, pair in entries
        ]
        by_name = {search.name: search for search in searches}
        return [
            replace(search, origin=by_name[f"{search.pair.network.table_name}/{search.space.candidate_of}"])
            if search.space.candidate_of is not None
            else search
            for search in searches
        ]

    @property
    def metric(self) -> str:
        """The metric that selects the candidate, or that a run without a search is judged by."""
        return self.space.metric or str(self.pair.task.declaration.shown)

    def candidate_plans(self, record_of: RecordOf) -> list[Plan]:
        """A run for each candidate that is known by now, each once, trained with the search's own seed.

        grid and random know all of theirs from the start. tpe knows a round, and the next as soon as every run of it
        has a record; the search is complete when no more come with all of these.

        Args:
            record_of: What a run ended with, by its run id; None for one that is still to be trained.
        """
        if not self.space.searches:
            return []
        if self.space.search.sampler == "tpe":
            return self._proposed(record_of)
        return [plan for candidate in self.space.search.candidates for plan in self._candidate_plans(candidate)]

    def final_plans(self, candidate: Candidate) -> list[Plan]:
        """A run for each seed at one candidate."""
        return [self._plan("final", seed, candidate, {**candidate, "seed": seed}) for seed in self.space.seeds]

    def best_candidate(self, record_of: RecordOf) -> Candidate | None:
        """The candidate with the best validation metric; the first of equals; None where none has ended with a number.

        Where nothing is searched it is the only one, or that of the `origin`.
        """
        if self.origin is not None:
            return self.origin.best_candidate(record_of)
        if not self.space.searches:
            return self.space.search.candidates[0]
        best: tuple[float, Candidate] | None = None
        sign = 1.0 if self.space.mode == "max" else -1.0
        values: dict[str, list[float | None]] = {}
        for plan in self.candidate_plans(record_of):
            record = record_of(plan.run.run_id)
            value = record.metric(self.metric) if record is not None and record.status == "done" else None
            candidate = {key: value for key, value in plan.candidate.items() if key in self.space.search.axes}
            of_candidate = values.setdefault(json.dumps(candidate), [])
            of_candidate.append(None if value is None or math.isnan(value) else value)
        for candidate_json, of_candidate in values.items():
            known = [value for value in of_candidate if value is not None]
            if len(known) == len(of_candidate):
                mean = sign * statistics.fmean(known)
                if best is None or mean > best[0]:
                    best = (mean, json.loads(candidate_json))
        return best[1] if best else None

    def candidate_run(self, candidate: Candidate) -> RunSettings:
        """The training of one candidate, with the search's own seed."""
        return self._candidate_plan(candidate).run

    def _candidate_plan(self, candidate: Candidate) -> Plan:
        return self._plan("candidate", self.space.search.seed, candidate, candidate)

    def _candidate_plans(self, candidate: Candidate) -> list[Plan]:
        if not self.space.search.over_seeds:
            return [self._candidate_plan(candidate)]
        return [self._plan("candidate", seed, candidate, {**candidate, "seed": seed}) for seed in self.space.seeds]

    def _plan(self, role: Role, seed: int, candidate: Candidate, point: Candidate) -> Plan:
        network = self.pair.network.replace(str(self.pair.network_file), **{**candidate, "seed": seed})
        encoder = None
        if self.pair.encoder is not None:
            encoder = RunSettings.of(self.pair.encoder.task, network, "final", self.encoder_data)
        run = RunSettings.of(self.pair.task, network, role, self.data, encoder)
        over_seeds = self.space.search.over_seeds
        return Plan(run, self.pair, {"experiment": self.name, **point}, self.metric, self.space.mode, over_seeds)

    def _proposed(self, record_of: RecordOf) -> list[Plan]:
        """Candidates of all rounds so far, from a study that is told every result again, in proposal order.

        Nothing is kept of it: the same records give the same study, in this process and in any other.
        """
        search = self.space.search
        study = _new_study(search.seed, self.space.mode)
        plans: dict[str, Plan] = {}
        left = search.trials or 0
        while left:
            trials = [study.ask() for _ in range(min(search.round or ROUND, left))]
            asked = [
                self._candidate_plan({key: _suggested(trial, key, axis) for key, axis in search.axes.items()})
                for trial in trials
            ]
            plans.update((plan.run.run_id, plan) for plan in asked)
            records = [record for plan in asked if (record := record_of(plan.run.run_id)) is not None]
            if len(records) < len(asked):
                break
            for trial, record in zip(trials, records, strict=True):
                _tell(study, trial, record, self.metric)
            left -= len(asked)
        return list(plans.values())


def trainings_of(finals: Iterable[Plan]) -> list[Plan]:
    """A run for each training that final runs need; every other of them only evaluates what it has left.

    A readout needs that of its encoder run. Of runs that differ in nothing but their test split it is the first.
    """
    trainings: dict[str, Plan] = {}
    for plan in sorted(finals, key=lambda plan: plan.encoder is not None):
        trainings.setdefault(plan.run.train_id, plan.encoder or plan)
    return list(trainings.values())


def _new_study(seed: int, mode: Mode) -> optuna.Study:
    """An in-memory study; Optuna's constant liar spreads the proposals of a round."""
    # Half a second, which only this sampler needs.
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    return optuna.create_study(sampler=sampler, direction="maximize" if mode == "max" else "minimize")


def _suggested(trial: optuna.Trial, key: str, axis: Axis) -> Scalar:
    values = choices(axis)
    if isinstance(values, Range):
        return values.rounded(trial.suggest_float(key, values.low, values.high, log=values.log))
    if isinstance(values, range):
        return trial.suggest_int(key, values[0], values[-1], step=values.step)
    return values[trial.suggest_categorical(key, range(len(values)))]


def _tell(study: optuna.Study, trial: optuna.Trial, record: RunRecord, metric: str) -> None:
    """Tell a study how a candidate ended: with a number, stopped on its way, or without a result."""
    from optuna.trial import TrialState

    value = record.metric(metric)
    if record.status == "done" and value is not None and math.isfinite(value):
        study.tell(trial, value)
    elif record.status == "stopped":
        for entry in record.history:
            trial.report(entry[metric], entry["epoch"])
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, state=TrialState.FAIL)
