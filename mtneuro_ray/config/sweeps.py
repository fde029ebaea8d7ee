"""Loading of a tune space as the checked experiments of a sweep."""

from __future__ import annotations

from collections.abc import Iterable

from mtneuro_ray.config.loading import find
from mtneuro_ray.config.pairs import Pair, check_pair, load_pair
from mtneuro_ray.config.preset import preset_named
from mtneuro_ray.config.resources import ResourceSettings
from mtneuro_ray.config.search_axes import resolved
from mtneuro_ray.config.space import ExperimentSpace, SweepSpace, load_space, mode_of
from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.errors import InputError


def load_sweep(
    name: str, *, volume: str | None = None, preset: str | None = None, overrides: Iterable[str] = ()
) -> tuple[SweepSpace, list[tuple[ExperimentSpace, Pair]]]:
    """A tune space by name or path, with each experiment and its checked pair.

    `overrides` are `key=value` changes of every network; a preset is `preset`, else the space's own.

    Raises:
        InputError: one line that names the file and the key.
    """
    path = find("spaces", name)
    space = load_space(path)
    if space.preset is not None:
        preset_named(space.preset, f"{path}: preset")
    preset = preset or space.preset
    if preset is not None:
        space = preset_named(preset, "--preset").scale_space(space, str(path))
    overrides = list(overrides)
    entries = []
    for number, experiment in enumerate(space.experiments):
        where = f"{path}: experiments.{number}"
        pair = load_pair(
            experiment.task,
            experiment.network,
            volume=volume or space.volume,
            preset=preset,
            overrides=overrides,
            changes=experiment.set,
            where=f"{where}.set",
        )
        experiment = _resolved(experiment, pair, space.run, where)
        for key in (override.partition("=")[0] for override in overrides):
            if pair.network.keys.short(pair.network.keys.path_of(key, "--set")) in experiment.search.axes:
                raise InputError(
                    f"--set: {key}: is an axis of {where}, which would overrule it; accepted: other keys, or another "
                    "axis in the file"
                )
        for candidate in experiment.search.checked_candidates:
            check_pair(pair.task, pair.network.replace(f"{where}.search.axes", **candidate), str(path))
        entries.append((experiment, pair))
    _check_names([pair for _, pair in entries], str(path))
    _check_origins(entries, str(path))
    return space, entries


def _resolved(experiment: ExperimentSpace, pair: Pair, resources: ResourceSettings, where: str) -> ExperimentSpace:
    """The experiment with axes and mode resolved against its task and network.

    Raises:
        InputError: the task or the network lacks the metric, an axis or a validation split.
    """
    metrics = pair.task.declaration.selection
    metric = experiment.metric
    if metric is not None and metric not in metrics and not metric.startswith("val/"):
        accepted = ", ".join(metrics) or f"none of a {pair.task.task}"
        raise InputError(f"{where}.metric: {metric!r} can't select a candidate; accepted: {accepted}")
    shown = metric or pair.task.declaration.shown
    mode = mode_of(shown, pair.task.declaration, pair.network.evaluation.metrics)
    if experiment.mode != mode and "mode" in experiment.model_fields_set:
        raise InputError(f"{where}.mode: {experiment.mode!r} would select the worst {shown}; accepted: {mode!r}")
    axes = resolved(pair.network, experiment.search.axes, where)
    search = experiment.search.model_copy(update={"axes": axes})
    experiment = experiment.model_copy(update={"mode": mode, "search": search})
    if not experiment.searches:
        return experiment
    if not any(cube.split == "val" for cube in pair.task.cubes) or not metrics:
        raise InputError(
            f"{where}.search: {pair.task.name} has no val split to select a candidate by; accepted: axes of one value, "
            "or candidate_of, the task whose candidate is taken"
        )
    if resources.scheduler == "asha" and pair.network.is_frozen:
        raise InputError(
            f"{where}: run.scheduler: 'asha' has no values after the epochs of {pair.network.method.name} to stop a "
            "candidate by; accepted: 'none'"
        )
    return experiment


def _check_origins(entries: list[tuple[ExperimentSpace, Pair]], where: str) -> None:
    """Check that every `candidate_of` names a task on which the same network is searched."""
    for number, (experiment, pair) in enumerate(entries):
        if experiment.candidate_of is None:
            continue
        names = [
            other.task.name
            for space, other in entries
            if other.network.table_name == pair.network.table_name and space.candidate_of is None
        ]
        if experiment.candidate_of not in names:
            accepted = ", ".join(names) or "the task of another experiment of this network"
            raise InputError(
                f"{where}: experiments.{number}.candidate_of: no experiment of {pair.network.table_name} on "
                f"{experiment.candidate_of!r}; accepted: {accepted}"
            )


def _check_names(pairs: list[Pair], where: str) -> None:
    """Check that names of tasks and experiments are unique: trials, tables and shared data go by them."""
    tasks: dict[str, TaskSettings] = {}
    names: set[str] = set()
    for number, pair in enumerate(pairs):
        for task in [pair.task] if pair.encoder is None else [pair.task, pair.encoder.task]:
            if tasks.setdefault(task.name, task) != task:
                raise InputError(
                    f"{where}: experiments.{number}: another task is called {task.name}, too; accepted: different names"
                )
        name = f"{pair.network.table_name} on {pair.task.name}"
        if name in names:
            raise InputError(
                f"{where}: experiments.{number}: {name} stands twice; accepted: networks of different names"
            )
        names.add(name)
