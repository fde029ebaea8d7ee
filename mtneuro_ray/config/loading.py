"""Loading of tasks and networks, by name or path, as checked settings."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mtneuro_ray
from mtneuro_ray.config.base import read_json
from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.config.preset import preset_named
from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.config.task_volumes import SHOWN_OWN
from mtneuro_ray.config.upstream import native_network, native_task
from mtneuro_ray.config.volumes import VolumeSettings, addresses_of
from mtneuro_ray.errors import InputError, nearest

# A scheme that may name a folder of this machine, and the folder.
_FOLDER = re.compile(r"(file:(?://)?|(?:zarr|n5|precomputed)://)((?!.*://)[^/].*)")
_SUFFIX = {"tasks": ".json", "networks": ".json", "spaces": ".toml"}


def packaged_names(kind: str) -> list[str]:
    """Names of the tasks, networks or spaces that come with the package."""
    folder, suffix = _folder(kind), _SUFFIX[kind]
    return sorted(path.relative_to(folder).as_posix().removesuffix(suffix) for path in folder.rglob(f"*{suffix}"))


def _folder(kind: str) -> Path:
    # `spaces` is a link to tune_spaces/ in a checkout; a wheel holds the files.
    return (Path(mtneuro_ray.__file__).parent / "config" / "packaged" / kind).resolve()


def find(kind: str, name: str) -> Path:
    """The file of a packaged name or a path.

    Raises:
        InputError: there is none; the names are listed.
    """
    names = packaged_names(kind)
    if name in names:
        return _folder(kind) / (name + _SUFFIX[kind])
    if Path(name).is_file():
        return Path(name)
    raise InputError(
        f"{name}: no such file and no such name{nearest(name, names)}; accepted: a path or one of {', '.join(names)}"
    )


def load_task(name: str, volume: str | None = None, preset: str | None = None) -> tuple[TaskSettings, Path]:
    """A task by name or path, its channels read from `volume` if one is given, and scaled by a preset.

    The volume of a preset replaces only BossDB; other data are read at every scale.

    Raises:
        InputError: one line that names the file and the key.
    """
    path = find("tasks", name)
    task = TaskSettings.load(native_task(read_json(path), str(path)), str(path))
    if preset is not None:
        scale = preset_named(preset, "--preset")
        task = scale.scale_task(task, str(path))
        if task.image_addresses[0].startswith("bossdb://"):
            volume = volume or scale.volume
    return (moved(task, volume, str(path)) if volume else task), path


def load_network(name: str) -> tuple[NetworkSettings, Path]:
    """A network by name or path.

    Raises:
        InputError: one line that names the file and the key.
    """
    path = find("networks", name)
    values = native_network(read_json(path), str(path))
    network = NetworkSettings.load({"name": path.stem, **values}, str(path))
    if network.encoder_file is not None:
        # Paths in files are relative to the file that names them.
        weights = f"file:{path.parent / network.encoder_file}"
        network = network.replace(str(path), **{"model.encoder_weights": weights})
    return network, path


def moved(task: TaskSettings, volume: str, where: str) -> TaskSettings:
    """The task with its channels read from `volume`: `phantom`, or the base URI of a copy with the same names.

    `NAME=URI` names the one that it replaces of several `volumes`, "own" the task's own channels. A relative folder
    starts at the working folder.
    """
    name, _, base = volume.partition("=")
    if not task.volumes:
        return task.replace(where, **_channels_of(volume, task))
    if base and name in task.volumes:
        volumes = task.model_dump(mode="json")["volumes"]
        return task.replace(where, volumes={**volumes, name: volumes[name] | _channels_of(base, task.volumes[name])})
    if base and name == SHOWN_OWN:
        return task.replace(where, **_channels_of(base, task))
    names = ", ".join((SHOWN_OWN, *task.volumes))
    raise InputError(
        f"{where}: volumes: --volume {volume} names none of the task's; accepted: NAME=URI, NAME one of {names}"
    )


def _channels_of(base: str, volume: TaskSettings | VolumeSettings) -> dict[str, Any]:
    """Keys of the channels of a volume, read from a copy."""
    images = [_channel_of(base, uri) for uri in addresses_of(volume.image_chan)]
    found: dict[str, Any] = {"image_chan": images[0] if isinstance(volume.image_chan, str) else images}
    labels = {"annotation_chan": volume.annotation_chan, "mask_chan": volume.mask_chan}
    return found | {key: _channel_of(base, uri) for key, uri in labels.items() if uri is not None}


def _channel_of(volume: str, uri: str) -> str:
    channel = re.split("[/:]", uri.partition("?")[0].rstrip("/"))[-1]
    if volume == "phantom":
        return f"phantom://thalamocortical/{channel}?seed=0"
    base, mark, query = volume.partition("?")
    match = _FOLDER.fullmatch(base)
    # The task file's folder, where relative addresses in it start, is no place that somebody at a shell means.
    base = f"{match[1]}{os.path.abspath(match[2])}" if match else base
    return f"{base.rstrip('/')}/{channel}{mark}{query}"


def apply_overrides(network: NetworkSettings, overrides: Iterable[str]) -> NetworkSettings:
    """A network with `key=value` changes, each value JSON or else plain text.

    Raises:
        InputError: an override is malformed, or its key or value is not accepted.
    """
    changes: dict[str, Any] = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise InputError(f"--set: {override!r} has no '='; accepted: key=value")
        if key in changes:
            raise InputError(f"--set: {key}: stands twice; accepted: once")
        try:
            changes[key] = json.loads(text)
        except (ValueError, RecursionError):
            changes[key] = text
    return network.replace("--set", **changes) if changes else network
