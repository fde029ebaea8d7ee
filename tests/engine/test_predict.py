from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.engine.finished import load_model
from mtneuro_ray.engine.loop import Outcome, train
from mtneuro_ray.engine.predict import measure, predict
from mtneuro_ray.errors import InputError
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import MODEL
from tests.engine.data import Data, data_of, run_of

CPU = torch.device("cpu")
VARIANTS: list[tuple[dict[str, Any], dict[str, int], tuple[int, ...]]] = [
    ({"input_norm": "image", "keep": "best", "class_weights": "balanced"}, {}, (1, 16, 16)),
    ({"dim": 3}, {"depth": 2}, (2, 16, 16)),
    ({"conv_mode": "valid"}, {"side": 20}, (1, 4, 4)),
    ({"precision": "bf16"}, {}, (1, 16, 16)),
]


def trained(folder: Path, network: dict[str, Any], shape: dict[str, int]) -> tuple[RunSettings, Data, Outcome]:
    task = {"volume_z": shape["depth"]} if "depth" in shape else None
    run = run_of("segmentation", task=task, **{"epochs": 1, **network})
    data = data_of("segmentation", (7, 5, 37), **shape)
    return run, data, train(run, data, WorkerContext(checkpoints=Folder(folder)))


@pytest.mark.parametrize(("network", "shape", "image"), VARIANTS, ids=str)
def test_predictions_score_what_the_run_scored(
    tmp_path: Path, network: dict[str, Any], shape: dict[str, int], image: tuple[int, ...]
) -> None:
    run, data, outcome = trained(tmp_path, network, shape)
    test = data["test"]
    assert test.masks is not None
    predicted = predict(run, load_model(run, Folder(tmp_path), CPU), test, WorkerContext())
    assert predicted.dtype == np.uint8
    assert predicted.shape == (37, *image)
    assert len(np.unique(predicted)) > 1
    measured = measure(run, test.masks, predicted)
    assert "confusion" in measured
    assert measured == {name: outcome.metrics["test"][name] for name in measured}
    # One voxel more or less shows.
    predicted[3, 0, 2, 1] = (predicted[3, 0, 2, 1] + 1) % 3
    assert measure(run, test.masks, predicted)["confusion"] != measured["confusion"]


def test_shares_of_workers_are_joined_in_the_order_of_the_split(tmp_path: Path) -> None:
    run, data, _ = trained(tmp_path, {}, {})
    model = load_model(run, Folder(tmp_path), CPU)
    alone, shared = (predict(run, model, data["test"], WorkerContext(), workers) for workers in (1, 3))
    assert (alone != shared).mean() < 1e-3


def test_weights_that_are_missing_damaged_or_of_another_model_are_one_line(tmp_path: Path) -> None:
    run, _, _ = trained(tmp_path, {}, {})
    with pytest.raises(InputError, match=r"none/model\.pt: no such file, so net on small can't predict; accepted: "):
        load_model(run, Folder(tmp_path / "none"), CPU)
    wide = run_of("segmentation", start_filters=8)
    with pytest.raises(
        InputError, match=f"{MODEL}: are not the weights of net .* accepted: those of run {wide.run_id}"
    ):
        load_model(wide, Folder(tmp_path), CPU)
    (tmp_path / MODEL).write_bytes(b"PK\x03\x04 no weights")
    with pytest.raises(InputError, match=f"{MODEL}: can't be used \\(ChecksumError"):
        load_model(run, Folder(tmp_path), CPU)
