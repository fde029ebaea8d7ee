"""Settings of a run file as the frame has them: complete, and hashed such that seeds of one method share the hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from mtneuro_ray.config.base import Settings, flattened
from mtneuro_ray.config.label_keys import with_absent
from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.errors import InputError
from mtneuro_ray.registry import registry


def method_hash(model: str, task_json: str, network: Mapping[str, Any], origin: Mapping[str, Any]) -> str:
    """Hash without the addresses of channels and weights, which their identities replace."""
    network = {**network, "seed": None}
    if origin["weights"] is not None:
        network["model.encoder_weights"] = None
    first, last = json.dumps([model, network], sort_keys=True), json.dumps([origin["data"], origin["weights"]])
    text = f"{first[:-1]}, {_without_addresses(task_json)}, {last[1:]}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@lru_cache(maxsize=1 << 12)
def _without_addresses(task_json: str) -> str:
    addresses = dict.fromkeys(("image_chan", "annotation_chan", "mask_chan"))
    return json.dumps({**json.loads(task_json), **addresses}, sort_keys=True)


def filled_task(task: Mapping[str, Any]) -> dict[str, Any]:
    """A task with the defaults of keys that were added after its file was written, so that it stays the same method."""
    return {**_defaults(TaskSettings), **with_absent(task)}


def filled_network(network: Mapping[str, Any]) -> dict[str, Any]:
    """A network, flattened, with the defaults of keys that were added after its file was written."""
    data = dict(network.get("data", {}))
    if "input_norm" in data:  # the older name
        data["normalization"] = data.pop("input_norm")
        network = {**network, "data": data}
    filled = dict(network)
    for owner, field in NetworkSettings.model_fields.items():
        table = network.get(owner, {})
        settings = field.annotation
        if owner in ("model", "method"):
            settings = _settings_of(f"{owner}s", table["name"])
        if isinstance(settings, type) and issubclass(settings, Settings):
            filled[owner] = {**_defaults(settings), **table}
    return flattened(filled)


@cache
def _settings_of(kind: str, name: str) -> type[Any] | None:
    """Type of the settings of a model or method; None for a plugin that is not installed here."""
    try:
        found: type[Any] | None = registry(kind).find(name).settings
        return found
    except InputError:
        return None


@cache
def _defaults(settings: type[Settings]) -> Mapping[str, Any]:
    found = {
        name: field.get_default(call_default_factory=True)
        for name, field in settings.model_fields.items()
        if not field.is_required()
    }
    plain = {name: value for name, value in found.items() if not isinstance(value, Settings)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}
