"""Which runs are seeds of one method."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mtneuro_ray.config.base import Settings
from mtneuro_ray.config.base import flattened as flat
from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.storage.records import RunRecord


def method_of(record: RunRecord) -> str:
    """Everything that names a run but its seed; addresses of channels and of weights do not."""
    network = {**network_of(record), "seed": None}
    weights = record.settings.get("weights")
    if weights is not None:
        network["model"] = {**network["model"], "encoder_weights": weights}
    task = {**task_of(record), "image_chan": None, "annotation_chan": None}
    return json.dumps([record.summary["model"], network, task, record.settings["data"]], sort_keys=True)


def network_of(record: RunRecord) -> dict[str, Any]:
    """A run's network, nested by owner."""
    network: dict[str, Any] = record.settings["network"]
    return network


def flattened(network: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a network by their paths; a batch size of the method that is not set is that of the data."""
    values = flat(network)
    if "method.batch_size" in values:
        values["method.batch_size"] = values["method.batch_size"] or values["data.batch_size"]
    return values


def task_of(record: RunRecord) -> dict[str, Any]:
    """A run's task, with the keys that are younger than its file."""
    return _filled(record.settings["task"], TaskSettings)


def encoder_task_of(record: RunRecord) -> dict[str, Any] | None:
    """The task that trained the encoder of a readout; None for any other run."""
    encoder_run = record.settings.get("encoder_run")
    return None if encoder_run is None else _filled(encoder_run["task"], TaskSettings)


def _filled(values: Mapping[str, Any], settings: type[Settings]) -> dict[str, Any]:
    fields = settings.model_fields.items()
    return {**{name: field.default for name, field in fields if not field.is_required()}, **values}


def finished(records: Sequence[RunRecord], role: str = "final") -> list[RunRecord]:
    """The runs of a role that came to their end."""
    return [record for record in records if record.status == "done" and record.summary["role"] == role]


def by_method(records: Sequence[RunRecord]) -> list[list[RunRecord]]:
    """The runs of each method: its seeds."""
    methods: dict[str, list[RunRecord]] = {}
    for record in records:
        methods.setdefault(method_of(record), []).append(record)
    return list(methods.values())


def data_of(record: RunRecord) -> str:
    """The kind of data that a run was trained on, such as `phantom`."""
    identity: str = record.settings["data"][0]
    return identity.partition(":")[0]
