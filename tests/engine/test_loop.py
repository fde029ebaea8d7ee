from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data import resident
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.engine.fit import Fit
from mtneuro_ray.engine.loop import Outcome, train
from mtneuro_ray.errors import InputError, TrainingError
from mtneuro_ray.methods.training.base import learning_rate
from mtneuro_ray.methods.training.supervised import Supervised
from mtneuro_ray.metrics.base import Metrics
from mtneuro_ray.models import MODELS
from mtneuro_ray.models.build import build_model
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import LAST, MODEL
from mtneuro_ray.tasks.training.segmentation import SegmentationTask
from tests.engine.data import Data, data_of, run_of, small_encoder_classifier

KINDS = ["segmentation", "classification"]
VARIANTS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("segmentation", {}, {}),
    ("segmentation", {"augmentations": True, "optimizer": "SGD", "opt_momentum": 0.9}, {}),
    ("segmentation", {"dim": 3}, {"depth": 2}),
    ("classification", {"augmentations": True, "lr_schedule": "cosine", "warmup_epochs": 1}, {}),
    ("classification", {"keep": "best", "eval_crops": "corners", "latent_dim": 8}, {}),
    ("classification", {"keep": "average", "average_decay": 0.8, "learning_rate": 0.01}, {}),
    ("classification", {"train_crops": "random", "eval_crops": "pooled", "augmentations": True}, {}),
]
over_variants = pytest.mark.parametrize(("kind", "network", "shape"), VARIANTS)


class LostError(Exception):
    """The process is lost."""


def run_with(kind: str, network: dict[str, Any], shape: dict[str, Any]) -> RunSettings:
    return run_of(kind, task={"volume_z": shape["depth"]} if shape else None, **network)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    loaded: dict[str, torch.Tensor] = torch.load(folder / MODEL, weights_only=True)
    return loaded


def same(a: Outcome, b: Outcome) -> bool:
    return a.metrics == b.metrics and a.history == b.history


@over_variants
def test_the_same_run_twice_is_the_same_bit_for_bit(
    tmp_path: Path, kind: str, network: dict[str, Any], shape: dict[str, Any]
) -> None:
    run, data = run_with(kind, network, shape), data_of(kind, **shape)
    outcomes = []
    for name in ("a", "b"):
        torch.rand(5)
        outcomes.append(train(run, data, WorkerContext(checkpoints=Folder(tmp_path / name))))
    assert same(*outcomes)
    first, second = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_another_seed_is_another_run() -> None:
    data = data_of("segmentation")
    losses = {
        train(run_of("segmentation", seed=seed), data, WorkerContext()).history[0]["train/loss"] for seed in (0, 1)
    }
    assert len(losses) == 2


@over_variants
def test_an_interrupted_run_that_is_resumed_equals_one_that_never_stopped(
    tmp_path: Path, kind: str, network: dict[str, Any], shape: dict[str, Any]
) -> None:
    run, data = run_with(kind, network, shape), data_of(kind, **shape)
    whole = train(run, data, WorkerContext(checkpoints=Folder(tmp_path / "whole")))

    def stop(entry: Mapping[str, Any]) -> None:
        if entry["epoch"] == 1:
            raise LostError

    folder = Folder(tmp_path / "parts")
    with pytest.raises(LostError):
        train(run, data, WorkerContext(checkpoints=folder, checkpoint_interval_s=0, report=stop))
    told: list[int] = []
    context = WorkerContext(checkpoints=folder, report=lambda entry: told.append(entry["epoch"]))
    resumed = train(run, data, context)
    assert told == [2, 3]
    assert same(resumed, whole)
    first, second = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("keep", ["last", "best", "average"])
def test_a_run_that_is_lost_after_its_last_epoch_is_only_evaluated(tmp_path: Path, keep: str) -> None:
    run, data = run_of("segmentation", keep=keep), data_of("segmentation")
    context = WorkerContext(checkpoints=Folder(tmp_path), checkpoint_interval_s=0)
    whole = train(run, data, context)
    told: list[Any] = []
    again = train(run, data, replace(context, report=told.append))
    assert told == []
    assert same(again, whole)
    assert "train_images_per_s" not in again.timings


@pytest.mark.parametrize("keep", ["last", "best", "average"])
def test_what_is_kept_was_measured_once_and_measures_the_same_from_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: str
) -> None:
    looks: list[Fit] = []
    validate = Fit.validate

    def counted(fit: Fit) -> Metrics | None:
        looks.append(fit)
        return validate(fit)

    monkeypatch.setattr(Fit, "validate", counted)
    run, data = run_of("classification", "candidate", keep=keep, learning_rate=0.3, epochs=8), data_of("classification")
    context = WorkerContext(checkpoints=Folder(tmp_path), checkpoint_interval_s=0)
    whole = train(run, data, context)
    assert len(looks) == 8
    # Nothing is left to train, and a candidate leaves no result of its own: the weights in the checkpoint are looked
    # at.
    assert same(train(run, data, context), whole)
    assert len(looks) == 9


def test_a_checkpoint_is_due_after_its_interval(tmp_path: Path) -> None:
    run, data = run_of("segmentation"), data_of("segmentation")
    late, soon = Folder(tmp_path / "late"), Folder(tmp_path / "soon")
    train(run, data, WorkerContext(checkpoints=late, checkpoint_interval_s=1e9))
    assert not late.exists(LAST)
    train(run, data, WorkerContext(checkpoints=soon, checkpoint_interval_s=0))
    assert soon.exists(LAST)


def test_the_history_has_a_loss_and_validation_numbers_for_each_epoch() -> None:
    outcome = train(run_of("classification", epochs=2), data_of("classification"), WorkerContext())
    assert [entry["epoch"] for entry in outcome.history] == [1, 2]
    assert all({"train/loss", "val/loss", "val/accuracy"} <= entry.keys() for entry in outcome.history)
    assert outcome.history[-1]["val/accuracy"] == outcome.metrics["val"]["accuracy"]
    assert all(isinstance(value, float) for entry in outcome.history for key, value in entry.items() if key != "epoch")


@pytest.mark.parametrize(("kind", "epochs"), [("segmentation", 20), ("classification", 60)])
def test_training_learns(kind: str, epochs: int) -> None:
    data = data_of(kind, (12, 5, 3))
    outcome = train(run_of(kind, epochs=epochs, dropout=0.0, learning_rate=0.003), data, WorkerContext())
    losses = [entry["train/loss"] for entry in outcome.history]
    assert losses[-1] < 0.6 * losses[0]


def test_a_cell_never_touches_the_test_split() -> None:
    data = data_of("segmentation")
    whole = train(run_of("segmentation", "candidate"), data, WorkerContext())
    del data["test"]
    outcome = train(run_of("segmentation", "candidate"), data, WorkerContext())
    assert set(outcome.metrics) == {"val"}
    assert same(outcome, whole)
    with pytest.raises(KeyError, match="test"):
        train(run_of("segmentation", "final"), data, WorkerContext())


def test_a_cell_and_a_final_run_of_one_seed_learn_the_same() -> None:
    data = data_of("segmentation")
    candidate, final = (train(run_of("segmentation", role), data, WorkerContext()) for role in ("candidate", "final"))
    assert candidate.history == final.history
    assert candidate.metrics["val"] == final.metrics["val"]


def test_a_cell_leaves_no_weights(tmp_path: Path) -> None:
    train(run_of("segmentation", "candidate"), data_of("segmentation"), WorkerContext(checkpoints=Folder(tmp_path)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_best_epoch_is_the_one_that_is_evaluated(kind: str) -> None:
    name = {"segmentation": "dataset/iou_mean", "classification": "accuracy"}[kind]
    # Rates that are far too high: validation goes up and down. With some it stays where it is, on some processors.
    for rate in (0.3, 0.1, 0.2, 0.05):
        run = run_of(kind, keep="best", epochs=8, learning_rate=rate)
        outcome = train(run, data_of(kind, (9, 12, 3)), WorkerContext())
        values = [entry[f"val/{name}"] for entry in outcome.history]
        if values[-1] < max(values):
            break
    best = outcome.history[values.index(max(values))]
    assert values[-1] < max(values)
    assert outcome.metrics["val"][name] == max(values)
    assert outcome.metrics["val"]["loss"] == best["val/loss"]


def test_the_average_of_all_steps_is_what_is_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, data, decay = run_of("classification", keep="average", average_decay=0.7), data_of("classification"), 0.7
    averages: dict[str, torch.Tensor] = {}
    step = Supervised.step
    steps: list[Any] = []

    def averaged(method: Supervised, *arguments: Any) -> dict[str, torch.Tensor]:
        sums = step(method, *arguments)
        kept = min(decay, (1 + len(steps)) / (10 + len(steps)))
        steps.append(sums)
        for name, tensor in method.module.state_dict().items():
            averages[name] = kept * averages[name] + (1 - kept) * tensor if name in averages else tensor.clone()
        return sums

    monkeypatch.setattr(Supervised, "step", averaged)
    outcome = train(run, data, WorkerContext(checkpoints=Folder(tmp_path)))
    for name, tensor in weights(tmp_path).items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, averages[name])
    last = train(run_of("classification"), data, WorkerContext())
    assert last.history[-1]["train/loss"] == outcome.history[-1]["train/loss"]
    assert last.metrics["val"]["loss"] != outcome.metrics["val"]["loss"] == outcome.history[-1]["val/loss"]


def test_every_image_counts_once_in_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resident, "_IMAGES", 4)
    data = data_of("segmentation", (3, 9, 5))
    outcome = train(run_of("segmentation", epochs=1), data, WorkerContext())
    evaluated: tuple[Split, ...] = ("val", "test")
    for split in evaluated:
        confusion = np.array(outcome.metrics[split]["confusion"])
        truth = np.ravel(data[split].masks)  # type: ignore[arg-type]
        np.testing.assert_array_equal(confusion.sum(axis=1), np.bincount(truth, minlength=3))


@pytest.mark.parametrize(("limit", "value"), [("_IMAGES", 2), ("_VOXELS", 700), ("_VOXELS", 1)])
@pytest.mark.parametrize("kind", KINDS)
def test_the_size_of_evaluation_batches_does_not_matter(
    kind: str, limit: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, run = data_of(kind, (6, 9, 5)), run_of(kind, epochs=1)
    whole = train(run, data, WorkerContext()).metrics
    monkeypatch.setattr(resident, limit, value)
    parts = train(run, data, WorkerContext()).metrics
    for split in whole:
        assert parts[split]["confusion"] == whole[split]["confusion"]
        assert parts[split]["loss"] == pytest.approx(whole[split]["loss"], rel=1e-5)


def test_regions_are_measured_by_themselves_and_add_up() -> None:
    data = data_of("segmentation")
    outcome = train(run_of("segmentation", epochs=1), data, WorkerContext())
    for split, images in (("val", {"A": 3, "B": 2}), ("test", {"A": 2, "B": 1})):
        metrics: Any = outcome.metrics[split]
        regions = metrics["regions"]
        assert {name: own["images"] for name, own in regions.items()} == images
        total = np.sum([own["confusion"] for own in regions.values()], axis=0)
        assert total.tolist() == metrics["confusion"]
        weighted = sum(own["images"] * np.array(own["image/iou"]) for own in regions.values()) / sum(images.values())
        np.testing.assert_allclose(weighted, metrics["image/iou"])
    counts = {split: np.sum(list(regions.values()), axis=0) for split, regions in outcome.class_counts.items()}
    assert {split: total.tolist() for split, total in counts.items()} == {
        split: np.bincount(np.ravel(arrays.masks), minlength=3).tolist()  # type: ignore[arg-type]
        for split, arrays in data.items()
    }


def test_the_classes_of_images_are_not_split_by_region() -> None:
    outcome = train(run_of("classification", epochs=1), data_of("classification"), WorkerContext())
    assert "regions" not in outcome.metrics["test"]
    assert outcome.class_counts == {}


def test_weights_of_classes_come_from_the_training_split() -> None:
    data = data_of("segmentation")
    masks = np.array(data["train"].masks)
    masks[:5][masks[:5] == 1] = 0
    data["train"] = replace(data["train"], masks=masks)
    losses = {}
    for kind in ("none", "balanced", "median_frequency"):
        outcome = train(run_of("segmentation", epochs=1, class_weights=kind), data, WorkerContext())
        losses[kind] = outcome.history[0]["train/loss"]
    assert len(set(losses.values())) == 3


def test_torch_s_own_random_numbers_depend_on_seed_and_step_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[float] = []
    losses = SegmentationTask.losses

    def noted(self: SegmentationTask, *arguments: Any) -> Any:
        drawn.append(float(torch.rand(())))
        return losses(self, *arguments)

    monkeypatch.setattr(SegmentationTask, "losses", noted)
    run = run_of("segmentation", epochs=2)
    for _ in range(2):
        torch.rand(7)
        train(run, data_of("segmentation"), WorkerContext())
    assert drawn[:6] == drawn[6:]
    assert len(set(drawn)) == 6


def test_a_loss_that_is_no_number_is_a_training_error() -> None:
    run = run_of("segmentation", optimizer="SGD", learning_rate=1e11, normalization="none")
    with pytest.raises(TrainingError, match=r"^diverged: the loss is (nan|inf) in epoch \d at learning rate 1e\+11$"):
        train(run, data_of("segmentation"), WorkerContext())


def test_a_class_that_a_split_lacks_is_noted() -> None:
    data = data_of("segmentation")
    masks = np.array(data["val"].masks)
    data["val"] = replace(data["val"], masks=np.where(masks == 2, 1, masks).astype(np.uint8))
    outcome = train(run_of("segmentation", epochs=1), data, WorkerContext())
    assert "val: has no cells" in outcome.notes
    assert not any(note.startswith("test: has no") for note in outcome.notes)


def test_memory_that_is_exhausted_is_a_training_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*arguments: object) -> dict[str, torch.Tensor]:
        raise torch.OutOfMemoryError("no more")

    monkeypatch.setattr(Supervised, "step", exhausted)
    with pytest.raises(TrainingError, match="out of memory at batch size 3: no more"):
        train(run_of("segmentation"), data_of("segmentation"), WorkerContext())


def test_the_learning_rate_of_each_step_is_the_schedule_s(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    step = torch.optim.Adam.step

    def noted(self: torch.optim.Adam, *arguments: Any) -> Any:
        seen.append(self.param_groups[0]["lr"])
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.Adam, "step", noted)
    run = run_of("segmentation", epochs=2, lr_schedule="cosine", warmup_epochs=1)
    train(run, data_of("segmentation"), WorkerContext())
    assert seen == [learning_rate(run.network.optimizer, step, 3) for step in range(6)]


@pytest.mark.parametrize("augmentations", [False, True])
def test_training_data_are_not_changed(augmentations: bool) -> None:
    data: Data = data_of("segmentation")
    before = {split: (a.images.copy(), np.copy(a.masks)) for split, a in data.items() if a.masks is not None}
    train(run_of("segmentation", augmentations=augmentations), data, WorkerContext())
    for split, (images, masks) in before.items():
        np.testing.assert_array_equal(data[split].images, images)
        np.testing.assert_array_equal(data[split].masks, masks)


def test_a_readout_trains_nothing() -> None:
    readout = run_of("segmentation", task={"kind": "readout"})
    with pytest.raises(InputError, match="'readout' can't be trained; accepted: a task that is"):
        train(readout, data_of("segmentation"), WorkerContext())


def test_corners_are_four_samples_of_an_image_unless_they_are_pooled() -> None:
    outcomes = [
        train(run_of("classification", eval_crops=crops, epochs=1), data_of("classification"), WorkerContext())
        for crops in ("whole", "corners", "pooled", "dense")
    ]
    counts = [np.sum(np.array(outcome.metrics["test"]["confusion"])) for outcome in outcomes]
    assert counts == [3, 12, 3, 3]


def test_a_random_encoder_stays_as_it_is_and_a_linear_probe_learns(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small = replace(MODELS.find("ResNet-18"), build=small_encoder_classifier)
    monkeypatch.setitem(MODELS._found, "ResNet-18", small)
    run, data = run_of("classification", method="random", dropout=0.2, epochs=40), data_of("classification")
    outcome = train(run, data, WorkerContext(checkpoints=Folder(tmp_path)))
    torch.manual_seed(run.network.seed)
    initial, trained = build_model(run.network).state_dict(), weights(tmp_path)
    for name, tensor in initial.items():
        assert torch.equal(tensor, trained[name]) == (not name.startswith("head.")), name
    assert outcome.history[-1]["train/loss"] < outcome.history[0]["train/loss"]


def test_a_training_that_is_too_short_for_its_method_is_warned_of_and_noted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small = replace(MODELS.find("ResNet-18"), build=small_encoder_classifier)
    monkeypatch.setitem(MODELS._found, "ResNet-18", small)
    byol = {"name": "byol", "epochs": 1, "projector_hidden_size": 4, "projector_output_size": 4}
    run, data = run_of("classification", method=byol, dropout=0.2, epochs=1), data_of("classification")
    context = WorkerContext(checkpoints=Folder(tmp_path))
    expected = "net_3class: byol: 3 steps are too few to learn from views; accepted: 50 or more"
    outcome = train(run, data, context)
    assert expected in outcome.notes
    assert caplog.messages.count(expected) == 1
    # What is left is the evaluation.
    assert expected in train(run, data, context).notes
