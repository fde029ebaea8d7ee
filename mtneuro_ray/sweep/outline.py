"""OUT/sweep.json: the experiments of the last sweep, for `results runs --watch`. No result depends on it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.config.pairs import Pair
from mtneuro_ray.config.space import ExperimentSpace
from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.errors import MTNeuroError
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.sweep.experiment import Experiment

_NAME = "sweep.json"
_VERSION = 2


def write_outline(out: Folder, experiments: Sequence[Experiment]) -> None:
    """Write the experiments of a sweep into its output folder."""
    values = [
        {
            "space": each.space.model_dump(mode="json"),
            "pair": _pair_as_json(each.pair),
            "data": each.data,
            "encoder_data": each.encoder_data,
            "origin": each.origin,
        }
        for each in experiments
    ]
    out.write(_NAME, json.dumps({"version": _VERSION, "experiments": values}).encode())


def read_outline(out: Folder) -> list[Experiment]:
    """The experiments of the last sweep in an output folder; empty without a file of this version."""
    try:
        content = json.loads(out.read(_NAME))
        if content["version"] != _VERSION:
            return []
        return [
            Experiment(
                ExperimentSpace.load(values["space"], _NAME),
                _pair(values["pair"]),
                tuple(values["data"]),
                tuple(values["encoder_data"]),
                values["origin"],
            )
            for values in content["experiments"]
        ]
    except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError, RecursionError, MTNeuroError):
        return []


def _pair_as_json(pair: Pair) -> dict[str, Any]:
    return {
        "task": pair.task.model_dump(mode="json"),
        "network": pair.network.model_dump(mode="json"),
        "files": [str(pair.task_file), str(pair.network_file)],
        "encoder": None if pair.encoder is None else _pair_as_json(pair.encoder),
    }


def _pair(values: Mapping[str, Any]) -> Pair:
    task_file, network_file = map(Path, values["files"])
    return Pair(
        TaskSettings.load(values["task"], _NAME),
        NetworkSettings.load(values["network"], _NAME),
        task_file,
        network_file,
        None if values["encoder"] is None else _pair(values["encoder"]),
    )
