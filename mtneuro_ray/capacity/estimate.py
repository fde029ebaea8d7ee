"""How long a sweep takes, and what it costs: its runs, with measured times, placed on machines. No torch, no ray."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import inf
from typing import TypeVar

from mtneuro_ray.capacity.costs import Cost, CostTable, Workload, workloads
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.space import Candidate, ResourceSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data.sampling import samples
from mtneuro_ray.errors import InputError
from mtneuro_ray.sweep.search import ROUND, Plan, Search, trainings_of

# Of a machine's memory Ray keeps the rest for its object store.
_RAYS_SHARE = 0.7

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Job:
    """One run as it is scheduled.

    Attributes:
        seconds: That it takes, by itself.
        share: Of one device, above 0 and at most 1.
    """

    seconds: float
    share: Fraction = Fraction(1)


def makespan(jobs: Sequence[Job], devices: int, most: int | None = None) -> float:
    """Seconds of list scheduling: each job, in its order, starts as soon as a device has room for its share.

    Args:
        jobs: In the order in which they are submitted.
        devices: That are equal.
        most: Jobs at once, on all devices together.
    """
    free = [Fraction(1)] * devices
    running: list[tuple[float, int, int, Fraction]] = []
    now = 0.0
    for number, job in enumerate(jobs):
        while True:
            place = next((device for device, room in enumerate(free) if room >= job.share), None)
            if place is not None and (most is None or len(running) < most):
                break
            now, _, done, share = heapq.heappop(running)
            free[done] += share
        free[place] -= job.share
        heapq.heappush(running, (now + job.seconds, number, place, job.share))
    return max((end for end, *_ in running), default=now)


@dataclass(frozen=True, slots=True)
class Machines:
    """Equal machines that a sweep runs on.

    Attributes:
        nodes: Their number.
        gpus: Of each.
        cpus: Of each; None where they are no limit.
    """

    nodes: int
    gpus: int = 0
    cpus: int | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """Runs between two barriers.

    Attributes:
        name: candidates, seeds or evaluations; each round of tpe is one of its own.
        runs: For each run the settings that it may have; more than one where the results of others decide.
        trains: Whether they train, or only evaluate what another run has trained.
    """

    name: str
    runs: tuple[tuple[RunSettings, ...], ...]
    trains: bool = True


@dataclass(frozen=True, slots=True)
class StageEstimate:
    """What one stage takes.

    Attributes:
        name: That of the stage.
        runs: Their number.
        run_s: Seconds of all runs together, each by itself.
        wall_s: From its start to its end, where trials that share a GPU don't slow each other down.
        unshared_s: The same where sharing gains nothing, as if each had a GPU to itself.
    """

    name: str
    runs: int
    run_s: float
    wall_s: float
    unshared_s: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a sweep takes of which no run is done.

    Attributes:
        stages: In their order; none where a workload was not measured.
        missing: Workloads that the table lacks.
        too_large: Workloads that did not fit where they were measured.
    """

    stages: tuple[StageEstimate, ...] = ()
    missing: tuple[str, ...] = ()
    too_large: tuple[str, ...] = ()


def stages_of(searches: Sequence[Search]) -> list[Stage]:
    """The stages of a sweep of which no run is done, as `runtime.sweep` runs them."""
    found = [Stage("candidates", runs) for runs in _cells(searches)]
    candidates = {search.name: _candidates(search) for search in searches}
    alternatives: dict[str, tuple[RunSettings, ...]] = {}
    finals: list[Plan] = []
    for search in searches:
        of_candidate = [search.final_plans(candidate) for candidate in candidates[search.name]]
        finals.extend(of_candidate[0])
        for plans in zip(*of_candidate, strict=True):
            alternatives[plans[0].run.run_id] = tuple(plan.run for plan in plans)
            if plans[0].encoder is not None:
                sources = tuple(plan.encoder.run for plan in plans if plan.encoder is not None)
                alternatives[plans[0].encoder.run.run_id] = sources
    # What candidates over seeds have trained is there already.
    kept = {
        plan.run.train_id
        for search in searches
        if search.space.search.over_seeds
        for plan in search.candidate_plans(_no_record)
    }
    trainings = trainings_of(finals)
    trained = {plan.run.run_id for plan in trainings}
    parts = {
        "seeds": [plan for plan in trainings if plan.run.train_id not in kept],
        "seeds, evaluated": [plan for plan in trainings if plan.run.train_id in kept],
        "evaluations": [plan for plan in finals if plan.run.run_id not in trained],
    }
    for name, part in parts.items():
        found.append(Stage(name, tuple(alternatives[plan.run.run_id] for plan in part), trains=name == "seeds"))
    return [stage for stage in found if stage.runs]


def _no_record(run_id: str) -> None:
    return None


def _candidates(search: Search) -> list[Candidate]:
    """The candidates of which one will be selected, as far as they differ in more than numbers between two ends."""
    search = search.origin or search
    return search.space.search.checked_candidates or [{}]


def _cells(searches: Sequence[Search]) -> Iterator[tuple[tuple[RunSettings, ...], ...]]:
    """The runs of each round of candidates; all but those of tpe are in the first."""
    first: list[tuple[RunSettings, ...]] = [
        (plan.run,)
        for search in searches
        if search.space.search.sampler != "tpe"
        for plan in search.candidate_plans(_no_record)
    ]
    by_tpe = [search for search in searches if search.space.searches and search.space.search.sampler == "tpe"]
    left = {search.name: search.space.search.trials or 0 for search in by_tpe}
    while first or any(left.values()):
        runs = first
        for search in by_tpe:
            size = min(search.space.search.round or ROUND, left[search.name])
            left[search.name] -= size
            runs.extend([tuple(search.candidate_run(candidate) for candidate in _candidates(search))] * size)
        yield tuple(runs)
        first = []


def seconds_of(run: RunSettings, cost: Cost, *, trains: bool = True) -> float:
    """How long a run takes in a process that is there already, by what its workload took.

    Args:
        run: What is trained, and of a `final` run evaluated on the test split.
        cost: Of its workload.
        trains: Whether it has to; else it only evaluates.
    """
    network, images = run.network, cost.image_s or 0.0
    counts: dict[Split, int] = {split: len(samples(run.task, split)) for split in ("train", "val", "test")}
    test = counts["test"] * images if run.role == "final" else 0.0
    if run.encoder_run is not None:
        return cost.setup_s + (counts["train"] + counts["test"]) * images
    if not trains:
        return cost.setup_s + test
    training = network.training
    steps = training.epochs * counts["train"] / training.batch_size
    encoder = cost.fit_s if cost.step_s is None else steps * cost.step_s
    assert encoder is not None
    val = counts["val"] * images
    if network.is_frozen:
        head = counts["train"] * (images + network.optimizer.epochs * cost.head_image_s)
        return cost.setup_s + encoder + head + val + test
    return cost.setup_s + encoder + network.optimizer.epochs * val + test


def longest_first(runs: Iterable[tuple[_T, float | None]]) -> list[_T]:
    """Runs in the order in which a sweep that knows their costs starts them.

    A stage ends with its last run; a long one that starts when others have ended leaves machines idle beside it
    (longest processing time first: Graham, 1969).

    Args:
        runs: With the seconds of each; None where they are not known, which comes first.
    """
    return [run for run, _ in sorted(runs, key=lambda each: inf if each[1] is None else each[1], reverse=True)]


@dataclass(frozen=True, slots=True)
class Estimator:
    """Times and places runs.

    Attributes:
        table: What was measured.
        resources: What a trial occupies; with `packing`, as many share a GPU as the table says will fit.
        machines: Where they run.
        device: GPU that was measured; that with least room by default.
    """

    table: CostTable
    resources: ResourceSettings
    machines: Machines
    device: str | None = None

    @property
    def on_gpu(self) -> bool:
        """Whether trials have GPUs."""
        return self.resources.gpus_per_worker > 0

    @property
    def devices(self) -> int:
        """What trials are placed on: GPUs, or machines."""
        return self.machines.nodes * (self.machines.gpus if self.on_gpu else 1)

    def estimate(self, stages: Iterable[Stage]) -> Estimate:
        """What the stages of a sweep take.

        Raises:
            InputError: a trial has no room on these machines.
        """
        stages = list(stages)
        every = (run for stage in stages for runs in stage.runs for run in runs)
        found = self._costs(every)
        missing = tuple(sorted(key for key, cost in found.items() if cost is None))
        costs = {key: cost for key, cost in found.items() if cost is not None}
        too_large = tuple(sorted(key for key, cost in costs.items() if not cost.fits))
        if missing or too_large:
            return Estimate(missing=missing, too_large=too_large)
        return Estimate(tuple(self._stage(stage, costs) for stage in stages))

    def _costs(self, runs: Iterable[RunSettings]) -> dict[str, Cost | None]:
        threads = self.resources.cpus_per_worker
        return {
            workload.key: self.table.find(workload, on_gpu=self.on_gpu, threads=threads, device=self.device)
            for workload in workloads(runs, on_gpu=self.on_gpu)
        }

    def _stage(self, stage: Stage, costs: Mapping[str, Cost]) -> StageEstimate:
        jobs, start = [], 0.0
        for runs in stage.runs:
            # Of the settings that a run may have, those that take longest.
            timed = [(seconds_of(run, cost, trains=stage.trains), run, cost) for run, cost in self._with(runs, costs)]
            seconds, run, cost = max(timed, key=lambda each: each[0])
            jobs.append(Job(seconds, Fraction(1, self._per_device(run, cost))))
            start = max(start, cost.process_s)
        if self.resources.packing:
            jobs = longest_first((job, job.seconds) for job in jobs)
        most = self.resources.max_concurrent
        wall = start + makespan(jobs, self.devices, most)
        unshared = start + makespan([Job(job.seconds) for job in jobs], self.devices, most) if self.on_gpu else wall
        return StageEstimate(stage.name, len(jobs), sum(job.seconds for job in jobs), wall, unshared)

    def _with(self, runs: Iterable[RunSettings], costs: Mapping[str, Cost]) -> Iterator[tuple[RunSettings, Cost]]:
        for run in runs:
            yield run, costs[Workload.of(run, on_gpu=self.on_gpu).key]

    def _per_device(self, run: RunSettings, cost: Cost) -> int:
        """Trials like this one that a device holds."""
        resources, machines = self.resources, self.machines
        if self.on_gpu:
            count = cost.per_device(run) if resources.packing else int(1 / resources.gpus_per_worker)
            by_cpus = None if machines.cpus is None else machines.cpus // machines.gpus // resources.cpus_per_worker
        else:
            count = int(_RAYS_SHARE * cost.device_bytes / cost.bytes_of(run)) if resources.packing else 2**31
            by_cpus = (machines.cpus or 0) // resources.cpus_per_worker
        count = count if by_cpus is None else min(max(count, 1), by_cpus)
        if count < 1:
            raise InputError(
                f"--cpus-per-node: {machines.cpus} are too few for a trial of {resources.cpus_per_worker} CPUs; "
                "accepted: as many as the machines have"
            )
        return count
