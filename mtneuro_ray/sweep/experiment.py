"""One experiment of a sweep: the runs of its search, round by round, and its final runs. No torch, no Ray, no files."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from mtneuro_ray.config.pairs import Pair
from mtneuro_ray.config.run import Role, RunSettings
from mtneuro_ray.config.space import Candidate, ExperimentSpace, Mode
from mtneuro_ray.storage.records import RunRecord
from mtneuro_ray.sweep.selection import Scored, Selection, select

if TYPE_CHECKING:
    from mtneuro_ray.sweep.tpe import Tpe

ROUND = 4
"""Candidates that tpe proposes at once by default."""


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep.

    Attributes:
        run: Settings of the training.
        pair: The task and network that the settings come from.
        experiment: Name of its experiment, `model/task`.
        candidate: Searched key -> value; of a final run also its seed.
        metric: The metric that it is judged by.
        mode: Whether more ("max") or less ("min") of the metric is better.
        keeps_weights: Whether it leaves its weights for other runs although it is a candidate.
        again: Whether it is trained although it has a result, because weights that a readout needs are gone.
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
        """Id of the weights that the run trains or reads."""
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
"""Yields the runs of a round; is sent their records, in the same order, and yields the next round."""


def _addresses(pair: Pair) -> list[str]:
    return [pair.task.image_chan, str(pair.task.annotation_chan)]


@dataclass(frozen=True)
class Experiment:
    """A checked pair of task and network, its axes and seeds, and the data that it reads.

    Attributes:
        space: Axes, seeds, metric and mode.
        pair: Task and network.
        data: Identities of the volumes.
        encoder_data: For a readout, identities of the volumes that its encoder is trained on.
        origin: Name of the experiment whose candidate is taken, where nothing is searched here.
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
            entries: What `load_sweep` returns.
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
        """Its name in tables and progress lines, `model/task`."""
        return f"{self.pair.network.table_name}/{self.pair.task.name}"

    @property
    def metric(self) -> str:
        """The metric that selects the candidate, or that a run without a search is judged by."""
        return self.space.metric or str(self.pair.task.declaration.shown)

    def rounds(self) -> Rounds:
        """The runs of the search, in rounds.

        grid and random have one round. tpe has a round for each proposal of Optuna; equal records give equal rounds, in
        this process and in any other. A candidate that was proposed before is in the round again, as the same run.
        """
        if not self.space.searches:
            return
        if self.space.search.sampler == "tpe":
            yield from self._proposed()
        else:
            yield [planned for candidate in self.space.search.candidates for planned in self._candidate_runs(candidate)]

    def final_runs(self, candidate: Candidate) -> list[PlannedRun]:
        """A run for each seed at one candidate."""
        return [self._planned("final", seed, candidate, {**candidate, "seed": seed}) for seed in self.space.seeds]

    def candidate_run(self, candidate: Candidate) -> PlannedRun:
        """The training of one candidate with the search's own seed."""
        return self._planned("candidate", self.space.search.seed, candidate, candidate)

    def spread(self) -> list[RunSettings]:
        """Final runs with every workload that can come: all listed values, and the ends of ranges, at one seed."""
        seed = self.space.seeds[0]
        return [self._planned("final", seed, each, each).run for each in self.space.search.checked_candidates]

    def selection(self, runs: Iterable[PlannedRun], records: Mapping[str, RunRecord]) -> Selection | None:
        """The best of some candidates by what their runs ended with.

        Args:
            runs: Runs of the search, in their order; with `over_seeds` several of each candidate.
            records: Run id -> record; a run without one, or one that was stopped or failed, has no value.

        Returns:
            None where no candidate has a value for each of its seeds.
        """
        values: dict[str, list[float | None]] = {}
        for planned in runs:
            record = records.get(planned.run_id)
            value = record.metric(self.metric) if record is not None and record.status == "done" else None
            candidate = {key: value for key, value in planned.candidate.items() if key in self.space.search.axes}
            values.setdefault(json.dumps(candidate), []).append(value)
        scored = [Scored(json.loads(candidate), tuple(each)) for candidate, each in values.items()]
        return select(scored, self.space.mode)

    @property
    def only_candidate(self) -> Candidate | None:
        """The candidate that needs no search to be known; None where there is a search, here or in the origin."""
        return None if self.space.searches or self.origin is not None else self.space.search.candidates[0]

    def _candidate_runs(self, candidate: Candidate) -> list[PlannedRun]:
        if not self.space.search.over_seeds:
            return [self.candidate_run(candidate)]
        return [self._planned("candidate", seed, candidate, {**candidate, "seed": seed}) for seed in self.space.seeds]

    def _planned(self, role: Role, seed: int, candidate: Candidate, told: Candidate) -> PlannedRun:
        network = self.pair.network.replace(str(self.pair.network_file), **{**candidate, "seed": seed})
        encoder = None
        if self.pair.encoder is not None:
            encoder = RunSettings.of(self.pair.encoder.task, network, "final", self.encoder_data)
        run = RunSettings.of(self.pair.task, network, role, self.data, encoder)
        keeps = role == "candidate" and self.space.search.over_seeds
        return PlannedRun(run, self.pair, self.name, told, self.metric, self.space.mode, keeps)

    def _proposed(self) -> Rounds:
        # Half a second of imports, which only this sampler needs.
        from mtneuro_ray.sweep.tpe import Tpe

        search = self.space.search
        tpe: Tpe = Tpe(search.axes, search.seed, self.space.mode, self.metric)
        left = search.trials or 0
        while left:
            size = min(search.round or ROUND, left)
            runs = [self.candidate_run(candidate) for candidate in tpe.ask(size)]
            tpe.tell((yield runs))
            left -= size
