"""The estimate of `mtneuro-ray plan --space ... --nodes N`: its options, and its result as JSON and as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from mtneuro_ray.capacity.costs import MARGIN, read_table
from mtneuro_ray.capacity.estimate import Estimator, Load, Machines, play
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
    # Addresses replace identities: no volume is opened to count runs.
    experiments = Experiment.of_entries(entries, lambda pair: [pair.task.image_chan, str(pair.task.annotation_chan)])
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
    estimator = Estimator(read_table(path), resources, machines, options.gpu)
    estimate = estimator.estimate(experiments)
    if estimate.shared is None or estimate.unshared is None:
        missing, too_large = list(estimate.missing), list(estimate.too_large)
        return {**found, "command": command if missing else None, "missing": missing, "too_large": too_large}
    ingest_s = None if options.ingest_rate is None else source_bytes / (options.ingest_rate * 1e6)
    wall = [played.wall_s + (ingest_s or 0.0) for played in (estimate.shared, estimate.unshared)]
    price, units = options.price_per_node_hour, machines.nodes
    if options.price_per_gpu_hour is not None:
        price, units = options.price_per_gpu_hour, estimator.devices
    runs, run_s = estimate.shared.runs, estimate.shared.run_s
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


def as_text(estimate: Mapping[str, Any]) -> list[str]:
    """The estimate as lines of text."""
    where = f"estimate on {estimate['nodes']} machine" + ("s" if estimate["nodes"] != 1 else "")
    where += f" with {estimate['gpus']} GPUs in all" if estimate["gpus"] else ""
    if "stages" not in estimate:
        return [
            f"{where}: not known",
            *(f"  {name:16} {count:6} runs" for name, count in estimate["runs"].items()),
            *(f"  not measured: {key}" for key in estimate["missing"]),
            *(f"  did not fit when it was measured: {key}" for key in estimate["too_large"]),
            *([f"  to measure: {estimate['command']}"] if estimate["command"] else []),
        ]
    kind = "GPU hours" if "gpu_hours" in estimate else "CPU hours"
    lines = [f"{where}:"]
    lines += [
        f"  {row['stage']:16} {row['runs']:6} runs  {_time(row['run_s'])} one by one" for row in estimate["stages"]
    ]
    if estimate["ingest_s"] is not None:
        lines.append(f"  {'ingest':16}              {_time(estimate['ingest_s'])}")
    lines.append(f"  {kind:16} {estimate[kind.replace(' ', '_').lower()]:11.2f}")
    lines.append(f"  {'wall time':16}              {_span(estimate['wall_s'], _time)}")
    if estimate["money"] is not None:
        lines.append(f"  {'money':16}              {_span(estimate['money'], '{:.2f}'.format)}")
    return [*lines, *(f"  assumed: {text}" for text in estimate["assumptions"])]


def _span(values: list[float], as_words: Callable[[float], str]) -> str:
    return " to ".join(dict.fromkeys(map(as_words, values)))


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 2 * _HOUR else f"{seconds / _HOUR:.1f} h"
