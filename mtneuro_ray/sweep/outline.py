"""The experiments of a sweep, left in its output folder for those who watch it from elsewhere. No result depends on it.

OUT/sweep.json
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Outline:
    """The last sweep of an output folder.

    Attributes:
        experiments: Its experiments; none where there is no outline of this version.
    """

    experiments: Sequence[Experiment] = ()

    def write(self, out: Folder) -> None:
        """Leave it in an output folder, whole or not at all."""
        content = {"version": _VERSION, "experiments": [_as_json(experiment) for experiment in self.experiments]}
        out.write(_NAME, json.dumps(content).encode())

    @classmethod
    def read(cls, out: Folder) -> Outline:
        """The outline in an output folder; an empty one where there is none of this version."""
        try:
            content = json.loads(out.read(_NAME))
            if content["version"] != _VERSION:
                return cls()
            return cls([_experiment(values) for values in content["experiments"]])
        except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError, RecursionError, MTNeuroError):
            return cls()


def _as_json(experiment: Experiment) -> dict[str, Any]:
    return {
        "space": experiment.space.model_dump(mode="json"),
        "pair": _pair_as_json(experiment.pair),
        "data": experiment.data,
        "encoder_data": experiment.encoder_data,
        "origin": experiment.origin,
    }


def _pair_as_json(pair: Pair) -> dict[str, Any]:
    return {
        "task": pair.task.model_dump(mode="json"),
        "network": pair.network.model_dump(mode="json"),
        "files": [str(pair.task_file), str(pair.network_file)],
        "encoder": None if pair.encoder is None else _pair_as_json(pair.encoder),
    }


def _experiment(values: Mapping[str, Any]) -> Experiment:
    space = ExperimentSpace.load(values["space"], _NAME)
    return Experiment(
        space, _pair(values["pair"]), tuple(values["data"]), tuple(values["encoder_data"]), values["origin"]
    )


def _pair(values: Mapping[str, Any]) -> Pair:
    task_file, network_file = map(Path, values["files"])
    return Pair(
        TaskSettings.load(values["task"], _NAME),
        NetworkSettings.load(values["network"], _NAME),
        task_file,
        network_file,
        None if values["encoder"] is None else _pair(values["encoder"]),
    )
