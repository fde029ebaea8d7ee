"""Voxels that are not annotated: no number of a run depends on what lies there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

import mtneuro_ray
from mtneuro_ray.data.class_labels import IGNORED
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.resident import ResidentSplit
from mtneuro_ray.engine.evaluation import evaluate
from mtneuro_ray.engine.loop import set_up, train
from mtneuro_ray.engine.predict import measure, predict
from mtneuro_ray.errors import InputError
from mtneuro_ray.metrics.base import MetricDeclaration, PerImageMetric
from tests.engine.data import Data, data_of, run_of
from tests.tiny import write_tiny

TASK: dict[str, Any] = {"ignore_labels": [9]}
PATCHES = {"kind": "patches", "patches_per_epoch": 16, "balance": "class"}


class RightShare(PerImageMetric):
    name = "right_share"

    def measure(self, prediction: Any, truth: Any, mask: npt.NDArray[np.bool_]) -> Sequence[float]:
        assert ((truth == IGNORED) == ~mask).all()
        return [float((prediction == truth)[mask].mean())]


RIGHT_SHARE = MetricDeclaration(name="right_share", summary="Right voxels", build=RightShare, labels=("voxel",))


def sparse(data: Data, layout: str = "half") -> Data:
    """Half of the voxels of most images do not count, or all but thin lines ("scribbles"); none of images 0 and 3."""
    found: Data = {}
    for number, (split, arrays) in enumerate(data.items()):
        assert arrays.masks is not None
        masks = arrays.masks.copy()
        if layout == "half":
            masks[np.random.default_rng(number).random(masks.shape) < 0.5] = IGNORED
        else:
            masks[~scribbles(masks.shape)] = IGNORED
        masks[[0, min(3, len(masks) - 1)]] = IGNORED
        found[split] = replace(arrays, masks=masks)
    return found


def scribbles(shape: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Two waves one pixel wide in each slice (..., Y, X)."""
    drawn = np.zeros(shape, np.bool_)
    *_, height, width = shape
    columns = np.arange(width)
    for at in (height // 4, 3 * height // 4):
        drawn[..., np.rint(at + height / 8 * np.sin(columns / 3)).astype(int), columns] = True
    return drawn


def other_images(data: Data) -> Data:
    """Other grey values in images without a voxel that counts."""
    found: Data = {}
    for split, arrays in data.items():
        assert arrays.masks is not None
        images = arrays.images.copy()
        images[(arrays.masks == IGNORED).all(axis=(1, 2, 3))] ^= 255
        found[split] = replace(arrays, images=images)
    return found


VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("half", {"loss": "cross_entropy", "class_weights": "balanced", "augmentations": True}),
    ("half", {"loss": "focal+dice", "keep": "best"}),
    ("half", {"conv_mode": "valid"}),
    ("scribbles", {"loss": "cross_entropy+dice", "class_weights": "balanced", "augmentations": True}),
]


@pytest.mark.parametrize(("layout", "network"), VARIANTS, ids=str)
def test_an_image_without_a_voxel_that_counts_changes_no_number(layout: str, network: dict[str, Any]) -> None:
    metrics = ["tests.engine.test_ignored:RIGHT_SHARE"]
    run = run_of("segmentation", task=TASK, evaluation={"metrics": metrics}, **network)
    data = sparse(data_of("segmentation", (8, 5, 4), side=32), layout)
    outcome = train(run, data, WorkerContext())
    again = train(run, other_images(data), WorkerContext())
    np.testing.assert_equal(again.metrics, outcome.metrics)
    np.testing.assert_equal(again.history, outcome.history)
    assert again.class_counts == outcome.class_counts
    assert np.isfinite(outcome.history[-1]["train/loss"])
    masks: Any = data["test"].masks
    if "conv_mode" not in network:
        counted = np.bincount(masks[masks != IGNORED], minlength=3)
        assert outcome.metrics["test"]["truth"] == counted.tolist()
    # Fewer images: those that count.
    setup = set_up(run, data, WorkerContext())
    counts = setup.task.counted(setup.model, setup.split)
    assert counts is not None
    assert counts.tolist() == [1, 2, 4, 5, 6, 7]


@pytest.mark.parametrize(
    "keys", [{"ignore_labels": [0, "8-2000"]}, {"unlisted_labels": "ignore"}, {"sampling": PATCHES}], ids=str
)
def test_a_run_on_scribbles_depends_on_no_other_label(tmp_path: Path, keys: dict[str, Any]) -> None:
    records = []
    for number in range(2):
        tiny = write_tiny(tmp_path / str(number), epochs=1, loss="cross_entropy+dice", class_weights="balanced")
        labels, image = (np.load(path).astype(np.uint16) for path in (tiny.labels, tiny.image))
        drawn = scribbles(labels.shape)
        # Slices without a line; background is a label of its own, and 0 stands for "not looked at".
        drawn[1::4] = False
        named = np.where(labels == 0, 7, labels)
        left = np.random.default_rng(number).choice([0, 9 + 900 * number], labels.shape)
        np.save(tiny.labels, np.where(drawn, named, left).astype(np.uint16))
        image[1::4] ^= 255 * number
        np.save(tiny.image, image.astype(np.uint8))
        task = json.loads(tiny.task.read_text())
        unlisted = "refuse" if "ignore_labels" in keys else "ignore"
        own = {"annotation_map": {"7": 0, "1": 1, "2": 2}, "unlisted_labels": unlisted, **keys}
        tiny.task.write_text(json.dumps({**task, **own}))
        records.append(mtneuro_ray.train(str(tiny.task), str(tiny.network), out=tmp_path / str(number) / "out"))
        assert records[-1].status == "done"
    first, second = records
    assert first.run_id != second.run_id
    np.testing.assert_equal(second.metrics, first.metrics)
    np.testing.assert_equal(second.history, first.history)
    # Lines alone count, on slices of the test split that have some.
    drawn = scribbles((40, 80))[4:36]
    lines = sum(z % 4 != 1 for z in range(19, 24)) * (drawn[:, :32].sum() + drawn[:, 40:72].sum())
    assert sum(first.metrics["test"]["truth"]) == lines


def test_scores_are_those_of_the_voxels_that_count_by_themselves() -> None:
    run, data = run_of("segmentation", task=TASK), sparse(data_of("segmentation"))
    context = WorkerContext()
    setup = set_up(run, data, context)
    found: Any = evaluate(setup.task, setup.model, setup.splits["val"], context)
    arrays = data["val"]
    assert arrays.masks is not None
    predicted = predict(run, setup.model.eval(), arrays, context)
    counted = arrays.masks != IGNORED
    expected = np.zeros((3, 3), np.int64)
    np.add.at(expected, (arrays.masks[counted], predicted[counted]), 1)
    assert found["confusion"] == expected.tolist()
    with torch.no_grad():
        logits = setup.model(setup.task.inputs(torch.from_numpy(arrays.images)))
    losses = [
        torch.nn.functional.cross_entropy(own.movedim(0, -1)[keep], torch.from_numpy(true).long()[keep]).item()
        for own, true, keep in zip(logits, arrays.masks[:, 0], torch.from_numpy(counted[:, 0]), strict=True)
        if keep.any()
    ]
    assert len(losses) == 3
    assert found["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    # Read back from disk, image by image.
    again = measure(run, arrays.masks, predicted)
    np.testing.assert_equal(again, {key: value for key, value in found.items() if key not in ("loss", "regions")})


def test_parts_of_a_split_merge_to_the_metrics_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    run, data = run_of("segmentation", task=TASK), sparse(data_of("segmentation", (4, 9, 4)))
    setup = set_up(run, data, WorkerContext())
    split = ResidentSplit(data["val"], torch.device("cpu"))
    whole = evaluate(setup.task, setup.model, split, WorkerContext())
    shares: list[Any] = []

    def kept(self: WorkerContext, value: Any) -> list[Any]:
        shares.append(value)
        return [value]

    for rank in range(3):
        with monkeypatch.context() as patch:
            patch.setattr(WorkerContext, "gather", kept)
            evaluate(setup.task, setup.model, split, WorkerContext(rank=rank, world_size=3))
    monkeypatch.setattr(WorkerContext, "gather", lambda self, value: shares)
    merged = evaluate(setup.task, setup.model, split, WorkerContext())
    np.testing.assert_equal(merged, whole)


def test_where_nothing_is_ignored_the_numbers_are_those_of_a_task_without_the_keys() -> None:
    data = data_of("segmentation")
    without, with_ = (
        train(run_of("segmentation", task=task, loss="cross_entropy+dice"), data, WorkerContext())
        for task in ({}, TASK)
    )
    assert with_.metrics["test"]["confusion"] == without.metrics["test"]["confusion"]
    for entry, expected in zip(with_.history, without.history, strict=True):
        assert entry == pytest.approx(expected, rel=1e-5)


def test_a_split_whose_annotation_lies_beyond_the_prediction_is_one_line() -> None:
    data = data_of("segmentation", side=32)
    masks: Any = data["train"].masks
    masks[..., 8:-8, 8:-8] = IGNORED
    run = run_of("segmentation", task=TASK, conv_mode="valid")
    with pytest.raises(InputError, match="small: ignore_labels: no voxel is left in the middle 16 x 16 pixels of"):
        train(run, data, WorkerContext())
