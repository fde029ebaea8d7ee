"""One run, fully named by its settings."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

from mtneuro_ray.config.base import Settings
from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.errors import InputError

# Raised whenever the same settings would give other numbers.
PROTOCOL_VERSION = 2

Role = Literal["candidate", "final"]


class RunSettings(Settings):
    """What one training computes, and on which data.

    Attributes:
        role: A `candidate` of a search never sees the test split; a `final` run is evaluated on it once.
        data: Identities of the volumes that are read, image first.
        weights: Identity of the file that the encoder's weights are read from, where it is one.
        encoder_run: For a readout, the run whose encoder is read.
    """

    task: TaskSettings
    network: NetworkSettings
    role: Role
    data: tuple[str, ...]
    weights: str | None = None
    encoder_run: RunSettings | None = None
    protocol_version: int = PROTOCOL_VERSION

    @classmethod
    def of(
        cls,
        task: TaskSettings,
        network: NetworkSettings,
        role: Role,
        data: Sequence[str],
        encoder_run: RunSettings | None = None,
    ) -> RunSettings:
        """The run of a task and a network on volumes of these identities; of a readout, with its `encoder_run`.

        Raises:
            InputError: the network starts from a file of weights that can't be read.
        """
        path = network.encoder_file
        weights = None if path is None else _identity_of(path)
        return cls(task=task, network=network, role=role, data=tuple(data), weights=weights, encoder_run=encoder_run)

    @property
    def run_id(self) -> str:
        """Hash of everything above: equal settings on equal data are one run, whatever machine they run on.

        Keys at their defaults are left out, so that a new key which changes nothing by default renames no run; a
        default that changes has to come with another protocol version.
        """
        return _hash(self._naming())

    @property
    def train_id(self) -> str:
        """Hash of what decides the trained weights: runs that share it are trained once.

        Left out are the test split, the role and the names, so a model that is trained for one test set is only
        evaluated on another. A readout trains nothing: it has its encoder run's.
        """
        if self.encoder_run is not None:
            return self.encoder_run.train_id
        values = self._naming()
        values["task"]["cubes"] = [cube for cube in values["task"]["cubes"] if cube["split"] != "test"]
        del values["task"]["name"], values["role"]
        values["network"].pop("name", None)
        # More metrics measure the same weights.
        evaluation = values["network"].pop("evaluation", {})
        evaluation.pop("metrics", None)
        if evaluation:
            values["network"]["evaluation"] = evaluation
        return _hash(values)

    def _naming(self) -> dict[str, Any]:
        """What the run is named by."""
        # An address of voxels or weights is where, not what: identities stand for both.
        task, network = self.task.changed(), self.network.changed()
        for key in ("image_chan", "annotation_chan", "encoder_task"):
            task.pop(key, None)
        values: dict[str, Any] = {"task": task, "network": network, "role": self.role, "data": list(self.data)}
        if self.weights is not None:
            network["model"].pop("encoder_weights", None)
            values["weights"] = self.weights
        values["protocol_version"] = self.protocol_version
        if self.encoder_run is not None:
            values["encoder_run"] = self.encoder_run.train_id
        return values

    @property
    def model(self) -> str:
        """The network's name in tables: one for all its numbers of classes."""
        return self.network.table_name

    def summary(self) -> dict[str, Any]:
        """The settings that tables show; rate, batch and epochs are those of the encoder's training."""
        network = self.network
        return {
            "model": self.model,
            "task": self.task.name,
            "role": self.role,
            "seed": network.seed,
            **network.training._asdict(),
        }


def _hash(values: Mapping[str, Any]) -> str:
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _identity_of(path: str) -> str:
    try:
        status = os.stat(path)
        return _digest(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise InputError(f"encoder_weights: file:{path}: {error.strerror}; accepted: a file that can be read") from None


# A search asks for the same file with every candidate.
@lru_cache(maxsize=16)
def _digest(path: str, mtime_ns: int, size: int) -> str:
    with open(path, "rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
