"""The estimate of `mtneuro-ray plan --space ... --nodes N`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from mtneuro_ray.capacity.costs import MARGIN, read_table
from mtneuro_ray.capacity.estimate import Estimate, Estimator, Machines
from mtneuro_ray.capacity.play import Load, play
from mtneuro_ray.config.pairs import Pair
from mtneuro_ray.config.resources import ResourceSettings
from mtneuro_ray.config.space import ExperimentSpace
from mtneuro_ray.errors import InputError
from mtneuro_ray.sweep.experiment import Experiment
from mtneuro_ray.sweep.sweep import Sweep

_HOUR = 3600.0


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


def estimated(
    options: EstimateOptions,
    space: str,
    resources: ResourceSettings,
    entries: Iterable[tuple[ExperimentSpace, Pair]],
    source_bytes: Mapping[str, int],
) -> dict[str, Any]:
    """Runs, hours and money of a sweep, ready for JSON; unknown values are None.

    Args:
        options: Options with a number of machines.
        space: Name or path of the tune space.
        resources: Resources of a trial.
        entries: Experiments and pairs from `load_sweep`.
        source_bytes: Bytes that each task reads, by task.

    Raises:
        InputError: an option does not fit the space, or the table can't be read.
    """
    assert options.nodes is not None
    _check(options, space, resources)
    on_gpu = resources.gpus_per_worker > 0
    machines = Machines(options.nodes, (options.gpus_per_node or 1) if on_gpu else 0, options.cpus_per_node)
    # Addresses replace identities: no volume is opened to count runs.
    experiments = Experiment.of_entries(entries, lambda pair: [pair.task.image_chan, str(pair.task.annotation_chan)])
    found: dict[str, Any] = {
        "nodes": machines.nodes,
        "gpus": machines.nodes * machines.gpus,
        "runs": play(Sweep(experiments), lambda planned, stage: Load(1.0), 1).runs,
        "command": None,
        "missing": [],
        "too_large": [],
    }
    path = options.profile or resources.packing
    command = f"mtneuro-ray profile --space {space} --out {path or 'costs.json'}"
    if path is None:
        return {**found, "command": command}
    estimator = Estimator(read_table(path), resources, machines, options.gpu)
    estimate = estimator.estimate(experiments)
    if estimate.missing or estimate.too_large:
        missing, too_large = list(estimate.missing), list(estimate.too_large)
        return {**found, "command": command if missing else None, "missing": missing, "too_large": too_large}
    rate = options.ingest_rate
    ingest_s = None if rate is None else sum(source_bytes.values()) / (rate * 1e6)
    return {**found, **_numbers(estimate, options, resources, estimator.devices, ingest_s)}


def _check(options: EstimateOptions, space: str, resources: ResourceSettings) -> None:
    where = f"{space}: run"
    if resources.workers_per_trial > 1:
        raise InputError(f"{where}.workers_per_trial: only trials of one worker are estimated; accepted: 1")
    if resources.gpus_per_worker > 1:
        raise InputError(f"{where}.gpus_per_worker: only trials on one GPU are estimated; accepted: at most 1")
    if resources.gpus_per_worker > 0:
        return
    if options.gpus_per_node is not None:
        raise InputError("--gpus-per-node: the trials of this space have no GPUs; accepted: --cpus-per-node")
    if options.cpus_per_node is None:
        raise InputError("--cpus-per-node: is missing; a space whose trials have no GPUs requires it with --nodes")
    if options.price_per_gpu_hour is not None:
        raise InputError("--price-per-gpu-hour: the trials of this space have no GPUs; accepted: --price-per-node-hour")


def _numbers(
    estimate: Estimate,
    options: EstimateOptions,
    resources: ResourceSettings,
    devices: int,
    ingest_s: float | None,
) -> dict[str, Any]:
    run_s = sum(stage.run_s for stage in estimate.stages)
    wall = [estimate.wall_s + (ingest_s or 0.0), estimate.unshared_s + (ingest_s or 0.0)]
    price, units = options.price_per_node_hour, options.nodes or 0
    if options.price_per_gpu_hour is not None:
        price, units = options.price_per_gpu_hour, devices
    hours = {"gpu_hours": run_s / _HOUR}
    if not resources.gpus_per_worker:
        hours = {"cpu_hours": run_s / _HOUR * resources.cpus_per_worker}
    return {
        "stages": [{"stage": stage.name, "runs": stage.runs, "run_s": stage.run_s} for stage in estimate.stages],
        **hours,
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


def as_text(estimate: Mapping[str, Any]) -> list[str]:
    """The estimate as lines of text."""
    machines = f"on {estimate['nodes']} machine" + ("s" if estimate["nodes"] != 1 else "")
    where = machines + (f" with {estimate['gpus']} GPUs in all" if estimate["gpus"] else "")
    if "stages" not in estimate:
        lines = [f"estimate {where}: not known"]
        lines += [f"  {name:16} {count:6} runs" for name, count in estimate["runs"].items()]
        lines += [f"  not measured: {key}" for key in estimate["missing"]]
        lines += [f"  did not fit when it was measured: {key}" for key in estimate["too_large"]]
        return lines + ([f"  to measure: {estimate['command']}"] if estimate["command"] else [])
    lines = [f"estimate {where}:"]
    lines += [
        f"  {row['stage']:16} {row['runs']:6} runs  {_time(row['run_s'])} one by one" for row in estimate["stages"]
    ]
    if estimate["ingest_s"] is not None:
        lines.append(f"  {'ingest':16}              {_time(estimate['ingest_s'])}")
    kind = "gpu_hours" if "gpu_hours" in estimate else "cpu_hours"
    lines.append(f"  {kind.replace('_h', ' h').upper().replace('HOURS', 'hours'):16} {estimate[kind]:11.2f}")
    lines.append(f"  {'wall time':16}              {_span(estimate['wall_s'], _time)}")
    if estimate["money"] is not None:
        lines.append(f"  {'money':16}              {_span(estimate['money'], '{:.2f}'.format)}")
    return [*lines, *(f"  assumed: {text}" for text in estimate["assumptions"])]


def _span(values: list[float], told: Any) -> str:
    low, high = map(told, values)
    return str(low) if low == high else f"{low} to {high}"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 2 * _HOUR else f"{seconds / _HOUR:.1f} h"
