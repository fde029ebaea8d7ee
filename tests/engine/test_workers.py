"""Two processes that share a run against one that does all of it."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from mtneuro_ray.config.task import Split
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.engine.loop import Outcome, train
from mtneuro_ray.storage.folder import Folder
from tests.engine.data import Data, data_of, run_of

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


def worker(rank: int, port: int, folder: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=2)
    for case in CASES:
        context = WorkerContext(rank=rank, world_size=2, checkpoints=Folder(f"{folder}/{case}"))
        outcome = outcome_of(case, context)
        torch.save((outcome.metrics, outcome.history), f"{folder}/{case}_{rank}.pt")
    dist.destroy_process_group()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of both ranks, and the weights that the leader wrote."""
    folder = tmp_path_factory.mktemp("two_workers")
    spawn(worker, (free_port(), str(folder)), nprocs=2)  # type: ignore[no-untyped-call]
    return folder


@pytest.fixture(autouse=True)
def small_models() -> None:
    """The real models here: their norms and their dropout are what has to agree."""


@pytest.mark.parametrize("case", CASES)
def test_two_workers_learn_what_one_learns(two_workers: Path, tmp_path: Path, case: str) -> None:
    alone = outcome_of(case, WorkerContext(checkpoints=Folder(tmp_path)))
    _, history = torch.load(two_workers / f"{case}_0.pt")
    for entry, expected in zip(history, alone.history, strict=True):
        assert entry.keys() == expected.keys()
        assert entry["train/loss"] == pytest.approx(expected["train/loss"], rel=1e-4)
        assert entry["val/loss"] == pytest.approx(expected["val/loss"], rel=1e-3)
    shared = torch.load(two_workers / case / "model.pt", weights_only=True)
    weights = torch.load(tmp_path / "model.pt", weights_only=True)
    assert shared.keys() == weights.keys()
    for name, tensor in weights.items():
        torch.testing.assert_close(shared[name], tensor, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize("case", CASES)
def test_every_image_is_counted_by_one_worker(two_workers: Path, case: str) -> None:
    data = data_of_case(case)
    metrics, _ = torch.load(two_workers / f"{case}_0.pt")
    evaluated: tuple[Split, ...] = ("val", "test")
    for split in evaluated:
        masks = data[split].masks
        truth = data[split].labels if masks is None else masks.ravel()
        confusion = np.array(metrics[split]["confusion"])
        np.testing.assert_array_equal(confusion.sum(axis=1), np.bincount(truth, minlength=3))


@pytest.mark.parametrize("case", CASES)
def test_both_workers_know_the_same_metrics(two_workers: Path, case: str) -> None:
    first, second = (torch.load(two_workers / f"{case}_{rank}.pt") for rank in range(2))
    assert first == second
