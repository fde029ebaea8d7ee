"""How long a sweep takes, and what it costs: its runs, with measured times, placed on machines. No torch, no Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod

from mtneuro_ray.capacity.costs import Cost, CostTable, Workload, workloads
from mtneuro_ray.capacity.play import Load, Played, play
from mtneuro_ray.config.resources import ResourceSettings
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data.sampling import count_samples
from mtneuro_ray.errors import InputError
from mtneuro_ray.sweep.experiment import Experiment, PlannedRun
from mtneuro_ray.sweep.sweep import Stage, Sweep

# Of a machine's memory Ray keeps the rest for its object store.
_RAYS_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class Machines:
    """Equal machines that a sweep runs on.

    Attributes:
        nodes: Number of machines.
        gpus: GPUs of each.
        cpus: CPUs of each; None where they are no limit.
    """

    nodes: int
    gpus: int = 0
    cpus: int | None = None


@dataclass(frozen=True, slots=True)
class StageEstimate:
    """What one stage takes.

    Attributes:
        name: Name of the stage.
        runs: Number of runs.
        run_s: Seconds of all runs together, each by itself.
    """

    name: Stage
    runs: int
    run_s: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a sweep takes of which no run is done.

    Attributes:
        stages: The stages; none where a workload was not measured.
        wall_s: Seconds from the start to the end, where trials that share a GPU do not slow each other down.
        unshared_s: The same where sharing gains nothing, as if each trial had a GPU to itself.
        missing: Workloads that the table lacks.
        too_large: Workloads that did not fit where they were measured.
    """

    stages: tuple[StageEstimate, ...] = ()
    wall_s: float = 0.0
    unshared_s: float = 0.0
    missing: tuple[str, ...] = ()
    too_large: tuple[str, ...] = ()


def seconds_of(run: RunSettings, cost: Cost, *, trains: bool = True) -> float:
    """How long a run takes in a process that is there already, by what its workload took.

    Args:
        run: What is trained, and of a `final` run evaluated on the test split.
        cost: Of its workload.
        trains: Whether it has to; else it only evaluates.
    """
    network, images = run.network, cost.image_s or 0.0
    counts: dict[Split, int] = {split: count_samples(run.task, split) for split in ("train", "val", "test")}
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


def work_of(run: RunSettings, *, trains: bool = True) -> float:
    """An amount of work that tells longer runs from shorter ones where nothing was measured; it has no unit.

    Voxels times epochs, times the square of the model's filters where it has a number of them.

    Args:
        run: What is trained, and of a `final` run evaluated on the test split.
        trains: Whether it has to; else it only evaluates.
    """
    task = run.task
    voxels = task.volume_z * prod(side // task.downsample for side in task.tile_size)
    test = count_samples(task, "test") if run.role == "final" else 0
    # A forward pass is about a third of a step.
    steps = run.network.training.epochs * count_samples(task, "train") if trains and run.encoder_run is None else 0
    return voxels * (steps + test / 3) * getattr(run.network.model, "start_filters", 32) ** 2


@dataclass(frozen=True, slots=True)
class Estimator:
    """Times and places runs.

    Attributes:
        table: What was measured.
        resources: What a trial occupies; with `packing`, as many share a GPU as the table says will fit.
        machines: Where they run.
        device: GPU that was measured; by default the one with the least room.
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
        """Number of devices that trials are placed on: GPUs, or machines."""
        return self.machines.nodes * (self.machines.gpus if self.on_gpu else 1)

    def estimate(self, experiments: Sequence[Experiment]) -> Estimate:
        """What a sweep takes: it is played through, the slowest candidate of each search being the one selected.

        Raises:
            InputError: a trial has no room on these machines.
        """
        every = {experiment.name: experiment.spread() for experiment in experiments}
        runs = [planned.run for planned_runs in every.values() for planned in planned_runs]
        threads = self.resources.cpus_per_worker
        found = {
            workload.key: self.table.find(workload, on_gpu=self.on_gpu, threads=threads, device=self.device)
            for workload in workloads(runs, on_gpu=self.on_gpu)
        }
        missing = tuple(sorted(key for key, cost in found.items() if cost is None))
        costs = {key: cost for key, cost in found.items() if cost is not None}
        too_large = tuple(sorted(key for key, cost in costs.items() if not cost.fits))
        if missing or too_large:
            return Estimate(missing=missing, too_large=too_large)
        start = max(cost.process_s for cost in costs.values())
        played = self._play(experiments, every, costs, shares=True)
        unshared = self._play(experiments, every, costs, shares=False) if self.on_gpu else played
        stages = tuple(StageEstimate(stage, count, played.run_s[stage]) for stage, count in played.runs.items())
        return Estimate(stages, start + played.wall_s, start + unshared.wall_s)

    def _play(
        self,
        experiments: Sequence[Experiment],
        every: Mapping[str, Sequence[PlannedRun]],
        costs: Mapping[str, Cost],
        *,
        shares: bool,
    ) -> Played:
        others = [planned for each in every.values() for planned in each]

        def load_of(planned: PlannedRun, stage: Stage) -> Load:
            trains = stage != "evaluate"
            cost = costs.get(Workload.of(planned.run, on_gpu=self.on_gpu).key)
            # Between the ends of a range nothing was measured: the slowest that was stands for it.
            runs = [planned.run] if cost is not None else [other.run for other in every.get(planned.experiment, others)]
            timed = []
            for run in runs:
                cost = costs[Workload.of(run, on_gpu=self.on_gpu).key]
                timed.append((seconds_of(run, cost, trains=trains), self._per_device(run, cost)))
            seconds, count = max(timed)
            priority = 2 * seconds if planned.run.role == "candidate" else seconds
            return Load(seconds, Fraction(1, count) if shares else Fraction(1), priority)

        return play(Sweep(experiments), load_of, self.devices, self.resources.max_concurrent)

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
