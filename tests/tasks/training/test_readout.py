from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data import embeddings
from mtneuro_ray.data.attributes import ATTRIBUTES
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.data.sampling import samples
from mtneuro_ray.errors import InputError, TrainingError
from mtneuro_ray.metrics.regression import NAME, regression_measures
from mtneuro_ray.models.nets.resnet import EncoderClassifier
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.image_scores import read_image_scores
from mtneuro_ray.tasks.training.base import Reading
from mtneuro_ray.tasks.training.readout import read_out, regress
from tests.engine.threads import together
from tests.settings import cube, network_settings, task_settings

KEYS = [f"r2/{name}" for name in ATTRIBUTES]
SIDE = 16
TASK = task_settings(
    "readout",
    classes=["bg", "vessels", "cells", "axons"],
    cubes=[cube(z=(0, 40)), cube("B", z=(0, 5), x=[16, 32]), cube(split="test", z=(40, 53))],
)
Floats = npt.NDArray[np.float64]


class Quarters(nn.Module):
    """Mean grey of the quarters of an image: (B, 1, Y, X) -> (B, 4)."""

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)


def encoder(*layers: nn.Module, features: int = 4) -> EncoderClassifier:
    return EncoderClassifier(nn.Sequential(*layers), features, classes=2, dropout=0.5, latent_dim=None)


def run_of(**network: Any) -> RunSettings:
    settings = network_settings(model="ResNet-18", classes=2, **network)
    source = RunSettings.of(task_settings("classification", classes=["A", "B"]), settings, "final", ["image"])
    return RunSettings.of(TASK, settings, "final", ["image", "labels"], source)


def probe(run: RunSettings, model: nn.Module, data: dict[Split, SplitArrays], context: WorkerContext) -> Reading:
    return read_out(run, model, data, context)


def quarters(images: npt.NDArray[np.uint8]) -> Floats:
    """Mean grey, 0 to 1, of the quarters of the corners: (N, 4, 4)."""
    quarter = SIDE // 4
    means: Floats = (images[:, 0, 0] / 255).reshape(len(images), 2, 2, quarter, 2, 2, quarter).mean(axis=(3, 6))
    return means.transpose(0, 1, 3, 2, 4).reshape(len(images), 4, 4)


def data_of(noise: float = 0.0) -> dict[Split, SplitArrays]:
    """Noise, whose attributes are sums of the quarters' grey, and noise of their own."""
    random = np.random.default_rng(5)
    weights = random.normal(size=(4, len(ATTRIBUTES)))
    found: dict[Split, SplitArrays] = {}
    names: tuple[Split, ...] = ("train", "test")
    for split in names:
        count = len(samples(TASK, split))
        images = random.integers(0, 256, (count, 1, 1, SIDE, SIDE), dtype=np.uint8)
        targets = 3 + quarters(images) @ weights
        targets += noise * random.normal(size=targets.shape)
        zeros = np.zeros(count, np.int64)
        found[split] = SplitArrays(images, None, zeros, zeros, ("A", "B"), targets)
    return found


def r2(inputs: Floats, targets: Floats, test_inputs: Floats, test_targets: Floats) -> list[float]:
    """By the normal equations."""
    ones, test_ones = (np.hstack([part, np.ones((len(part), 1))]) for part in (inputs, test_inputs))
    weights = np.linalg.solve(ones.T @ ones, ones.T @ targets)
    left = ((test_targets - test_ones @ weights) ** 2).sum(0)
    own: list[float] = (1 - left / ((test_targets - test_targets.mean(0)) ** 2).sum(0)).tolist()
    return own


def test_what_is_a_linear_function_of_the_features_is_read_out_whole() -> None:
    metrics = probe(run_of(), encoder(Quarters()), data_of(), WorkerContext()).metrics
    for split in ("all", "test"):
        assert list(metrics[split]) == [*KEYS, "r2_mean"]
        assert list(metrics[split].values()) == pytest.approx([1.0] * 6, abs=1e-6)


@pytest.mark.parametrize("is_cubic", [True, False])
def test_distances_in_micrometers_have_a_score_where_they_are_no_multiple_of_those_in_voxels(is_cubic: bool) -> None:
    data = data_of(noise=0.3)
    plain = probe(run_of(), encoder(Quarters()), data, WorkerContext()).metrics
    random = np.random.default_rng(1)
    for split, arrays in data.items():
        targets = np.asarray(arrays.targets)
        factor = 2.0 if is_cubic else random.uniform(1, 3, targets.shape[:2])
        more = np.stack([8 * targets[..., 3], factor * targets[..., 4]], axis=-1)
        data[split] = replace(arrays, targets=np.concatenate([targets, more], axis=-1))
    metrics = probe(run_of(), encoder(Quarters()), data, WorkerContext()).metrics
    for scored in ("all", "test"):
        own = metrics[scored].pop("r2/cell_distance_um", None)
        assert (own is None) == is_cubic
        assert metrics[scored] == plain[scored]
    if not is_cubic:
        inputs = np.concatenate([quarters(arrays.images).reshape(-1, 4) for arrays in data.values()])
        every = np.concatenate([np.asarray(arrays.targets).reshape(-1, 7)[:, 6:] for arrays in data.values()])
        again = probe(run_of(), encoder(Quarters()), data, WorkerContext()).metrics["all"]["r2/cell_distance_um"]
        assert again == pytest.approx(r2(inputs, every, inputs, every)[0], abs=1e-5)


def test_truth_and_prediction_of_each_corner_are_kept_with_their_place_and_give_the_scores(tmp_path: Path) -> None:
    reading = probe(run_of(), encoder(Quarters()), data_of(noise=0.3), WorkerContext())
    reading.write(Folder(tmp_path))
    scores = read_image_scores(Folder(tmp_path), run_of().run_id)
    assert scores is not None
    assert len(scores) == 4 * (40 + 5 + 13) + 4 * 13
    for split in ("all", "test"):
        rows = scores.rows[NAME][scores.splits == split]
        for name, measure in regression_measures(rows, ATTRIBUTES, len(ATTRIBUTES)).items():
            assert float(measure.value(measure.sums.sum(0))) == pytest.approx(reading.metrics[split][name])
    test = scores.splits == "test"
    assert set(scores.cubes[test].tolist()) == {2}
    assert scores.origins[test][:5].tolist() == [[40, 0, 0], [40, 0, 8], [40, 8, 0], [40, 8, 8], [41, 0, 0]]


def test_all_is_fitted_and_scored_on_both_splits_and_test_on_what_was_held_out() -> None:
    data = data_of(noise=0.3)
    metrics = probe(run_of(), encoder(Quarters()), data, WorkerContext()).metrics
    inputs = {split: quarters(arrays.images).reshape(-1, 4) for split, arrays in data.items()}
    targets = {split: np.asarray(arrays.targets).reshape(-1, 5) for split, arrays in data.items()}
    both = [np.concatenate([part["train"], part["test"]]) for part in (inputs, targets)]
    of_all = r2(both[0], both[1], both[0], both[1])
    of_test = r2(inputs["train"], targets["train"], inputs["test"], targets["test"])
    assert max(of_all) < 0.9
    assert min(np.abs(np.subtract(of_all, of_test))) > 1e-4
    for split, expected in (("all", of_all), ("test", of_test)):
        assert [metrics[split][key] for key in KEYS] == pytest.approx(expected, abs=1e-5)
        assert metrics[split]["r2_mean"] == pytest.approx(np.mean(expected), abs=1e-5)


@pytest.mark.parametrize("norm", ["unit", "image"])
@pytest.mark.parametrize("latent", [None, 3])
def test_embeddings_are_the_features_of_each_corner_scaled_by_itself(
    tmp_path: Path, norm: str, latent: int | None
) -> None:
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = EncoderClassifier(nn.Sequential(*layers), 5, classes=2, dropout=0.5, latent_dim=latent)
    data = data_of()
    run = run_of(input_norm=norm)
    probe(run, model.train(), data, WorkerContext()).write(Folder(tmp_path))
    found = embeddings.read(Folder(tmp_path), run.run_id)
    assert found.vectors.dtype == np.float32
    assert found.vectors.shape == (4 * (45 + 13), latent or 5)
    model.eval()
    for row in (0, 5, 102, 203, 231):
        image = np.concatenate([data["train"].images, data["test"].images])[row // 4, 0, 0]
        y, x = divmod(row % 4, 2)
        corner = torch.from_numpy(image[8 * y : 8 * y + 8, 8 * x : 8 * x + 8] / 255).float()
        if norm == "image":
            corner = (corner - corner.mean()) / corner.std(correction=0)
        expected = model.features(corner[None, None]).detach().numpy()
        np.testing.assert_allclose(found.vectors[row], expected[0], rtol=1e-4, atol=1e-5)
        y0, x0 = 8 * y, 8 * x + (16 if found.regions[row] == "B" else 0)
        assert tuple(found.origins[row][1:]) == (y0, x0)


def test_the_weights_stay_as_they_are() -> None:
    model = encoder(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    probe(run_of(), model, data_of(), WorkerContext())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_workers_that_share_the_images_find_what_one_finds() -> None:
    run, data = run_of(), data_of(noise=0.3)
    alone = probe(run, encoder(Quarters()), data, WorkerContext())
    for outcome in together(lambda context: probe(run, encoder(Quarters()), data, context)):
        assert outcome.metrics == alone.metrics


def test_an_attribute_without_spread_has_no_score_and_then_there_is_no_mean() -> None:
    random = np.random.default_rng(0)
    inputs, targets = random.normal(size=(30, 3)), random.normal(size=(30, 5))
    scores, _ = regress(inputs, targets, inputs, targets)
    assert list(scores) == [*KEYS, "r2_mean"]
    flat = targets.copy()
    flat[:, 2] = 64
    assert regress(inputs, flat, inputs, flat)[0] == {key: scores[key] for key in KEYS if key != "r2/cell_count"}
    # One that has no spread in training alone has a score: that of its mean.
    assert regress(inputs, flat, inputs, targets)[0]["r2/cell_count"] <= 0  # type: ignore[operator]


@pytest.mark.parametrize("case", ["more features than corners", "copies", "nothing", "scales"])
def test_features_that_determine_no_single_fit_are_read_out_all_the_same(case: str) -> None:
    random = np.random.default_rng(1)
    inputs, targets = random.normal(size=(40, 6)), random.normal(size=(40, 5))
    plain = [r2(inputs, targets, inputs, targets), [1.0] * 5, [0.0] * 5]
    changed, expected = {
        "more features than corners": (random.normal(size=(40, 90)), plain[1]),
        "copies": (np.hstack([inputs, inputs, inputs[:, :1] + inputs[:, 1:2]]), plain[0]),
        "nothing": (np.zeros((40, 512)), plain[2]),
        "scales": (np.hstack([inputs * 10.0 ** np.arange(-2, 4), np.full((40, 1), 5.0)]), plain[0]),
    }[case]
    scores, _ = regress(changed, targets, changed, targets)
    assert [scores[key] for key in KEYS] == pytest.approx(expected, abs=1e-6)


def test_features_that_are_no_numbers_end_the_run() -> None:
    model = encoder(Quarters(), nn.Linear(4, 4))
    torch.nn.init.constant_(next(model.encoder.parameters()), float("nan"))
    with pytest.raises(TrainingError, match="the features of net_3class on small are not all numbers"):
        probe(run_of(), model, data_of(), WorkerContext())


def test_what_has_no_features_is_refused() -> None:
    with pytest.raises(InputError, match="net_3class has no features to read out; accepted: an encoder of Task 1"):
        probe(run_of(), nn.Linear(4, 4), data_of(), WorkerContext())
    run = run_of()
    assert run.encoder_run is not None
    with pytest.raises(InputError, match="has no features to read out"):
        probe(run.encoder_run, encoder(Quarters()), data_of(), WorkerContext())
