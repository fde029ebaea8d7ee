"""From a name or a path to checked settings: the one door for everything that a person writes."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import mtneuro_ray
from mtneuro_ray.config.base import read_json
from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.config.preset import preset_named
from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.config.upstream import (
    is_upstream_network,
    is_upstream_task,
    normalise_network,
    normalise_task,
)
from mtneuro_ray.errors import InputError

logger = logging.getLogger(__name__)

_SUFFIX = {"tasks": ".json", "networks": ".json", "spaces": ".toml"}


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
