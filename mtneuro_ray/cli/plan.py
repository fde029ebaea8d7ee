"""`mtneuro-ray plan`."""

from __future__ import annotations

import argparse
import json
from typing import Any

from mtneuro_ray.cli.estimate import as_text as estimate_text
from mtneuro_ray.cli.estimate import check_options, estimated
from mtneuro_ray.config.loading import Pair, load_pair, load_sweep, load_task
from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.config.preset import preset_named
from mtneuro_ray.config.space import ExperimentSpace, ResourceSettings
from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.data.bounds import bytes_per_voxel, check_known_bounds
from mtneuro_ray.data.sampling import check_batch, describe
from mtneuro_ray.errors import InputError


def run(options: argparse.Namespace) -> int:
    """Print the plan of a task or of a tune space."""
    if options.space and options.network:
        raise InputError("--network: belongs to --task; a tune space names its networks, accepted: leave it out")
    check_options(options)
    plan = plan_space(options) if options.space else plan_task(options)
    print(json.dumps(plan, indent=1) if options.format == "json" else as_text(plan))
    return 0


def plan_task(options: argparse.Namespace) -> dict[str, Any]:
    """The plan of one training."""
    if options.network:
        pair = load_pair(
            options.task,
            options.network,
            volume=options.volume,
            preset=options.preset,
            overrides=options.overrides,
        )
        check_batches(pair, pair.network, str(pair.network_file))
        task, file = pair.task, pair.task_file
    else:
        if options.overrides:
            raise InputError("--set: changes a network, and there is none; accepted: with --network")
        task, file = load_task(options.task, options.volume)
        if options.preset:
            task = preset_named(options.preset, "--preset").scale_task(task, str(file))
    check_known_bounds(task, file)
    return {**_described(task), "runs": 1, "candidates": 0, "seeds": 1}


def plan_space(options: argparse.Namespace) -> dict[str, Any]:
    """The plan of a sweep: every experiment, and totals."""
    space, entries = load_sweep(
        options.space, volume=options.volume, preset=options.preset, overrides=options.overrides
    )
    settings = [_experiment_plan(experiment, pair) for experiment, pair in entries]
    totals = {key: sum(experiment[key] for experiment in settings) for key in ("candidates", "seeds", "runs")}
    splits = {"splits": settings[0]["splits"]} if len(settings) == 1 else {}
    plan = {"space": space.name, **splits, **totals, "experiments": settings}
    if getattr(options, "nodes", None) is not None:
        resources = packed(space.run, options.packing)
        plan["estimate"] = estimated(options, resources, entries, {row["task"]: row["bytes"] for row in settings})
    return plan


def packed(resources: ResourceSettings, table: str | None) -> ResourceSettings:
    """The resources with the table that --packing names, if it does."""
    return resources if table is None else resources.replace("--packing", packing=table)


def check_entries(entries: list[tuple[ExperimentSpace, Pair]]) -> None:
    """Check batches and bounds of every experiment of a sweep before anything is read.

    Raises:
        InputError: a batch is larger than its split or a cube lies outside a volume whose bounds are known.
    """
    for experiment, pair in entries:
        _experiment_plan(experiment, pair)


def check_batches(pair: Pair, network: NetworkSettings, where: str) -> None:
    """Check that a step's images fit into the training split of what is trained.

    Raises:
        InputError: they don't.
    """
    task = pair.task if pair.encoder is None else pair.encoder.task
    check_batch(task, int(network.encoder_training["batch_size"]), where)


def _experiment_plan(experiment: ExperimentSpace, pair: Pair) -> dict[str, Any]:
    where = str(pair.network_file)
    for candidate in experiment.search.checked_candidates:
        check_batches(pair, pair.network.replace(where, **candidate), f"search.axes with {pair.task.name}")
    check_known_bounds(pair.task, pair.task_file)
    candidates, seeds = experiment.num_candidate_runs, len(experiment.seeds)
    counts = {"candidates": candidates, "seeds": seeds, "runs": candidates + seeds}
    return {"model": pair.network.table_name, **_described(pair.task), **counts}


def _described(task: TaskSettings) -> dict[str, Any]:
    return describe(task, bytes_per_voxel(task))


def as_text(plan: dict[str, Any]) -> str:
    """The plan for a person."""
    if "experiments" in plan:
        parts = [_experiment_text(experiment) for experiment in plan["experiments"]]
        total = f"{plan['space']}: {plan['runs']} runs ({plan['candidates']} candidates + {plan['seeds']} seed runs)"
        estimate = estimate_text(plan["estimate"]) if "estimate" in plan else []
        return "\n\n".join([*parts, "\n".join([total, *estimate])])
    return _experiment_text(plan)


def _experiment_text(plan: dict[str, Any]) -> str:
    lines = [f"{plan.get('model', '')} {plan['task']}".strip()]
    for split, counts in plan["splits"].items():
        shares = ", ".join(f"{name} {count}" for name, count in counts["per_class"].items())
        lines.append(f"  {split:5} {counts['images']:6} images  ({shares})")
    lines.append(f"  read  {plan['cutouts']:6} cutouts, {plan['bytes'] / 1e6:.1f} MB from the source")
    if "seeds" in plan:
        lines.append(f"  runs  {plan['runs']:6} ({plan['candidates']} candidates + {plan['seeds']} seeds)")
    return "\n".join(lines)
