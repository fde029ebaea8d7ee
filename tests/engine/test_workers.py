"""Two processes that share a run against one that does all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mtneuro_ray.config.task import Split
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.engine.loop import Outcome, train
from mtneuro_ray.storage.folder import Folder
from tests.engine.data import Data, data_of, run_of
from tests.workers import Workers

# Adam would make steps of gradients that are nothing but rounding.
_ENCODER = {"encoder_name": "resnet18", "encoder_weights": None, "optimizer": "SGD"}
# Epochs are few and rates low: one wrong weight of a loss shows, rounding does not grow.
CASES: dict[str, tuple[str, tuple[int, int, int], dict[str, Any]]] = {
    # Two workers halve batches of 3 unequally; a batch of one leaves one worker without any of it.
    "unet": ("segmentation", (8, 5, 3), {"learning_rate": 1e-3}),
    "unet_augmented": ("segmentation", (7, 1, 2), {"learning_rate": 1e-3, "augmentations": True, "keep": "best"}),
    "unet_of_one": ("segmentation", (3, 2, 1), {"learning_rate": 1e-3, "batch_size": 1}),
    # Parameters that no image reaches, dropout, pooling to one value an image.
    "pspnet": (
        "segmentation",
        (4, 2, 2),
        {"learning_rate": 1e-2, "batch_size": 4, "model": "PSPNet", **_ENCODER},
    ),
    "resnet": (
        "classification",
        (6, 3, 1),
        {"learning_rate": 1e-3, "optimizer": "SGD", "batch_size": 4, "keep": "average", "average_decay": 0.5},
    ),
}


def data_of_case(case: str) -> Data:
    kind, counts, _ = CASES[case]
    return data_of(kind, counts, side=32 if case == "pspnet" else 16)


def outcome_of(case: str, context: WorkerContext) -> Outcome:
    kind, _, network = CASES[case]
    epochs = 2 if case.startswith("unet") else 1
    return train(run_of(kind, epochs=epochs, **network), data_of_case(case), context)


def shared(rank: int, case: str, folder: str) -> tuple[Any, Any]:
    outcome = outcome_of(case, WorkerContext(rank=rank, world_size=2, checkpoints=Folder(folder)))
    return outcome.metrics, outcome.history


@pytest.fixture(autouse=True)
def small_models() -> None:
    """The real models here: their norms and their dropout are what has to agree."""


@pytest.mark.parametrize("case", CASES)
def test_two_workers_learn_what_one_learns(workers: Workers, tmp_path: Path, case: str) -> None:
    first, second = workers.run(shared, case, str(tmp_path / "shared"))
    assert first == second
    metrics, history = first
    _every_image_is_counted_once(case, metrics)
    alone = outcome_of(case, WorkerContext(checkpoints=Folder(tmp_path / "alone")))
    for entry, expected in zip(history, alone.history, strict=True):
        assert entry.keys() == expected.keys()
        assert entry["train/loss"] == pytest.approx(expected["train/loss"], rel=1e-4)
        assert entry["val/loss"] == pytest.approx(expected["val/loss"], rel=1e-3)
    together, weights = (torch.load(tmp_path / name / "model.pt", weights_only=True) for name in ("shared", "alone"))
    assert together.keys() == weights.keys()
    for name, tensor in weights.items():
        torch.testing.assert_close(together[name], tensor, rtol=1e-3, atol=1e-4, msg=name)


def _every_image_is_counted_once(case: str, metrics: Any) -> None:
    data = data_of_case(case)
    evaluated: tuple[Split, ...] = ("val", "test")
    for split in evaluated:
        masks = data[split].masks
        truth = data[split].labels if masks is None else masks.ravel()
        confusion = np.array(metrics[split]["confusion"])
        np.testing.assert_array_equal(confusion.sum(axis=1), np.bincount(truth, minlength=3))
