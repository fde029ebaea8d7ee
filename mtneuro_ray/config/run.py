"""Settings of one run, whose hashes are its ids."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, Self

from mtneuro_ray.config.base import Settings
from mtneuro_ray.config.label_keys import with_absent
from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.errors import InputError

# Raised whenever the same settings would give other numbers.
PROTOCOL_VERSION = 2

Role = Literal["candidate", "final"]


class RunSettings(Settings):
    """Everything that decides the numbers of one training, including its data."""

    task: TaskSettings
    network: NetworkSettings
    role: Role
    """A `candidate` of a search never sees the test split; a `final` run is evaluated on it once."""
    data: tuple[str, ...]
    """Identities of the volumes that are read, image first."""
    weights: str | None = None
    """Identity of the file of the encoder's initial weights, if there is one."""
    encoder_run: RunSettings | None = None
    """For a readout, the run whose encoder is read."""
    protocol_version: int = PROTOCOL_VERSION

    @classmethod
    def load(cls, values: Mapping[str, Any], where: str, prefix: str = "") -> Self:
        """Check settings as a run file has them, also one from before there was the task's key `absent`."""
        return super().load(_with_absent(values), where, prefix)

    @classmethod
    def of(
        cls,
        task: TaskSettings,
        network: NetworkSettings,
        role: Role,
        data: Sequence[str],
        encoder_run: RunSettings | None = None,
    ) -> RunSettings:
        """The run of a task and a network on volumes with these identities.

        The model takes as many channels as the image has.

        Raises:
            InputError: the model has another number of channels, or the file of the encoder's initial weights cannot
                be read.
        """
        channels, own = task.count_channels(data), network.model.in_channels
        if own not in (1, channels):
            raise InputError(
                f"{network.name}: model.in_channels: is {own}, the image of {task.name} has {channels}; accepted: "
                f"{channels}, or leave it out"
            )
        if own != channels:
            network = network.replace(network.name, **{"model.in_channels": channels})
        weights = None if network.encoder_file is None else _identity_of(network.encoder_file)
        return cls(task=task, network=network, role=role, data=tuple(data), weights=weights, encoder_run=encoder_run)

    @property
    def run_id(self) -> str:
        """Hash of the settings: equal settings on equal data are one run, on any machine.

        Keys at their defaults are left out, so a new key does not change the ids of old runs; a changed default needs
        another PROTOCOL_VERSION. The task's `absent` is the exception: left out at "one", the rule before there was
        this key, so that those runs and the benchmark's keep their ids, and part of the id at its default.
        """
        return _hash(self._naming())

    @property
    def train_id(self) -> str:
        """Hash of the settings that decide the trained weights: runs that share it are trained once.

        The test split, the role and the names are left out, so a trained model is only evaluated on another test set.
        A readout has the id of its encoder run.
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
        """Settings that the hashes are made of."""
        # Identities stand for voxels and weights, whatever their address.
        task, network = self.task.changed(), self.network.changed()
        for key in ("image_chan", "annotation_chan", "mask_chan", "volumes", "encoder_task", "absent"):
            task.pop(key, None)
        if self.task.absent != "one":
            task["absent"] = self.task.absent
        # An address is no part of the id, but a voxel size in it counts as that of the key: attributes and predictions
        # have it. Identities of resampled volumes hold it.
        if self.task.target_voxel_size_um is None and (size := self.task.stated_voxel_size_um) is not None:
            task["voxel_size_um"] = size
        # By its old name, so that runs keep their ids.
        if network["data"].get("normalization") == "image":
            network["data"]["input_norm"] = network["data"].pop("normalization")
        # Keys that follow a rule now had defaults, which were left out.
        method, stated = network["method"], self.network.method
        for key, before in getattr(stated, "before_rules", {}).items():
            method[key] = getattr(stated, key)
            if method[key] == before:
                del method[key]
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
        """The network's name in tables."""
        return self.network.table_name

    def summary(self) -> dict[str, Any]:
        """Settings that tables show. Learning rate, batch size and epochs are those of the encoder's training."""
        names = {"model": self.model, "task": self.task.name, "role": self.role, "seed": self.network.seed}
        return {**names, **self.network.training._asdict()}


def _with_absent(run: Mapping[str, Any]) -> dict[str, Any]:
    encoder_run = run.get("encoder_run")
    inner = {"encoder_run": _with_absent(encoder_run)} if isinstance(encoder_run, Mapping) else {}
    return {**run, "task": with_absent(run.get("task")), **inner}


def _hash(values: Mapping[str, Any]) -> str:
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _identity_of(path: str) -> str:
    try:
        status = os.stat(path)
        return _digest(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise InputError(f"encoder_weights: file:{path}: {error.strerror}; accepted: a file that can be read") from None


# Every candidate of a search has the same file.
@lru_cache(maxsize=16)
def _digest(path: str, mtime_ns: int, size: int) -> str:
    with open(path, "rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
