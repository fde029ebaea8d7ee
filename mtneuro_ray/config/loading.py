"""From a name or a path to checked settings: the one door for everything that a person writes."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import mtneuro_ray
from mtneuro_ray.config.axes import resolved
from mtneuro_ray.config.base import read_json
from mtneuro_ray.config.modes import mode_of
from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.config.preset import preset_named
from mtneuro_ray.config.space import ExperimentSpace, ResourceSettings, SweepSpace, load_space
from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.config.upstream import (
    is_upstream_network,
    is_upstream_task,
    normalise_network,
    normalise_task,
)
from mtneuro_ray.errors import InputError
from mtneuro_ray.registry import registry

logger = logging.getLogger(__name__)

_SUFFIX = {"tasks": ".json", "networks": ".json", "spaces": ".toml"}


@dataclass(frozen=True, slots=True)
class Pair:
    """A task and a network that fit together, and where they were read, for errors and relative paths.

    Attributes:
        encoder: For a readout, the pair that trains the encoder: another task with the same network.
    """

    task: TaskSettings
    network: NetworkSettings
    task_file: Path
    network_file: Path
    encoder: Pair | None = None


def packaged_names(kind: str) -> list[str]:
    """Names of the tasks, networks or spaces that come with the package."""
    folder, suffix = _folder(kind), _SUFFIX[kind]
    return sorted(path.relative_to(folder).as_posix().removesuffix(suffix) for path in folder.rglob(f"*{suffix}"))


def _folder(kind: str) -> Path:
    # `spaces` is a link to tune_spaces/, where people edit them; a wheel holds the files themselves.
    return (Path(mtneuro_ray.__file__).parent / "config" / "packaged" / kind).resolve()


def find(kind: str, name: str) -> Path:
    """The file of a packaged name or a path.

    Raises:
        InputError: it is neither; the names are listed.
    """
    names = packaged_names(kind)
    if name in names:
        return _folder(kind) / (name + _SUFFIX[kind])
    if Path(name).is_file():
        return Path(name)
    near = get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise InputError(f"{name}: no such file and no such name{hint}; accepted: a path or one of {', '.join(names)}")


def load_task(name: str, volume: str | None = None, preset: str | None = None) -> tuple[TaskSettings, Path]:
    """A task by name or path, its channels moved to another volume if one is given, and scaled by a preset.

    A preset may name a volume of its own. It stands for BossDB alone: other data are read at every scale.

    Raises:
        InputError: one line that names the file and the key.
    """
    path = find("tasks", name)
    values = read_json(path)
    if is_upstream_task(values):
        values, unused = normalise_task(values, str(path))
        _warn_unused(path, unused)
    task = TaskSettings.load(values, str(path))
    if preset is not None:
        scale = preset_named(preset, "--preset")
        task = scale.scale_task(task, str(path))
        if task.image_chan.startswith("bossdb://"):
            volume = volume or scale.volume
    return (moved(task, volume, str(path)) if volume else task), path


def load_network(name: str) -> tuple[NetworkSettings, Path]:
    """A network by name or path.

    Raises:
        InputError: one line that names the file and the key.
    """
    path = find("networks", name)
    values = read_json(path)
    if is_upstream_network(values):
        values, unused = normalise_network(values, str(path))
        _warn_unused(path, unused)
    values.setdefault("name", path.stem)
    network = NetworkSettings.load(values, str(path))
    if network.encoder_file is not None:
        # Paths in files are relative to the file that names them.
        weights = f"file:{path.parent / network.encoder_file}"
        network = network.replace(str(path), **{"model.encoder_weights": weights})
    return network, path


def _warn_unused(path: Path, unused: list[str]) -> None:
    if unused:
        logger.warning("%s: ignored, without use here: %s", path, ", ".join(unused))


def moved(task: TaskSettings, volume: str, where: str) -> TaskSettings:
    """The task with its channels read from `volume`: `phantom`, or the base URI of a copy with the same names."""
    changes = {
        key: _channel_of(volume, uri)
        for key, uri in (("image_chan", task.image_chan), ("annotation_chan", task.annotation_chan))
        if uri is not None
    }
    return task.replace(where, **changes)


def _channel_of(volume: str, uri: str) -> str:
    channel = re.split("[/:]", uri.partition("?")[0].rstrip("/"))[-1]
    if volume == "phantom":
        return f"phantom://thalamocortical/{channel}?seed=0"
    base, mark, query = volume.partition("?")
    return f"{base.rstrip('/')}/{channel}{mark}{query}"


def apply_overrides(network: NetworkSettings, overrides: Iterable[str], where: str = "--set") -> NetworkSettings:
    """A network with `key=value` changes, values written as in JSON or as bare text.

    Raises:
        InputError: an override is malformed, or its key or value is not accepted.
    """
    changes: dict[str, Any] = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise InputError(f"{where}: {override!r} has no '='; accepted: key=value")
        if key in changes:
            raise InputError(f"{where}: {key}: stands twice; accepted: once")
        changes[key] = parse_value(text)
    return network.replace(where, **changes) if changes else network


def parse_value(text: str) -> Any:
    """A value from a command line: JSON where it parses as such, else the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def check_pair(task: TaskSettings, network: NetworkSettings, where: str) -> None:
    """Check that a network can be trained on a task.

    Raises:
        InputError: their classes or dimensions disagree, or an image cannot pass through the model.
    """
    kind, model = task.declaration, network.declaration
    if kind.checks_classes and network.classes != len(task.classes):
        raise InputError(
            f"{where}: classes: the network has {network.classes} classes, the task {task.name} {len(task.classes)} "
            f"({', '.join(task.classes)}); accepted: the same number (--set classes={len(task.classes)})"
        )
    if kind.reads_encoder:
        if "features" not in model.gives:
            raise InputError(
                f"{where}: model.name: {network.model.name} has no features for a {kind.name} task to read; accepted: "
                f"{_models('features' in other.gives and other.name for other in _declared())}"
            )
        return
    if kind.labels not in model.predicts:
        raise InputError(
            f"{where}: model.name: {network.model.name} does not serve a {kind.name} task; accepted: "
            f"{_models(kind.labels in other.predicts and other.name for other in _declared())}"
        )
    for name in network.evaluation.metrics:
        if kind.labels not in registry("metrics").find(name).labels:
            raise InputError(
                f"{where}: evaluation.metrics: {name!r} does not measure a class per {kind.labels}, as a {kind.name} "
                "task has it; accepted: another metric, or leave it out"
            )
    _check_sizes(task, network, where)


def _declared() -> list[Any]:
    models = registry("models")
    return [models.find(name) for name in models.names()]


def _models(names: Iterable[str | bool]) -> str:
    return ", ".join(str(name) for name in names if name)


def _check_sizes(task: TaskSettings, network: NetworkSettings, where: str) -> None:
    dim = network.model.dim
    if dim == 3 and task.volume_z == 1:
        raise InputError(f"{where}: model.dim: 3 needs volume_z above 1 in task {task.name}; accepted: 2")
    if dim == 2 and task.volume_z != 1:
        raise InputError(f"{where}: model.dim: 2 needs volume_z 1, task {task.name} has {task.volume_z}; accepted: 3")
    rule = network.declaration.size_rule(network.model)
    sizes = {"tile_size": [side // task.downsample for side in task.tile_size]}
    if dim == 3:
        sizes["volume_z"] = [task.volume_z]
    for key, lengths in sizes.items():
        for length in lengths:
            if not rule.accepts(length):
                raise InputError(
                    f"{where}: model.name: {network.model.name} can't take the {key} of task {task.name}, an axis of "
                    f"{length}; accepted: {rule}"
                )


def _encoder_of(
    task: TaskSettings, task_file: Path, network: NetworkSettings, network_file: Path, **scale: Any
) -> Pair:
    """The pair that trains the encoder of a readout.

    Raises:
        InputError: the task that is named can't be read, or its images are others than those of the readout.
    """
    name = task.encoder_task or "task1"
    if name.endswith(".json"):
        name = str(task_file.parent / name)
    encoder, encoder_file = load_task(name, **scale)
    if task.encoder_task is None:
        # The public task3.json names no encoder; it means one that is trained on the same images.
        encoder = encoder.replace(str(encoder_file), downsample=task.downsample)
    if encoder.declaration.reads_encoder:
        raise InputError(f"{task_file}: encoder_task: {name} trains no encoder; accepted: a classification task")
    for key in ("downsample", "tile_size", "volume_z"):
        own, other = getattr(task, key), getattr(encoder, key)
        if own != other:
            raise InputError(
                f"{task_file}: {key}: is {own}, the encoder is trained on {other} ({encoder_file}); accepted: the same"
            )
    check_pair(encoder, network, str(network_file))
    return Pair(encoder, network, encoder_file, network_file)


def load_pair(
    task_name: str,
    network_name: str,
    *,
    volume: str | None = None,
    preset: str | None = None,
    overrides: Iterable[str] = (),
    changes: Mapping[str, Any] | None = None,
    where: str = "--set",
) -> Pair:
    """A task with a network, scaled by a preset, changed by a space's `changes` and by overrides, and checked together.

    Args:
        task_name: Packaged name or path.
        network_name: Packaged name or path.
        volume: See `moved`.
        preset: Name of a preset.
        overrides: `key=value` texts; they have the last word.
        changes: Keys of the network that a space sets.
        where: The place of `changes`, for errors.

    Raises:
        InputError: one line that names the file and the key.
    """
    task, task_file = load_task(task_name, volume, preset)
    network, network_file = load_network(network_name)
    if preset is not None:
        network = preset_named(preset, "--preset").scale_network(network, str(network_file))
    if changes:
        network = network.replace(where, **changes)
    network = apply_overrides(network, overrides)
    check_pair(task, network, str(network_file))
    scale = {"volume": volume, "preset": preset}
    encoder = _encoder_of(task, task_file, network, network_file, **scale) if task.declaration.reads_encoder else None
    return Pair(task, network, task_file, network_file, encoder)


def load_sweep(
    name: str, *, volume: str | None = None, preset: str | None = None, overrides: Iterable[str] = ()
) -> tuple[SweepSpace, list[tuple[ExperimentSpace, Pair]]]:
    """A tune space by name or path, with the checked pair of each of its settings.

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
        for candidate in experiment.search.checked_candidates:
            check_pair(pair.task, pair.network.replace(f"{where}.search.axes", **candidate), str(path))
        entries.append((experiment, pair))
    _check_names([pair for _, pair in entries], str(path))
    _check_origins(entries, str(path))
    return space, entries


def _resolved(experiment: ExperimentSpace, pair: Pair, resources: ResourceSettings, where: str) -> ExperimentSpace:
    """The experiment with its axes and mode resolved against its task and network.

    Raises:
        InputError: its search asks for something that the task or the network does not have.
    """
    metrics = pair.task.declaration.selection
    metric = experiment.metric
    if metric is not None and metric not in metrics and not metric.startswith("val/"):
        accepted = ", ".join(metrics) or f"none of a {pair.task.task}"
        raise InputError(f"{where}.metric: {metric!r} can't select a candidate; accepted: {accepted}")
    changes: dict[str, Any] = {}
    shown = metric or pair.task.declaration.shown
    mode = mode_of(shown, pair.task.declaration, pair.network.evaluation.metrics)
    if experiment.mode != mode and "mode" in experiment.model_fields_set:
        raise InputError(f"{where}.mode: {experiment.mode!r} would select the worst {shown}; accepted: {mode!r}")
    changes["mode"] = mode
    axes = resolved(pair.network, experiment.search.axes, where)
    changes["search"] = experiment.search.model_copy(update={"axes": axes})
    experiment = experiment.model_copy(update=changes)
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
    """Check that settings whose candidates are those of another task name one of the same network that selects them.

    Raises:
        InputError: they don't.
    """
    for number, (experiment, pair) in enumerate(entries):
        if experiment.candidate_of is None:
            continue
        names = [
            other.task.name
            for space, other in entries
            if other.network.table_name == pair.network.table_name and space.candidate_of is None
        ]
        if experiment.candidate_of not in names:
            raise InputError(
                f"{where}: experiments.{number}.candidate_of: no experiment of {pair.network.table_name} on "
                f"{experiment.candidate_of!r}; "
                f"accepted: {', '.join(names) or 'the task of another experiment of this network'}"
            )


def _check_names(pairs: list[Pair], where: str) -> None:
    """Check that names tell the settings of a sweep apart: trials, tables and shared data go by them.

    Raises:
        InputError: a name stands for two different things.
    """
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
