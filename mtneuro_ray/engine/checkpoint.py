"""Checkpoints and final weights on disk, each with a checksum. They load with `weights_only=True`.

last.pt       state to resume from after a process is lost: a torch file followed by the SHA-256 of its bytes
model.pt      weights of a finished training
trained.json  its history, validation metrics, and the SHA-256 of model.pt and of these numbers
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import nn

from mtneuro_ray.data.normalization import Scaling
from mtneuro_ray.errors import MTNeuroError
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import LAST, MODEL, TRAINED, is_trained

logger = logging.getLogger(__name__)

History = list[dict[str, Any]]
Weights = dict[str, torch.Tensor]

_Found = TypeVar("_Found")

NOT_THE_FILE = (MTNeuroError, MemoryError, torch.OutOfMemoryError)
"""Errors in reading a file that do not come from its content."""

_DIGEST_BYTES = 32


class ChecksumError(ValueError):
    """The content of a file is not what was written."""


@dataclass
class Progress:
    """State of a training after `epoch` epochs, with one entry of the history for each.

    `best_value` is the best validation value so far, where the run keeps its best epoch; `kept_weights` are those to be
    evaluated, of that epoch or averaged, where they are not the last; `first_loss` is the mean loss of the first step.
    """

    epoch: int = 0
    history: History = field(default_factory=list)
    best_value: float | None = None
    kept_weights: Weights | None = None
    first_loss: float | None = None


@dataclass(frozen=True, slots=True)
class Trained:
    """Result of a finished training: its history, its validation metrics if the task has such a split, its weights.

    `scaling` is that of its inputs; None for one of an earlier version, which was of bytes.
    `timings` are seconds and rates of the process that trained it; empty where it was read from files.
    """

    history: History
    metrics: dict[str, Any] | None
    weights: Weights = field(default_factory=dict)
    scaling: Scaling | None = None
    timings: dict[str, float] = field(default_factory=dict)


def save(folder: Folder, progress: Progress, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Replace the last checkpoint, whole or not at all."""
    state = {**vars(progress), "model": model.state_dict(), "optimizer": optimizer.state_dict()}
    buffer = io.BytesIO()
    torch.save(state, buffer)
    digest = hashlib.sha256(buffer.getbuffer()).digest()
    buffer.seek(0, io.SEEK_END)
    buffer.write(digest)
    folder.write(LAST, buffer.getbuffer())


def resume(folder: Folder | None, model: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device) -> Progress:
    """Load the last checkpoint into model and optimizer; one that is damaged or does not fit is ignored and logged."""
    if folder is None or not folder.exists(LAST):
        return Progress()

    def load() -> Progress:
        content = memoryview(folder.read(LAST))
        _check(content[:-_DIGEST_BYTES], bytes(content[-_DIGEST_BYTES:]))
        state = torch.load(io.BytesIO(content[:-_DIGEST_BYTES]), map_location=device, weights_only=True)
        model.load_state_dict(state.pop("model"))
        optimizer.load_state_dict(state.pop("optimizer"))
        return Progress(**state)

    # Better to train again from the start than to fail on it at every retry.
    return _usable(load, f"{folder}/{LAST}", "the run starts again", model, optimizer) or Progress()


def save_trained(folder: Folder, module: nn.Module, trained: Trained) -> None:
    """Write the weights of a module, and history, validation metrics and scaling of its finished training."""
    buffer = io.BytesIO()
    torch.save({name: tensor.cpu() for name, tensor in module.state_dict().items()}, buffer)
    folder.write(MODEL, buffer.getbuffer())
    numbers = {
        "history": trained.history,
        "metrics": trained.metrics,
        "weights_sha256": hashlib.sha256(buffer.getbuffer()).hexdigest(),
        **({} if trained.scaling is None else {"scaling": trained.scaling.record()}),
    }
    content = {**numbers, "sha256": _digest_of(numbers)}
    # Last, and whole or not at all: where it is, the weights are.
    folder.write(TRAINED, json.dumps(content, allow_nan=True).encode())


def read_trained(folder: Folder, device: torch.device) -> Trained:
    """The result of a finished training.

    Raises:
        FileNotFoundError: there is none.
        Exception: of any type: the files can't be used.
    """
    numbers = json.loads(folder.read(TRAINED))
    if _digest_of({key: value for key, value in numbers.items() if key != "sha256"}) != numbers["sha256"]:
        raise ChecksumError(f"{TRAINED} was changed")
    content = folder.read(MODEL)
    _check(content, bytes.fromhex(numbers["weights_sha256"]))
    weights = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    return Trained(numbers["history"], numbers["metrics"], weights, Scaling.loaded(numbers.get("scaling", {})))


def load_trained(folder: Folder | None, module: nn.Module, device: torch.device) -> Trained | None:
    """Load the weights of a finished training into a module; None, and the module as it was, where none can be used."""
    if folder is None or not is_trained(folder):
        return None

    def load() -> Trained:
        trained = read_trained(folder, device)
        module.load_state_dict(trained.weights)
        return trained

    return _usable(load, str(folder), "the run is trained again", module)


def _usable(
    load: Callable[[], _Found], file: str, remedy: str, *holders: nn.Module | torch.optim.Optimizer
) -> _Found | None:
    """The result of `load`; None, a warning, and the holders' states as they were, where the file can't be used."""
    before = [deepcopy(holder.state_dict()) for holder in holders]
    try:
        return load()
    except NOT_THE_FILE:
        raise
    except Exception as error:  # Parsers of foreign bytes raise anything.
        logger.warning("%s: can't be used (%s); %s", file, type(error).__name__, remedy)
        for holder, state in zip(holders, before, strict=True):
            holder.load_state_dict(state)
        return None


def _check(content: bytes | memoryview, digest: bytes) -> None:
    if hashlib.sha256(content).digest() != digest:
        raise ChecksumError("the content is not what was written")


def _digest_of(numbers: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(numbers, sort_keys=True, allow_nan=True).encode()).hexdigest()
