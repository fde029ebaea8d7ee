"""Runs whose splits are read from the store while they train, against the same runs with their splits in memory."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.stored import StoredSplit
from mtneuro_ray.data.streamed import StreamedSplit
from mtneuro_ray.engine.loop import Outcome, train
from mtneuro_ray.errors import InputError
from mtneuro_ray.models import MODELS
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import MODEL
from tests.data.stored import filled_store, resident, stored
from tests.engine.data import run_of, small_encoder_classifier
from tests.workers import Workers

_CUBES = [
    {"region": region, "label": label, "split": split, "z": z, "y": [3, 43], "x": x}
    for split, z in {"train": [0, 10], "val": [11, 16], "test": [17, 23]}.items()
    for label, (region, x) in enumerate({"A": [2, 30], "B": [31, 63]}.items())
]
_SGD = {"optimizer": "SGD", "learning_rate": 1e-3}
_SSL = {"epochs": 2, "lr_warmup_epochs": 0, "projector_hidden_size": 8, "projector_output_size": 4}
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "unet": ("segmentation", {}, {"augmentations": True, "class_weights": "balanced", "keep": "best"}),
    "unet_downsampled": ("segmentation", {"downsample": 2}, {}),
    "unet_3d": ("segmentation", {"volume_z": 2}, {"dim": 3}),
    "zscore": ("segmentation", {}, {"data": {"normalization": "zscore"}}),
    "mixup": ("classification", {}, {"mixup_probability": 0.7, "keep": "average", "average_decay": 0.5, **_SGD}),
    "byol": ("classification", {}, {"method": "byol", "ssl": _SSL, "dropout": 0.2}),
    "myow": ("classification", {}, {"method": "myow", "ssl": {**_SSL, "pool_ratio": 2.0}, "dropout": 0.2}),
    "random": ("classification", {}, {"method": "random", "dropout": 0.2}),
}


def run_of_case(case: str) -> RunSettings:
    kind, task, network = CASES[case]
    return run_of(kind, task={"cubes": _CUBES, **task}, **{"epochs": 2, "batch_size": 7, **network})


def outcome_of(case: str, store: Path, context: WorkerContext, *, streams: bool) -> Outcome:
    run, cutouts = run_of_case(case), filled_store(store)
    return train(run, stored(cutouts, run.task) if streams else resident(cutouts, run.task), context)


@pytest.fixture
def encoders(small_models: None, monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(MODELS.find("ResNet-18"), build=small_encoder_classifier)
    monkeypatch.setitem(MODELS._found, "ResNet-18", small)


@pytest.fixture
def unannounced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lengths of the batches that were not read ahead."""
    found: list[int] = []
    gathering: list[bool] = []
    read, gather = StoredSplit.read, StreamedSplit.gather

    def noted(split: StoredSplit, indices: Any) -> Any:
        if gathering and threading.current_thread() is threading.main_thread():
            found.append(len(indices))
        return read(split, indices)

    def gathered(split: StreamedSplit, indices: Any) -> Any:
        gathering.append(True)
        try:
            return gather(split, indices)
        finally:
            gathering.pop()

    monkeypatch.setattr(StoredSplit, "read", noted)
    monkeypatch.setattr(StreamedSplit, "gather", gathered)
    return found


@pytest.mark.parametrize("case", CASES)
def test_a_streamed_run_has_the_numbers_and_weights_of_a_resident_one(
    encoders: None, unannounced: list[int], tmp_path: Path, case: str
) -> None:
    outcomes, weights = [], []
    for name, streams in (("resident", False), ("streamed", True)):
        context = WorkerContext(checkpoints=Folder(tmp_path / name))
        outcomes.append(outcome_of(case, tmp_path / "store", context, streams=streams))
        weights.append(torch.load(tmp_path / name / MODEL, weights_only=True))
    expected, found = outcomes
    assert found.metrics == expected.metrics
    assert found.history == expected.history
    assert found.class_counts == expected.class_counts
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name]), name
    assert unannounced == []


class LostError(Exception):
    """The process is lost."""


@pytest.mark.parametrize("case", ["unet", "myow"])
def test_a_streamed_run_goes_on_where_it_was_lost(encoders: None, tmp_path: Path, case: str) -> None:
    def lose(entry: Any) -> None:
        raise LostError

    lost = WorkerContext(checkpoints=Folder(tmp_path / "lost"), checkpoint_interval_s=0, report=lose)
    with pytest.raises(LostError):
        outcome_of(case, tmp_path / "store", lost, streams=True)
    resumed = WorkerContext(checkpoints=Folder(tmp_path / "lost"))
    found = outcome_of(case, tmp_path / "store", resumed, streams=True)
    expected = outcome_of(case, tmp_path / "store", WorkerContext(), streams=False)
    assert (found.metrics, found.history) == (expected.metrics, expected.history)


def test_what_reads_all_images_at_once_is_refused(encoders: None, tmp_path: Path) -> None:
    run = run_of(
        "classification", task={"cubes": _CUBES}, model="PCA", method="decomposition", components=4, dropout=0.2
    )
    with pytest.raises(InputError) as raised:
        train(run, stored(filled_store(tmp_path), run.task), WorkerContext())
    needed = 10 * 2 * 3 * 256
    assert str(raised.value) == (
        f"small: run.memory_budget: is below the {needed} bytes of the training split, all of which decomposition "
        f"reads at once; accepted: {needed} or more"
    )


def shared(rank: int, case: str, folder: str, streams: bool) -> tuple[Any, Any]:
    context = WorkerContext(rank=rank, world_size=2, checkpoints=Folder(f"{folder}/{streams}"))
    outcome = outcome_of(case, Path(folder) / f"store-{rank}", context, streams=streams)
    return outcome.metrics, outcome.history


@pytest.mark.slow
@pytest.mark.parametrize("case", ["unet", "unet_3d"])
def test_two_workers_stream_what_two_workers_hold(workers: Workers, tmp_path: Path, case: str) -> None:
    expected, found = (workers.run(shared, case, str(tmp_path), streams) for streams in (False, True))
    assert found == expected
