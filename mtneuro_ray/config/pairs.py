"""Pairs of a task and a network that fit together; a readout also has the pair that trains its encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtneuro_ray.config.loading import apply_overrides, load_network, load_task
from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.config.preset import preset_named
from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.errors import InputError
from mtneuro_ray.registry import registry


@dataclass(frozen=True, slots=True)
class Pair:
    """A task and a network that fit together, with their files, for errors and relative paths."""

    task: TaskSettings
    network: NetworkSettings
    task_file: Path
    network_file: Path
    encoder: Pair | None = None
    """For a readout, the pair that trains the encoder: another task with the same network."""

    @property
    def trained_task(self) -> TaskSettings:
        """The task that the network is trained on: for a readout, that of its encoder."""
        return self.task if self.encoder is None else self.encoder.task


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
                f"{_models(lambda other: 'features' in other.gives)}"
            )
        return
    if kind.labels not in model.predicts:
        raise InputError(
            f"{where}: model.name: {network.model.name} does not serve a {kind.name} task; accepted: "
            f"{_models(lambda other: kind.labels in other.predicts)}"
        )
    for name in network.evaluation.metrics:
        if kind.labels not in registry("metrics").find(name).labels:
            raise InputError(
                f"{where}: evaluation.metrics: {name!r} does not measure a class per {kind.labels}, as a {kind.name} "
                "task has it; accepted: another metric, or leave it out"
            )
    _check_sizes(task, network, where)


def _models(fits: Callable[[Any], bool]) -> str:
    return ", ".join(name for name, model in registry("models").all().items() if fits(model))


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
    if network.data.batch_size == 1 and all(n <= rule.norm_stride for lengths in sizes.values() for n in lengths):
        raise InputError(
            f"{where}: data.batch_size: one image of task {task.name} leaves the batch norms of {network.model.name} "
            "one value a channel; accepted: 2 or more, or larger images"
        )
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
    """The pair that trains the encoder of a readout, on images of the same shape."""
    name = task.encoder_task or "task1"
    if name.endswith(".json"):
        name = str(task_file.parent / name)
    encoder, encoder_file = load_task(name, **scale)
    if task.encoder_task is None:
        # The public task3.json names no encoder task: the encoder is trained on the same images.
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
    """A task with a network, scaled by a preset, changed by `changes`, then by `overrides`, and checked together.

    Args:
        task_name: Packaged name or path.
        network_name: Packaged name or path.
        volume: See `moved`.
        preset: Name of a preset.
        overrides: `key=value` changes of the network; they have precedence.
        changes: Value of each key of the network to change.
        where: Origin of `changes`, for errors.

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
