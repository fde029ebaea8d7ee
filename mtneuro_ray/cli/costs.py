"""`mtneuro-ray profile`, and the estimate of `mtneuro-ray plan --space ... --nodes N`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

import typer

from mtneuro_ray.capacity.costs import MARGIN, Cost, CostTable, Workload, read_table, workloads, write_table
from mtneuro_ray.capacity.estimate import Load, Machines, estimate, play
from mtneuro_ray.cli.options import Overrides, Preset, Space, Volume, written
from mtneuro_ray.config.pairs import Pair
from mtneuro_ray.config.resources import ResourceSettings
from mtneuro_ray.config.space import ExperimentSpace
from mtneuro_ray.config.sweeps import load_sweep
from mtneuro_ray.data.offline import Offline
from mtneuro_ray.errors import InputError, MTNeuroError
from mtneuro_ray.progress import say
from mtneuro_ray.sweep.experiment import Experiment
from mtneuro_ray.sweep.sweep import Sweep

_ABOUT = "Measured by `mtneuro-ray profile` on random data; docs/packing.md says what the keys mean."
_HOUR = 3600.0


def run_profile(
    space: Space,
    out: Annotated[
        str,
        typer.Option(
            metavar="TABLE.json",
            callback=written,
            help="table that is written, or in which what is measured again is replaced",
        ),
    ],
    volume: Volume = None,
    preset: Preset = None,
    overrides: Overrides = [],
    device: Annotated[
        Literal["cpu", "cuda"] | None, typer.Option(help="default: cuda where the space gives GPUs to its trials")
    ] = None,
    steps: Annotated[int, typer.Option(metavar="N", min=1, max=1_000_000, help="steps that are timed, at least")] = 5,
) -> int:
    """Measure every workload of a tune space, and write each into the table as soon as it is measured."""
    sweep, entries = load_sweep(space, volume=volume, preset=preset, overrides=overrides)
    on_gpu = (sweep.run.gpus_per_worker > 0) if device is None else device == "cuda"
    if sweep.run.workers_per_trial > 1:
        raise InputError(f"{space}: run.workers_per_trial: only trials of one worker are measured; accepted: 1")
    table = read_table(out, default=CostTable())

    from mtneuro_ray.cluster.profile import profile
    from mtneuro_ray.engine.device import check_gpu

    if on_gpu:
        check_gpu(f"{space}: run.gpus_per_worker, or --device cuda")
    runs = [run for experiment in Experiment.of_entries(entries) for run in experiment.spread()]
    every = workloads(runs, on_gpu=on_gpu)
    failed = 0
    for number, workload in enumerate(every, 1):
        try:
            cost = profile(workload, on_gpu=on_gpu, threads=sweep.run.cpus_per_worker, steps=steps)
        except MTNeuroError as error:
            failed += 1
            say(f"[{number}/{len(every)}] failed: {error}")
            continue
        say(f"[{number}/{len(every)}] {_measured(workload, cost)}")
        table = table.add(workload, cost).model_copy(update={"about": _ABOUT})
        write_table(out, table)
    print(f"{len(every) - failed} of {len(every)} workloads measured: {out}")
    return 1 if failed else 0


def _measured(workload: Workload, cost: Cost) -> str:
    if not cost.fits:
        return f"{workload.key}: does not fit into {cost.device_bytes / 1e9:.1f} GB"
    memory = f"{(cost.base_bytes + cost.peak_bytes) / 1e6:.0f} MB ({cost.peak_bytes / 1e6:.0f} of training)"
    taken = f"{cost.fit_s:.3g} s a fit" if cost.step_s is None else f"{cost.step_s:.3g} s a step"
    return f"{workload.key}: {memory}, {taken}, {cost.image_s:.3g} s an image evaluated"


@dataclass(frozen=True, slots=True)
class EstimateOptions:
    """Options of `plan` for an estimate; None if not given."""

    nodes: int | None = None
    gpus_per_node: int | None = None
    cpus_per_node: int | None = None
    profile: str | None = None
    packing: str | None = None
    gpu: str | None = None
    ingest_rate: float | None = None
    price_per_gpu_hour: float | None = None
    price_per_node_hour: float | None = None

    def check(self, *, with_space: bool) -> None:
        """Check that the options fit together.

        Raises:
            InputError: there is no estimate or no space, or both prices are given.
        """
        if self.nodes is None:
            given = [field.name for field in fields(self) if getattr(self, field.name) is not None]
            if given:
                raise InputError(f"--{given[0].replace('_', '-')}: belongs to an estimate; accepted: with --nodes N")
        elif not with_space:
            raise InputError("--nodes: estimates a tune space; accepted: with --space")
        if self.price_per_gpu_hour is not None and self.price_per_node_hour is not None:
            raise InputError("--price-per-gpu-hour, --price-per-node-hour: both are given; accepted: one of them")

    def check_resources(self, space: str, resources: ResourceSettings) -> None:
        """Check that the options fit the trials of a tune space.

        Raises:
            InputError: they do not, or such trials cannot be estimated.
        """
        where = f"{space}: run"
        if resources.workers_per_trial > 1:
            raise InputError(f"{where}.workers_per_trial: only trials of one worker are estimated; accepted: 1")
        if resources.gpus_per_worker > 1:
            raise InputError(f"{where}.gpus_per_worker: only trials on one GPU are estimated; accepted: at most 1")
        if resources.gpus_per_worker > 0:
            return
        no_gpus = "the trials of this space have no GPUs; accepted:"
        if self.gpus_per_node is not None:
            raise InputError(f"--gpus-per-node: {no_gpus} --cpus-per-node")
        if self.cpus_per_node is None:
            raise InputError("--cpus-per-node: is missing; a space whose trials have no GPUs requires it with --nodes")
        if self.price_per_gpu_hour is not None:
            raise InputError(f"--price-per-gpu-hour: {no_gpus} --price-per-node-hour")


def estimated(
    options: EstimateOptions,
    space: str,
    resources: ResourceSettings,
    entries: Iterable[tuple[ExperimentSpace, Pair]],
    source_bytes: int,
) -> dict[str, Any]:
    """Runs, hours and money of a sweep, ready for JSON; unknown values are None.

    Args:
        options: Options with a number of machines.
        space: Name or path of the tune space.
        resources: Resources of a trial.
        entries: Experiments and pairs from `load_sweep`.
        source_bytes: Bytes that the sweep reads from its volumes.

    Raises:
        InputError: an option does not fit the space, or the table can't be read.
    """
    assert options.nodes is not None
    options.check_resources(space, resources)
    on_gpu = resources.gpus_per_worker > 0
    machines = Machines(options.nodes, (options.gpus_per_node or 1) if on_gpu else 0, options.cpus_per_node)
    pairs = list(entries)
    experiments = Experiment.of_entries(pairs)
    voxel_bytes = {pair.task.name: Offline(pair.task, pair.task_file).bytes_per_voxel[0] for _, pair in pairs}
    path = options.profile or resources.packing
    command = f"mtneuro-ray profile --space {space} --out {path or 'costs.json'}"
    found: dict[str, Any] = {
        "nodes": machines.nodes,
        "gpus": machines.nodes * machines.gpus,
        "runs": play(Sweep(experiments), lambda planned, stage: Load(1.0), 1).runs,
        "command": command if path is None else None,
        "missing": [],
        "too_large": [],
    }
    if path is None:
        return found
    times = estimate(experiments, read_table(path), resources, machines, options.gpu, voxel_bytes)
    if times.shared is None or times.unshared is None:
        missing, too_large = list(times.missing), list(times.too_large)
        return {**found, "command": command if missing else None, "missing": missing, "too_large": too_large}
    ingest_s = None if options.ingest_rate is None else source_bytes / (options.ingest_rate * 1e6)
    wall = [played.wall_s + (ingest_s or 0.0) for played in (times.shared, times.unshared)]
    price, units = options.price_per_node_hour, machines.nodes
    if options.price_per_gpu_hour is not None:
        price, units = options.price_per_gpu_hour, found["gpus"]
    runs, run_s = times.shared.runs, times.shared.run_s
    hours = sum(run_s.values()) / _HOUR
    return {
        **found,
        "stages": [{"stage": stage, "runs": runs[stage], "run_s": run_s[stage]} for stage in runs],
        **({"gpu_hours": hours} if on_gpu else {"cpu_hours": hours * resources.cpus_per_worker}),
        "ingest_s": ingest_s,
        "wall_s": wall,
        "money": None if price is None else [price * units * seconds / _HOUR for seconds in wall],
        "assumptions": _assumptions(resources, ingest_s),
    }


def _assumptions(resources: ResourceSettings, ingest_s: float | None) -> list[str]:
    asha = ["no candidate is stopped early"] if resources.scheduler == "asha" else []
    packed = []
    if resources.packing and resources.gpus_per_worker:
        packed = [
            "times are from trials that share a GPU without slowing each other down, to sharing that gains nothing; "
            f"each has {MARGIN:g} times the memory that was measured"
        ]
    elif resources.packing:
        packed = ["machines have the memory of the one that was measured"]
    return [
        "no run is done, none fails",
        *asha,
        *packed,
        "of candidates that are not known yet, and of the one that is selected, the slowest stands for all",
        "all machines are there from the first run to the last, and as fast as the one that was measured",
        "processes start once, and Ray itself takes no time",
        *(["reading from the source is not in it"] if ingest_s is None else []),
    ]


def as_text(found: Mapping[str, Any]) -> list[str]:
    """The estimate as lines of text."""
    where = f"estimate on {found['nodes']} machine" + ("s" if found["nodes"] != 1 else "")
    where += f" with {found['gpus']} GPUs in all" if found["gpus"] else ""
    if "stages" not in found:
        return [
            f"{where}: not known",
            *(f"  {name:16} {count:6} runs" for name, count in found["runs"].items()),
            *(f"  not measured: {key}" for key in found["missing"]),
            *(f"  did not fit when it was measured: {key}" for key in found["too_large"]),
            *([f"  to measure: {found['command']}"] if found["command"] else []),
        ]
    kind = "GPU hours" if "gpu_hours" in found else "CPU hours"
    lines = [f"{where}:"]
    lines += [f"  {row['stage']:16} {row['runs']:6} runs  {_time(row['run_s'])} one by one" for row in found["stages"]]
    if found["ingest_s"] is not None:
        lines.append(f"  {'ingest':16}              {_time(found['ingest_s'])}")
    lines.append(f"  {kind:16} {found[kind.replace(' ', '_').lower()]:11.2f}")
    lines.append(f"  {'wall time':16}              {_span(found['wall_s'], _time)}")
    if found["money"] is not None:
        lines.append(f"  {'money':16}              {_span(found['money'], '{:.2f}'.format)}")
    return [*lines, *(f"  assumed: {text}" for text in found["assumptions"])]


def _span(values: list[float], as_words: Callable[[float], str]) -> str:
    return " to ".join(dict.fromkeys(map(as_words, values)))


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 2 * _HOUR else f"{seconds / _HOUR:.1f} h"
