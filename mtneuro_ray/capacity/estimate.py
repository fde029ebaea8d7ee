"""How long a sweep takes on given machines: its runs, with measured times, simulated. No torch, no Ray."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import count

from mtneuro_ray.capacity.costs import Cost, CostTable, Workload, voxels_of, workloads
from mtneuro_ray.config.resources import ResourceSettings
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data.sampling import count_predicted, count_samples
from mtneuro_ray.errors import InputError
from mtneuro_ray.storage.records import RunRecord
from mtneuro_ray.sweep.experiment import Experiment, PlannedRun
from mtneuro_ray.sweep.sweep import STAGES, Stage, Sweep

# Share of a machine's memory for trials; Ray keeps the rest for its object store.
_MEMORY_FOR_TRIALS = 0.7


def seconds_of(run: RunSettings, cost: Cost, *, trains: bool = True) -> float:
    """Seconds that a run takes in a process that has started, from the measured cost of its workload.

    A `final` run includes its evaluation on the test split; without `trains` it only evaluates.
    """
    network, images = run.network, cost.image_s or 0.0
    counts: dict[Split, int] = {split: count_samples(run.task, split) for split in ("train", "val", "test")}
    test = count_predicted(run.task, "test") * images if run.role == "final" else 0.0
    if run.encoder_run is not None:
        return cost.setup_s + sum(counts.values()) * images
    if not trains:
        return cost.setup_s + test
    training = network.training
    steps = training.epochs * counts["train"] / training.batch_size
    encoder = cost.fit_s if cost.step_s is None else steps * cost.step_s
    assert encoder is not None
    val = count_predicted(run.task, "val") * images
    if network.is_frozen:
        head = counts["train"] * (images + network.optimizer.epochs * cost.head_image_s)
        return cost.setup_s + encoder + head + val + test
    return cost.setup_s + encoder + network.optimizer.epochs * val + test


def work_of(run: RunSettings, *, trains: bool = True) -> float:
    """Relative work of a run, without a unit, to order runs that were not measured.

    Voxels times epochs times parameters of the model. A `final` run includes its evaluation on the test split; without
    `trains` it only evaluates.
    """
    task = run.task
    test = count_predicted(task, "test") if run.role == "final" else 0
    # A forward pass is about a third of a step.
    epochs = run.network.training.epochs if run.network.method_declaration.by_steps else 1
    steps = epochs * count_samples(task, "train") if trains and run.encoder_run is None else 0
    parameters = float(run.network.declaration.count_parameters(run.network.model))
    return voxels_of(task) * (steps + test / 3) * parameters


@dataclass(frozen=True, slots=True)
class Load:
    """Seconds of one run, its share (above 0, at most 1) of a device, and its priority: larger starts earlier."""

    seconds: float
    share: Fraction = Fraction(1)
    priority: float = 0.0


@dataclass(frozen=True, slots=True)
class Played:
    """A simulated sweep.

    Attributes:
        wall_s: Seconds from the start of the first run to the end of the last.
        runs: Stage -> number of its runs.
        run_s: Stage -> sum of the seconds of its runs.
    """

    wall_s: float
    runs: dict[Stage, int]
    run_s: dict[Stage, float]


def play(
    sweep: Sweep,
    load_of: Callable[[PlannedRun, Stage], Load],
    devices: int,
    most: int | None = None,
) -> Played:
    """Simulate a sweep: each ready run starts as soon as a device has room for its share.

    A run without room waits, and all behind it wait with it. The slowest candidate is the one that is selected.

    Args:
        sweep: A sweep with no running run.
        load_of: Load of a run in its stage.
        devices: Number of equal devices.
        most: Largest number of concurrent runs over all devices.
    """
    free = [Fraction(1)] * devices
    waiting: list[tuple[float, int, PlannedRun, Load]] = []
    running: list[tuple[float, int, int, PlannedRun, Load]] = []
    runs: Counter[Stage] = Counter()
    run_s: dict[Stage, float] = dict.fromkeys(STAGES, 0.0)
    now, numbers, ready = 0.0, count(), sweep.ready()
    while ready or waiting or running:
        for planned in ready:
            stage = sweep.stage(planned)
            load = load_of(planned, stage)
            heapq.heappush(waiting, (-load.priority, next(numbers), planned, load))
            runs[stage] += 1
            run_s[stage] += load.seconds
        ready, place = [], None
        if waiting and (most is None or len(running) < most):
            share = waiting[0][3].share
            place = next((device for device, room in enumerate(free) if room >= share), None)
        if place is not None:
            _, _, planned, load = heapq.heappop(waiting)
            free[place] -= load.share
            heapq.heappush(running, (now + load.seconds, next(numbers), place, planned, load))
        else:
            now, _, place, planned, load = heapq.heappop(running)
            free[place] += load.share
            ready = sweep.end(pretended(planned, load.seconds))
    stages = [stage for stage in STAGES if runs[stage]]
    return Played(now, {stage: runs[stage] for stage in stages}, {stage: run_s[stage] for stage in stages})


def pretended(planned: PlannedRun, seconds: float) -> RunRecord:
    """A record of a finished run; the longer it took, the better its metric."""
    split, _, key = planned.metric.partition("/")
    value = seconds if planned.mode == "max" else -seconds
    return RunRecord(planned.run_id, "done", {}, {}, {split: {key: value}})


@dataclass(frozen=True, slots=True)
class Machines:
    """Number of equal machines, and the GPUs and CPUs of each; `cpus` is None where CPUs are no limit."""

    nodes: int
    gpus: int = 0
    cpus: int | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """Time of a sweep without finished runs.

    Attributes:
        shared: The sweep where trials that share a GPU do not slow each other down; None where costs are missing.
        unshared: The sweep where sharing gains nothing, as if each trial had a GPU to itself.
        missing: Workloads that the table lacks.
        too_large: Workloads that did not fit where they were measured.
    """

    shared: Played | None = None
    unshared: Played | None = None
    missing: tuple[str, ...] = ()
    too_large: tuple[str, ...] = ()


def estimate(
    experiments: Sequence[Experiment],
    table: CostTable,
    resources: ResourceSettings,
    machines: Machines,
    device: str | None = None,
    voxel_bytes: Mapping[str, int] | None = None,
) -> Estimate:
    """Simulate a sweep with measured costs; its searches select their slowest candidates.

    Args:
        experiments: Experiments of the sweep.
        table: Measured costs.
        resources: Resources of a trial; with `packing`, as many trials share a GPU as fit by the table.
        machines: Machines of the cluster.
        device: GPU of the table; None: the GPU with the least free memory.
        voxel_bytes: Name of a task -> bytes of a voxel of its image over all channels, where they are known.

    Raises:
        InputError: a trial has no room on these machines.
    """
    on_gpu, sizes = resources.gpus_per_worker > 0, voxel_bytes or {}
    every = {experiment.name: experiment.spread() for experiment in experiments}
    all_runs = [run for runs in every.values() for run in runs]
    found = {
        workload.key: table.find(workload, on_gpu=on_gpu, threads=resources.cpus_per_worker, device=device)
        for workload in workloads(all_runs, on_gpu=on_gpu)
    }
    costs = {key: cost for key, cost in found.items() if cost is not None}
    missing = tuple(sorted(found.keys() - costs.keys()))
    too_large = tuple(sorted(key for key, cost in costs.items() if not cost.fits))
    if missing or too_large:
        return Estimate(missing=missing, too_large=too_large)

    def cost_of(run: RunSettings) -> Cost | None:
        return costs.get(Workload.of(run, on_gpu=on_gpu).key)

    def load_of(planned: PlannedRun, stage: Stage) -> Load:
        # Inside a range nothing was measured: the slowest measured run stands for all.
        runs = [planned.run] if cost_of(planned.run) else every.get(planned.experiment, all_runs)
        seconds, count = max(
            (
                seconds_of(run, cost, trains=stage != "evaluate"),
                _per_device(run, cost, resources, machines, sizes.get(run.task.name)),
            )
            for run in runs
            if (cost := cost_of(run))
        )
        return Load(seconds, Fraction(1, count), 2 * seconds if planned.run.role == "candidate" else seconds)

    def load_unshared(planned: PlannedRun, stage: Stage) -> Load:
        return replace(load_of(planned, stage), share=Fraction(1))

    def played(load: Callable[[PlannedRun, Stage], Load]) -> Played:
        devices = machines.nodes * (machines.gpus if on_gpu else 1)
        found = play(Sweep(experiments), load, devices, resources.max_concurrent)
        return replace(found, wall_s=found.wall_s + max(cost.process_s for cost in costs.values()))

    shared = played(load_of)
    return Estimate(shared, played(load_unshared) if on_gpu else shared)


def _per_device(
    run: RunSettings, cost: Cost, resources: ResourceSettings, machines: Machines, voxel_bytes: int | None
) -> int:
    """Number of such trials that a device holds."""
    if resources.gpus_per_worker > 0:
        fitting = cost.per_device(run, voxel_bytes) if resources.packing else int(1 / resources.gpus_per_worker)
        by_cpus = None if machines.cpus is None else machines.cpus // machines.gpus // resources.cpus_per_worker
    else:
        memory = _MEMORY_FOR_TRIALS * cost.device_bytes
        fitting = int(memory / cost.bytes_of(run, voxel_bytes)) if resources.packing else 2**31
        by_cpus = (machines.cpus or 0) // resources.cpus_per_worker
    fitting = fitting if by_cpus is None else min(max(fitting, 1), by_cpus)
    if fitting < 1:
        raise InputError(
            f"--cpus-per-node: {machines.cpus} are too few for a trial of {resources.cpus_per_worker} CPUs; "
            "accepted: as many as the machines have"
        )
    return fitting
