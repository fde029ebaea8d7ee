"""Checkpoints and weights that are damaged, of another version or another model: the run starts again and says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.engine.checkpoint import Progress, read_trained, resume, save
from mtneuro_ray.engine.loop import Outcome, train
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import LAST, MODEL, TRAINED
from tests.engine.data import data_of, run_of

CPU = torch.device("cpu")


def same(a: Outcome, b: Outcome) -> bool:
    return a.metrics == b.metrics and a.history == b.history


def flipped(content: bytes) -> bytes:
    """One bit in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "no checkpoint": lambda content: b"not a checkpoint" * 9,
    "cut short": lambda content: content[: len(content) // 2],
    "a flipped bit": flipped,
    "without a checksum": lambda content: content[:-32],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_starts_the_run_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    run, data = run_of("segmentation", "candidate", epochs=2), data_of("segmentation")
    context = WorkerContext(checkpoints=Folder(tmp_path), checkpoint_interval_s=0)
    whole = train(run, data, context)
    (tmp_path / LAST).write_bytes(DAMAGES[damage]((tmp_path / LAST).read_bytes()))
    told: list[Any] = []
    assert same(train(run, data, replace(context, report=told.append)), whole)
    assert len(told) == 2
    assert "last.pt: can't be used (ChecksumError); the run starts again" in caplog.text


def test_a_checkpoint_of_another_model_leaves_model_and_optimizer_as_they_were(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def pair(*sizes: int) -> tuple[nn.Module, torch.optim.Optimizer]:
        model = nn.Sequential(*(nn.Linear(3, size) for size in sizes))
        return model, torch.optim.Adam(model.parameters(), lr=0.5)

    save(Folder(tmp_path), Progress(epoch=7), *pair(3, 4))
    model, optimizer = pair(3, 5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert resume(Folder(tmp_path), model, optimizer, CPU) == Progress()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert "can't be used (RuntimeError); the run starts again" in caplog.text
    assert resume(Folder(tmp_path), *pair(3, 4), CPU).epoch == 7


def weights_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / TRAINED).read_text())
    return found


@pytest.mark.parametrize("name", [MODEL, TRAINED])
@pytest.mark.parametrize("damage", ["empty", "a flipped bit"])
def test_damaged_weights_are_trained_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, damage: str
) -> None:
    run, data = run_of("classification", epochs=1), data_of("classification")
    context = WorkerContext(checkpoints=Folder(tmp_path))
    whole = train(run, data, context)
    (tmp_path / name).write_bytes(DAMAGES[damage]((tmp_path / name).read_bytes()))
    told: list[Any] = []
    assert same(train(run, data, replace(context, report=told.append)), whole)
    assert len(told) == 1
    assert "the run is trained again" in caplog.text
    assert read_trained(Folder(tmp_path), CPU).history == whole.history


def test_numbers_of_a_finished_training_that_were_changed_are_noticed(tmp_path: Path) -> None:
    run, data = run_of("classification", epochs=1), data_of("classification")
    train(run, data, WorkerContext(checkpoints=Folder(tmp_path)))
    numbers = weights_of(tmp_path)
    numbers["metrics"]["accuracy"] = 1.0
    (tmp_path / TRAINED).write_text(json.dumps(numbers))
    with pytest.raises(ValueError, match=r"trained\.json was changed"):
        read_trained(Folder(tmp_path), CPU)
