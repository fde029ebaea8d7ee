"""Trainings on patches: the same numbers again, after a kill, and with two workers; scores count every voxel once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mtneuro_ray
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.patches import CubeArrays
from mtneuro_ray.data.samples import SplitData
from mtneuro_ray.engine.loop import train
from mtneuro_ray.storage.folder import Folder
from tests.engine.data import arrays, run_of
from tests.tiny import write_tiny
from tests.workers import Workers

PATCHES = {"kind": "patches", "patches_per_epoch": 8, "balance": "class"}


def patches_run(**network: Any) -> RunSettings:
    return run_of("segmentation", task={"sampling": PATCHES}, learning_rate=1e-3, **network)


def patches_data() -> dict[Split, SplitData]:
    """Two training cubes of other sizes, and images of val and test."""
    cubes = [arrays(1, seed, masks=True, depth=depth, side=side) for seed, depth, side in ((0, 3, 32), (1, 2, 24))]
    masks = [np.asarray(each.masks).ravel() for each in cubes]
    training = CubeArrays(
        images=np.concatenate([each.images.reshape(1, -1) for each in cubes], axis=1),
        masks=np.concatenate(masks),
        shapes=((3, 32, 32), (2, 24, 24)),
        regions=np.arange(2),
        region_names=("A", "B"),
        size=(1, 16, 16),
        count=8,
        balance="class",
    )
    return {"train": training, "val": arrays(3, 2, masks=True), "test": arrays(2, 3, masks=True)}


def test_a_run_that_is_killed_and_resumed_equals_one_that_is_not(tmp_path: Path) -> None:
    run, data = patches_run(augmentations=True, class_weights="balanced"), patches_data()
    whole = train(run, data, WorkerContext(checkpoints=Folder(tmp_path / "whole")))

    def stop(entry: Mapping[str, Any]) -> None:
        if entry["epoch"] == 2:
            raise KeyboardInterrupt

    folder = Folder(tmp_path / "parts")
    with pytest.raises(KeyboardInterrupt):
        train(run, data, WorkerContext(checkpoints=folder, checkpoint_interval_s=0, report=stop))
    resumed = train(run, data, WorkerContext(checkpoints=folder))
    assert (resumed.metrics, resumed.history) == (whole.metrics, whole.history)
    assert whole.class_counts["train"] == dict(zip("AB", data["train"].class_counts(3).tolist(), strict=True))
    # Other patches in every epoch: the loss of an untrained model would be one number.
    still = train(patches_run(optimizer="SGD", epochs=2).model_copy(), data, WorkerContext())
    assert still.history[0]["train/loss"] != still.history[1]["train/loss"]


def shared(rank: int, folder: str) -> Any:
    context = WorkerContext(rank=rank, world_size=2, checkpoints=Folder(folder))
    return train(patches_run(epochs=2), patches_data(), context).history


def test_two_workers_see_the_patches_that_one_sees(workers: Workers, tmp_path: Path) -> None:
    first, second = workers.run(shared, str(tmp_path / "shared"))
    alone = train(patches_run(epochs=2), patches_data(), WorkerContext())
    assert first == second
    for entry, expected in zip(first, alone.history, strict=True):
        assert entry["train/loss"] == pytest.approx(expected["train/loss"], rel=1e-4)


def test_a_training_from_files_counts_every_voxel_of_its_cubes_once(tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path)
    task = json.loads(tiny.task.read_text())
    task["sampling"] = {"kind": "patches", "patches_per_epoch": 32}
    for cube in task["cubes"]:
        cube["y"] = [4, 25]
    tiny.task.write_text(json.dumps(task))
    record = mtneuro_ray.train(str(tiny.task), str(tiny.network), out=tmp_path / "out")
    assert record.status == "done"
    labels = np.load(tiny.labels)
    boxes = [np.s_[19:24, 4:25, 0:32], np.s_[19:24, 4:25, 40:72]]
    expected = np.bincount(np.concatenate([labels[box].ravel() for box in boxes]), minlength=3)
    assert record.metrics["test"]["truth"] == expected.tolist()
