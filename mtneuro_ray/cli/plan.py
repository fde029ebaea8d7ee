"""`mtneuro-ray plan`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mtneuro_ray.cli.completion import names
from mtneuro_ray.cli.costs import EstimateOptions, estimated
from mtneuro_ray.cli.costs import as_text as estimate_text
from mtneuro_ray.cli.options import MOST_PROCESSORS, Overrides, Packing, Preset, Volume, path, positive
from mtneuro_ray.config.loading import load_task
from mtneuro_ray.config.pairs import Pair, load_pair
from mtneuro_ray.config.preset import preset_named
from mtneuro_ray.config.space import ExperimentSpace, SweepSpace
from mtneuro_ray.config.sweeps import load_sweep
from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.config.task_volumes import SHOWN_OWN
from mtneuro_ray.data.offline import known_volumes
from mtneuro_ray.data.sampling import check_batch, describe
from mtneuro_ray.data.stored import default_budget, split_bytes
from mtneuro_ray.errors import InputError

Table = Annotated[
    str | None,
    typer.Option(metavar="TABLE.json", callback=path, help="table of `mtneuro-ray profile`, for the estimate"),
]


def run_plan(
    task: Annotated[
        str | None, typer.Option(callback=path, autocompletion=names("tasks"), help="task, by name or path")
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(
            callback=path, autocompletion=names("spaces"), help="tune space, by name or path; instead of --task"
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            callback=path, autocompletion=names("networks"), help="network, by name or path; checked against the task"
        ),
    ] = None,
    volume: Volume = None,
    preset: Preset = None,
    overrides: Overrides = [],
    nodes: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=10_000, help="estimate how long a space takes on so many machines"),
    ] = None,
    gpus_per_node: Annotated[
        int | None, typer.Option(metavar="G", min=1, max=64, help="where trials have GPUs; default: 1")
    ] = None,
    cpus_per_node: Annotated[
        int | None, typer.Option(metavar="C", min=1, max=MOST_PROCESSORS, help="needed where trials have no GPUs")
    ] = None,
    profile: Table = None,
    packing: Packing = None,
    gpu: Annotated[str | None, typer.Option(metavar="NAME", help="GPU of the table, where it has several")] = None,
    ingest_rate: Annotated[
        float | None,
        typer.Option(metavar="MB/S", max=1e9, callback=positive, help="adds the time of reading from the source"),
    ] = None,
    price_per_gpu_hour: Annotated[float | None, typer.Option(metavar="P", max=1e9, callback=positive)] = None,
    price_per_node_hour: Annotated[float | None, typer.Option(metavar="P", max=1e9, callback=positive)] = None,
    format: Annotated[Literal["text", "json"], typer.Option()] = "text",
) -> int:
    """Print the plan of a task or of a tune space."""
    if (task is None) == (space is None):
        raise InputError("plan: --task, --space: accepted: one of them; see mtneuro-ray plan --help")
    if space and network:
        raise InputError("--network: belongs to --task; a tune space names its networks, accepted: leave it out")
    machines = (nodes, gpus_per_node, cpus_per_node)
    prices = (price_per_gpu_hour, price_per_node_hour)
    estimate = EstimateOptions(*machines, profile, packing, gpu, ingest_rate, *prices)
    estimate.check(with_space=space is not None)
    if space is not None:
        settings, entries = load_sweep(space, volume=volume, preset=preset, overrides=overrides)
        plan = plan_space(settings, entries)
        if nodes is not None:
            needed = sum({row["task"]: row["bytes"] for row in plan["experiments"]}.values())
            resources = settings.run if packing is None else settings.run.replace("--packing", packing=packing)
            plan["estimate"] = estimated(estimate, space, resources, entries, needed)
    else:
        plan = plan_task(str(task), network, volume, preset, overrides)
    print(json.dumps(plan, indent=1) if format == "json" else as_text(plan))
    return 0


def plan_task(
    name: str, network: str | None, volume: str | None, preset: str | None, overrides: list[str]
) -> dict[str, Any]:
    """The plan of one training, or of a task without a network."""
    if network:
        pair = load_pair(name, network, volume=volume, preset=preset, overrides=overrides)
        check_batch(pair.trained_task, pair.network.training.batch_size, str(pair.network_file))
        task, file = pair.task, pair.task_file
    else:
        if overrides:
            raise InputError("--set: changes a network, and there is none; accepted: with --network")
        task, file = load_task(name, volume)
        if preset:
            task = preset_named(preset, "--preset").scale_task(task, str(file))
    return {**_described(task, file, None), "runs": 1, "candidates": 0, "seeds": 1}


def _described(task: TaskSettings, file: Path, budget: int | None) -> dict[str, Any]:
    """Splits and voxels of a task, of all its volumes together, and the bytes of each split that is to stream.

    Raises:
        InputError: a cube leaves a volume whose bounds are known.
    """
    known = {name: volume for name, volume in known_volumes(task, file).items() if volume.task.cubes}
    itemsizes = [volume.bytes_per_voxel for volume in known.values()]
    sizes = {name or SHOWN_OWN: volume.voxel_size for name, volume in known.items()}
    about = {
        "voxel_size_um": sizes if task.volumes else next(iter(sizes.values())),
        "target_voxel_size_um": task.target_voxel_size_um,
    }
    found = {**describe(task, itemsizes[0]), **about}
    if task.volumes:
        read = [describe(volume.task, own) for volume, own in zip(known.values(), itemsizes, strict=True)]
        found |= {key: sum(each[key] for each in read) for key in ("cutouts", "voxels", "bytes")}
    # Images of all volumes are of the widest type.
    voxel = max(own[0] for own in itemsizes)
    for split, counts in found["splits"].items():
        taken = split_bytes(task, counts["images"], voxel)
        if task.sampling.is_patches:
            taken = sum(cube.roi.num_voxels for cube in task.cubes if cube.split == split) * (voxel + 1)
        if taken > (default_budget() if budget is None else budget):
            counts["streamed_bytes"] = taken
    return found


def plan_space(
    space: SweepSpace, entries: list[tuple[ExperimentSpace, Pair]], budget: int | None = None
) -> dict[str, Any]:
    """The plan of every experiment of a sweep, and totals; the memory budget in bytes is the space's by default.

    Raises:
        InputError: a batch is larger than its split, or a cube lies outside a volume whose bounds are known.
    """
    budget = budget or space.run.budget_bytes
    plans = [_experiment_plan(experiment, pair, budget) for experiment, pair in entries]
    totals = {key: sum(plan[key] for plan in plans) for key in ("candidates", "seeds", "runs")}
    splits = {"splits": plans[0]["splits"]} if len(plans) == 1 else {}
    return {"space": space.name, **splits, **totals, "experiments": plans}


def _experiment_plan(experiment: ExperimentSpace, pair: Pair, budget: int | None) -> dict[str, Any]:
    # Other axes do not change batches; `load_sweep` has checked them.
    batches = [
        {key: value for key, value in candidate.items() if key.endswith("batch_size")}
        for candidate in experiment.search.checked_candidates
    ]
    for candidate in list({tuple(batch.items()): batch for batch in batches}.values()):
        network = pair.network.replace(str(pair.network_file), **candidate)
        check_batch(pair.trained_task, network.training.batch_size, f"search.axes with {pair.task.name}")
    candidates, seeds = experiment.num_candidate_runs, len(experiment.seeds)
    counts = {"candidates": candidates, "seeds": seeds, "runs": candidates + seeds}
    return {"model": pair.network.table_name, **_described(pair.task, pair.task_file, budget), **counts}


def as_text(plan: dict[str, Any]) -> str:
    """The plan as text."""
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
        if "streamed_bytes" in counts:
            lines.append(f"               streams: {counts['streamed_bytes'] / 1e9:.3g} GB are over memory_budget")
    lines.append(f"  voxel size: {_voxel_size_text(plan)}")
    lines.append(f"  read  {plan['cutouts']:6} cutouts, {plan['bytes'] / 1e6:.1f} MB from the source")
    lines.extend(f"  note  {line}" for line in plan["remainders"])
    if "seeds" in plan:
        lines.append(f"  runs  {plan['runs']:6} ({plan['candidates']} candidates + {plan['seeds']} seeds)")
    return "\n".join(lines)


def _voxel_size_text(plan: dict[str, Any]) -> str:
    def text(size: Any) -> str:
        if size is None or isinstance(size, str):
            return size or "not known"
        return " x ".join(f"{side:g}" for side in size) + " um (z, y, x)"

    sizes, target = plan["voxel_size_um"], plan["target_voxel_size_um"]
    found = (
        "; ".join(f"{name} {text(size)}" for name, size in sizes.items()) if isinstance(sizes, dict) else text(sizes)
    )
    return found if target is None else f"{found}; resampled to {text(target)}"
