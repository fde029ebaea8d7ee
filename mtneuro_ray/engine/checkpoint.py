"""What is needed to go on with a run after its process is lost. Loads with `weights_only=True`."""

from __future__ import annotations

import io
import json
import logging
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from mtneuro_ray.storage.checkpoints import LAST, MODEL, TRAINED
from mtneuro_ray.storage.folder import Folder

logger = logging.getLogger(__name__)

History = list[dict[str, Any]]
Weights = dict[str, torch.Tensor]


@dataclass
class Progress:
    """How far a run has come.

    Attributes:
        epoch: Epochs that are finished.
        history: One entry per finished epoch.
        best_value: Best validation value so far, where the run keeps its best epoch.
        kept_weights: Those that are to be evaluated, of that epoch or averaged, where they are not the last.
    """

    epoch: int = 0
    history: History = field(default_factory=list)
    best_value: float | None = None
    kept_weights: Weights | None = None


def save(folder: Folder, progress: Progress, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Replace the last checkpoint, whole or not at all."""
    state = {
        "epoch": progress.epoch,
        "history": progress.history,
        "best_value": progress.best_value,
        "kept_weights": progress.kept_weights,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    folder.write(LAST, _pack(state))


def resume(folder: Folder | None, model: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device) -> Progress:
    """Load the last checkpoint into model and optimizer, if there is one."""
    if folder is None or not folder.exists(LAST):
        return Progress()
    try:
        state = torch.load(io.BytesIO(folder.read(LAST)), map_location=device, weights_only=True)
        kept = state["kept_weights"]
    except (RuntimeError, ValueError, KeyError, EOFError, OSError, pickle.UnpicklingError) as error:
        # Better to train again from the start than to fail on it at every retry.
        logger.warning("%s/%s: can't be read (%s); the run starts again", folder, LAST, type(error).__name__)
        return Progress()
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return Progress(state["epoch"], state["history"], state["best_value"], kept)


@dataclass(frozen=True, slots=True)
class Trained:
    """A training that has come to its end.

    Attributes:
        weights: The model's.
        history: One entry per epoch.
        metrics: Of the validation split; none where the task has no such split.
    """

    weights: Weights
    history: History
    metrics: dict[str, Any] | None


def save_trained(folder: Folder, module: nn.Module, history: History, metrics: Mapping[str, Any] | None) -> None:
    """Write the weights of a finished training, `torch.load(..., weights_only=True)` away from use, and its numbers."""
    folder.write(MODEL, _pack({name: tensor.cpu() for name, tensor in module.state_dict().items()}))
    # Last, and whole or not at all: where it is, the weights are.
    folder.write(TRAINED, json.dumps({"history": history, "metrics": metrics}, allow_nan=True).encode())


def load_trained(folder: Folder, device: torch.device) -> Trained | None:
    """What a finished training has left; None where it can't be read, and has to be done again."""
    try:
        numbers = json.loads(folder.read(TRAINED))
        weights = torch.load(io.BytesIO(folder.read(MODEL)), map_location=device, weights_only=True)
        return Trained(weights, numbers["history"], numbers["metrics"])
    except (RuntimeError, ValueError, KeyError, EOFError, OSError, pickle.UnpicklingError) as error:
        logger.warning("%s: can't be read (%s); the run is trained again", folder, type(error).__name__)
        return None


def _pack(state: object) -> memoryview:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getbuffer()
