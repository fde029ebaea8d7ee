"""One experiment of a sweep: its search, the selection of the best candidate, and its final runs. Without files."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from mtneuro_ray.config.pairs import Pair
from mtneuro_ray.config.run import Role, RunSettings
from mtneuro_ray.config.search_axes import Scalar
from mtneuro_ray.config.space import Candidate, ExperimentSpace, Mode
from mtneuro_ray.storage.records import RunRecord

# Default number of candidates that TPE proposes at once.
_ROUND = 4


@dataclass(frozen=True, slots=True)
class Scored:
    """A candidate with its validation values.

    Attributes:
        candidate: Searched key -> value.
        values: The metric for each seed of the search; None for a run without a number.
    """

    candidate: Mapping[str, Scalar]
    values: tuple[float | None, ...]

    @property
    def mean(self) -> float | None:
        """Mean over the seeds; None unless every seed has a finite value."""
        known = [value for value in self.values if value is not None and math.isfinite(value)]
        return statistics.fmean(known) if known and len(known) == len(self.values) else None

    @property
    def std(self) -> float:
        """Sample standard deviation (ddof 1) over the seeds; 0 for a single seed."""
        known = [value for value in self.values if value is not None]
        return statistics.stdev(known) if len(known) > 1 else 0.0


@dataclass(frozen=True, slots=True)
class Selection:
    """The selected candidate and its rivals.

    Attributes:
        best: The candidate with the best mean; the first one of equal means.
        ties: Other candidates with exactly the same mean.
        close: Other candidates within one standard deviation (over the best's seeds) of the best, ties left out.
    """

    best: Scored
    ties: tuple[Scored, ...]
    close: tuple[Scored, ...]


def select(scored: Sequence[Scored], mode: Mode) -> Selection | None:
    """The candidate with the best mean over seeds. This is the only place where candidates are compared.

    Args:
        scored: Candidates in the order of their search, which decides between equal means.
        mode: "max" if larger values are better, "min" if smaller ones are.

    Returns:
        None if no candidate has a finite value for each of its seeds.
    """
    sign = 1.0 if mode == "max" else -1.0
    known = [(candidate, mean) for candidate in scored if (mean := candidate.mean) is not None]
    if not known:
        return None
    best, best_mean = max(known, key=lambda pair: sign * pair[1])
    others = [(candidate, mean) for candidate, mean in known if candidate is not best]
    ties = tuple(candidate for candidate, mean in others if mean == best_mean)
    close = tuple(candidate for candidate, mean in others if mean != best_mean and abs(best_mean - mean) <= best.std)
    return Selection(best, ties, close)


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep.

    Attributes:
        run: Settings of the run.
        pair: The task and network that the settings come from.
        experiment: Name of the experiment, `model/task`.
        candidate: Searched key -> value; for a final run also "seed".
        metric: Name of the validation metric, or of the metric to show where nothing is selected.
        mode: "max" if larger values of the metric are better, "min" if smaller ones are.
        keeps_weights: True for a candidate that leaves its weights for other runs.
        again: True for a finished run that is trained again because a readout needs its weights and they are gone.
    """

    run: RunSettings
    pair: Pair
    experiment: str
    candidate: Candidate
    metric: str
    mode: Mode
    keeps_weights: bool = False
    again: bool = False

    @cached_property
    def run_id(self) -> str:
        """Id of the run."""
        return self.run.run_id

    @cached_property
    def train_id(self) -> str:
        """Id of the trained weights, shared by all runs that need the same training."""
        return self.run.train_id

    @cached_property
    def encoder(self) -> PlannedRun | None:
        """For a readout, the run that trains its encoder."""
        if self.run.encoder_run is None or self.pair.encoder is None:
            return None
        pair = self.pair.encoder
        name = f"{pair.network.table_name}/{pair.task.name} (encoder)"
        return PlannedRun(self.run.encoder_run, pair, name, self.candidate, pair.task.declaration.shown, "max")

    def __str__(self) -> str:
        return " ".join([self.experiment, *(f"{key}={value}" for key, value in self.candidate.items())])


Rounds = Generator[list[PlannedRun], Sequence[RunRecord], None]
"""Generator of rounds: yields the runs of a round, and is sent their records in the same order."""


def _addresses(pair: Pair) -> list[str]:
    return pair.task.addresses


@dataclass(frozen=True)
class Experiment:
    """A task with a network, its search and seeds, and the data that it reads.

    Attributes:
        space: Axes, seeds, metric and mode.
        pair: Task and network, checked to fit together.
        data: Identities of the volumes, image first.
        encoder_data: For a readout, identities of the volumes that its encoder is trained on.
        origin: Name of another experiment, whose selected candidate is used instead of a search.
    """

    space: ExperimentSpace
    pair: Pair
    data: tuple[str, ...]
    encoder_data: tuple[str, ...] = ()
    origin: str | None = None

    @classmethod
    def of_entries(
        cls,
        entries: Iterable[tuple[ExperimentSpace, Pair]],
        identities: Callable[[Pair], Sequence[str]] = _addresses,
    ) -> list[Experiment]:
        """The experiments of a sweep.

        Args:
            entries: Checked experiments, as `load_sweep` returns them.
            identities: Returns the identities of the volumes that a pair reads; by default their addresses, to count
                or measure runs without opening a volume.
        """
        return [
            cls(
                space,
                pair,
                tuple(identities(pair)),
                () if pair.encoder is None else tuple(identities(pair.encoder)),
                None if space.candidate_of is None else f"{pair.network.table_name}/{space.candidate_of}",
            )
            for space, pair in entries
        ]

    @property
    def name(self) -> str:
        """Name in tables and progress lines, `model/task`."""
        return f"{self.pair.network.table_name}/{self.pair.task.name}"

    @property
    def metric(self) -> str:
        """Name of the validation metric that selects the candidate; without a search, of the metric to show."""
        return self.space.metric or str(self.pair.task.declaration.shown)

    def rounds(self) -> Rounds:
        """The runs of the search, in rounds.

        The samplers grid and random have one round; tpe has a round for each set of proposals. Equal records give equal
        rounds in every process. A candidate that is proposed again is in the round again, as the same run.
        """
        if not self.space.searches:
            return
        if self.space.search.sampler == "tpe":
            yield from self._tpe_rounds()
        else:
            seeds = self.space.seeds if self.space.search.over_seeds else (None,)
            yield [self._planned("candidate", each, seed) for each in self.space.search.candidates for seed in seeds]

    def final_runs(self, candidate: Candidate) -> list[PlannedRun]:
        """The final runs at one candidate, one for each seed."""
        return [self._planned("final", candidate, seed) for seed in self.space.seeds]

    def spread(self) -> list[RunSettings]:
        """Final runs with every possible workload: all listed values and the ends of ranges, at one seed."""
        candidates = self.space.search.checked_candidates
        return [self._planned("final", candidate, self.space.seeds[0]).run for candidate in candidates]

    def selection(self, runs: Iterable[PlannedRun], records: Mapping[str, RunRecord]) -> Selection | None:
        """The best candidate of a search by the records of its runs.

        Args:
            runs: Runs of the search, in their order; with `over_seeds` several for each candidate.
            records: Run id -> record. A run that is missing, was stopped or failed has no value.

        Returns:
            None if no candidate has a value for each of its seeds.
        """
        values: dict[str, list[float | None]] = {}
        for planned in runs:
            record = records.get(planned.run_id)
            value = record.metric(self.metric) if record is not None and record.status == "done" else None
            candidate = {key: value for key, value in planned.candidate.items() if key in self.space.search.axes}
            values.setdefault(json.dumps(candidate), []).append(value)
        scored = [Scored(json.loads(candidate), tuple(each)) for candidate, each in values.items()]
        return select(scored, self.space.mode)

    def _planned(self, role: Role, candidate: Candidate, seed: int | None = None) -> PlannedRun:
        """The run of one candidate, with this seed or the search's own; only a seed given here is part of its name."""
        named = candidate if seed is None else {**candidate, "seed": seed}
        network = self.pair.network.replace(str(self.pair.network_file), **{"seed": self.space.search.seed, **named})
        encoder = None
        if self.pair.encoder is not None:
            encoder = RunSettings.of(self.pair.encoder.task, network, "final", self.encoder_data)
        run = RunSettings.of(self.pair.task, network, role, self.data, encoder)
        keeps = role == "candidate" and self.space.search.over_seeds
        return PlannedRun(run, self.pair, self.name, named, self.metric, self.space.mode, keeps)

    def _tpe_rounds(self) -> Rounds:
        # Not at the top: that module imports this one.
        from mtneuro_ray.sweep.study import Tpe

        search = self.space.search
        tpe = Tpe(search.axes, search.seed, self.space.mode, self.metric)
        left = search.trials or 0
        while left:
            size = min(search.round or _ROUND, left)
            runs = [self._planned("candidate", candidate) for candidate in tpe.ask(size)]
            tpe.tell((yield runs))
            left -= size
