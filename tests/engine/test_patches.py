"""Trainings on patches: the same numbers after a kill and with two workers; scores are those of what is written."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

import mtneuro_ray
from mtneuro_ray.cli.main import main
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data.ahead import Voxels
from mtneuro_ray.data.class_labels import IGNORED
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.cubes import CubeArrays, load_cubes
from mtneuro_ray.data.samples import SplitData
from mtneuro_ray.data.stored import describe, joined, parts_of
from mtneuro_ray.data.stored_cubes import StoredCubes, StoredPatches
from mtneuro_ray.data.streamed import on_device
from mtneuro_ray.engine import cubes as engine_cubes
from mtneuro_ray.engine import evaluation
from mtneuro_ray.engine.blending import importance
from mtneuro_ray.engine.loop import set_up, train
from mtneuro_ray.engine.predict import predict_run
from mtneuro_ray.metrics.base import Metrics
from mtneuro_ray.metrics.segmentation import SegmentationMetric
from mtneuro_ray.rng import Indices
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import MODEL, RunFolder
from mtneuro_ray.volumes.source import open_volume
from tests.data.stored import IDENTITIES, filled_store
from tests.engine.data import run_of
from tests.tiny import write_tiny
from tests.workers import Workers

_CUBES = [
    {"region": region, "split": split, "z": z, "y": [3, 43], "x": x}
    for split, z in {"train": [0, 10], "val": [11, 15], "test": [17, 22]}.items()
    for region, x in {"A": [2, 30], "B": [31, 63]}.items()
]


def patches_run(task: dict[str, Any] | None = None, **network: Any) -> RunSettings:
    sampling = {"kind": "patches", "patches_per_epoch": 8, "balance": "class"}
    values = {"sampling": sampling, "cubes": _CUBES, **(task or {})}
    return run_of("segmentation", task=values, **{"learning_rate": 1e-3, **network})


def data_at(folder: Path, run: RunSettings) -> dict[Split, SplitData]:
    store = filled_store(folder / "store")
    splits: tuple[Split, ...] = ("train", "val", "test")
    return {split: load_cubes(store, IDENTITIES, run.task, split) for split in splits}


def test_a_run_that_is_killed_and_resumed_equals_one_that_is_not(tmp_path: Path) -> None:
    run = patches_run(augmentations=True, class_weights="balanced", data={"normalization": "zscore"})
    data = data_at(tmp_path, run)
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
    assert whole.normalization["dtype"] == "uint8"


def test_every_epoch_has_other_patches(tmp_path: Path) -> None:
    run = patches_run()
    split = on_device(data_at(tmp_path, run)["train"], torch.device("cpu"), 1)
    found = []
    for epoch in (0, 1, 0):
        with split.announced([], epoch):
            found.append(split.gather(np.arange(8)).images)
    assert torch.equal(found[0], found[2])
    assert not torch.equal(found[0], found[1])


def shared(rank: int, folder: str) -> Any:
    context = WorkerContext(rank=rank, world_size=2, checkpoints=Folder(folder))
    return train(patches_run(epochs=2), data_at(Path(folder) / str(rank), patches_run()), context)


@pytest.mark.slow
def test_two_workers_see_the_patches_that_one_sees(workers: Workers, tmp_path: Path) -> None:
    first, second = workers.run(shared, str(tmp_path))
    alone = train(patches_run(epochs=2), data_at(tmp_path, patches_run()), WorkerContext())
    assert first.history == second.history
    assert first.metrics == second.metrics
    assert first.metrics["test"]["truth"] == alone.metrics["test"]["truth"]
    for entry, expected in zip(first.history, alone.history, strict=True):
        assert entry["train/loss"] == pytest.approx(expected["train/loss"], rel=1e-4)


def blended_by_hand(
    model: nn.Module, cube: npt.NDArray[np.uint8], seen: tuple[int, int, int], margin: int
) -> npt.NDArray[Any]:
    """Probabilities (K, Z, Y, X) of a cube: windows of half an overlap, the last moved inwards, one by one."""
    total, weight = np.zeros((3, *cube.shape)), np.zeros(cube.shape)
    size = (seen[0], seen[1] - 2 * margin, seen[2] - 2 * margin)
    mirrored = np.pad(cube, ((0, 0), (margin, margin), (margin, margin)), mode="reflect")
    own = importance(size).numpy().astype(np.float64)
    axes = []
    for side, window in zip(cube.shape, size, strict=True):
        starts = list(range(0, side - window, max(1, window // 2)))
        axes.append([*starts, side - window])
    for z in axes[0]:
        for y in axes[1]:
            for x in axes[2]:
                place = np.s_[z : z + size[0], y : y + size[1], x : x + size[2]]
                wide = np.s_[z : z + seen[0], y : y + seen[1], x : x + seen[2]]
                image = torch.from_numpy(mirrored[wide].astype(np.float32) / 255)
                with torch.no_grad():
                    shares = model((image if seen[0] > 1 else image[0])[None, None]).softmax(1)[0].double().numpy()
                total[(slice(None), *place)] += own * shares.reshape(3, *size)
                weight[place] += own
    found: npt.NDArray[Any] = total / weight
    return found


@pytest.mark.parametrize(
    ("task", "margin"),
    [
        ({}, 0),
        ({"volume_z": 2}, 0),
        ({"volume_z": 2, "ignore_labels": [2]}, 0),
        ({"max_slices": 2}, 0),
        # Without padding: 8 pixels on each side are seen and not predicted.
        ({"tile_size": [28, 28]}, 8),
    ],
)
def test_an_evaluation_equals_a_slow_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: dict[str, Any], margin: int
) -> None:
    # Several blocks in a cube.
    monkeypatch.setattr(engine_cubes, "BLOCK_BYTES", 2**14)
    network: dict[str, Any] = {"dim": 3} if "volume_z" in task else {}
    run = patches_run(task, **network, **({"conv_mode": "valid"} if margin else {}))
    data = data_at(tmp_path, run)["test"]
    assert isinstance(data, CubeArrays)
    context = WorkerContext()
    setup = set_up(run, {"train": data, "test": data}, context)
    setup.model.eval()
    measured = evaluation.measured(setup.task, setup.model, setup.splits["test"], context)
    found, scores = measured.metrics, evaluation.image_scores(setup.task, "test", data, measured)
    assert scores is not None
    confusions, losses = [], []
    shares = [blended_by_hand(setup.model, values[0], data.size, margin) for values in data.values]
    seen = [np.zeros(each.shape, int) for each in data.classes]
    for number, cell in data.cells:
        seen[number][cell.slices] += 1
        own = shares[number][(slice(None), *cell.slices)]
        truth = data.classes[number][cell.slices]
        counts = truth != IGNORED
        pairs = truth[counts] * 3 + own.argmax(0)[counts]
        confusions.append(np.bincount(pairs, minlength=9).reshape(3, 3))
        right = np.take_along_axis(own, np.where(counts, truth, 0)[None].astype(int), 0)[0]
        losses.append(-np.log(right[counts]).mean())
    if task.keys() <= {"volume_z", "tile_size"}:
        assert all((each == 1).all() for each in seen)
    expected: Metrics = SegmentationMetric(run.task).of(np.stack(confusions))
    for key in ("confusion", "truth", "image/iou", "dataset/f1_mean"):
        np.testing.assert_allclose(np.array(found[key], float), np.array(expected[key], float))
    assert found["loss"] == pytest.approx(np.mean(losses), rel=1e-4)
    # Blocks are predicted in another order than that of the images.
    kept = [each for each in confusions if each.any()]
    np.testing.assert_array_equal(scores.rows["segmentation"], np.stack(kept))
    regions: Any = found["regions"]
    assert sum(regions[name]["images"] for name in "AB") == len(data.cells)


@pytest.mark.slow
def test_a_split_is_scored_from_what_a_whole_volume_prediction_writes(tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path)
    task = json.loads(tiny.task.read_text())
    task["sampling"] = {"kind": "patches", "patches_per_epoch": 32}
    for cube in task["cubes"]:
        cube["y"] = [4, 25]
    tiny.task.write_text(json.dumps(task))
    out = tmp_path / "out"
    record = mtneuro_ray.train(str(tiny.task), str(tiny.network), out=out)
    assert record.status == "done"
    labels, confusion = np.load(tiny.labels), np.zeros((3, 3), int)
    for x in ([0, 32], [40, 72]):
        to = f"zarr://{tmp_path}/box{x[0]}"
        box = f"19:24,4:25,{x[0]}:{x[1]}"
        volume = ["--volume", f"file:{tiny.image}", "--box", box, "--to", to, "--workers", "0"]
        assert main(["predict", "--out", str(out), "--run", record.run_id, *volume]) == 0
        source = open_volume(to)
        found = source.read(source.domain)
        truth = labels[19:24, 4:25, x[0] : x[1]]
        confusion += np.bincount((truth * 3 + found).ravel(), minlength=9).reshape(3, 3)
    assert record.metrics["test"]["confusion"] == confusion.tolist()
    # The predictions of the task's own cubes are the same, and measured again.
    store = mtneuro_ray.load_task(str(tiny.task), store=out / "store").store
    [again] = RunFolder(Folder(out)).all()
    written = predict_run(again, Folder(out), store)
    assert written.verdict == "equal to the test metrics in the run's file"
    assert written.metrics["confusion"] == confusion.tolist()
    assert main(["evaluate", "--out", str(out), "--run", record.run_id, "--split", "val"]) == 0
    assert main(["figures", "--out", str(out)]) == 0


def stored_at(folder: Path, run: RunSettings, budget: int = 300_000) -> dict[Split, SplitData]:
    """The splits of `data_at`, left in the store."""
    store, found = filled_store(folder / "store"), dict[Split, SplitData]()
    for split in data_at(folder, run):
        parts = [describe(store, IDENTITIES, run.task, split, *part) for part in parts_of(run.task, split, 3)]
        found[split] = joined(store, IDENTITIES, run.task, split, budget, parts)
        assert isinstance(found[split], StoredCubes)
    return found


@pytest.mark.parametrize(
    ("task", "network"),
    [
        ({"max_slices": 2}, {"augmentations": True, "class_weights": "balanced", "data": {"normalization": "zscore"}}),
        ({"volume_z": 2, "ignore_labels": [1]}, {"dim": 3, "data": {"normalization": "percentile"}}),
    ],
)
def test_a_streamed_run_has_the_numbers_and_weights_of_a_resident_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: dict[str, Any], network: dict[str, Any]
) -> None:
    run = patches_run(task, epochs=2, **network)
    read, unannounced = StoredPatches.read, list[int]()

    def noted(patches: StoredPatches, indices: Indices) -> Voxels:
        if threading.current_thread() is threading.main_thread():
            unannounced.append(len(indices))
        return read(patches, indices)

    monkeypatch.setattr(StoredPatches, "read", noted)
    outcomes, weights = [], []
    for name, data in (("resident", data_at(tmp_path, run)), ("streamed", stored_at(tmp_path, run))):
        outcomes.append(train(run, data, WorkerContext(checkpoints=Folder(tmp_path / name))))
        weights.append(torch.load(tmp_path / name / MODEL, weights_only=True))
    expected, found = outcomes
    assert (found.metrics, found.history) == (expected.metrics, expected.history)
    assert (found.class_counts, found.normalization) == (expected.class_counts, expected.normalization)
    for key, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][key]), key
    assert unannounced == []


@pytest.mark.slow
def test_a_streamed_run_goes_on_where_it_was_lost(tmp_path: Path) -> None:
    run, folder = patches_run(epochs=2), Folder(tmp_path / "lost")

    def lose(entry: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(run, stored_at(tmp_path, run), WorkerContext(checkpoints=folder, checkpoint_interval_s=0, report=lose))
    found = train(run, stored_at(tmp_path, run), WorkerContext(checkpoints=folder))
    expected = train(run, data_at(tmp_path, run), WorkerContext())
    assert (found.metrics, found.history) == (expected.metrics, expected.history)


@pytest.mark.slow
@pytest.mark.parametrize(
    "sampling", [{"kind": "patches", "patches_per_epoch": 32, "balance": "region"}, {"kind": "tiles"}]
)
def test_a_budget_changes_no_number_of_a_training_on_two_volumes_of_two_channels(
    sampling: dict[str, Any], tmp_path: Path
) -> None:
    tiny = write_tiny(tmp_path, epochs=1, data={"normalization": "percentile"})
    image = np.load(tiny.image).astype(np.int16) * 100 - 7000
    for name, voxels in (("a", image), ("b", -image), ("c", image[:, ::-1]), ("d", -image[:, ::-1])):
        np.save(tmp_path / f"{name}.npy", voxels)
    np.save(tmp_path / "other.npy", np.load(tiny.labels)[:, ::-1])
    task = json.loads(tiny.task.read_text())
    task["image_chan"] = ["file:a.npy", "file:b.npy"]
    task["volumes"] = {"other": {"image_chan": ["file:c.npy", "file:d.npy"], "annotation_chan": "file:other.npy"}}
    for cube in task["cubes"]:
        cube |= {"volume": "other"} if cube["region"] == "right" else {}
    task["sampling"] = sampling
    tiny.task.write_text(json.dumps(task))
    records = [
        mtneuro_ray.train(str(tiny.task), str(tiny.network), out=tmp_path / str(budget), memory_budget=budget)
        for budget in (None, 1000)
    ]
    assert [record.status for record in records] == ["done", "done"]
    assert records[0].metrics == records[1].metrics
    assert records[0].history == records[1].history
