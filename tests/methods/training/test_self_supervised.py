"""The self-supervised fit against a slow one written out, undisturbed, resumed and shared by two processes."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.resident import ResidentSplit
from mtneuro_ray.engine.fit import Fit, global_batches
from mtneuro_ray.errors import InputError
from mtneuro_ray.methods import METHODS
from mtneuro_ray.methods.training.base import Setup
from mtneuro_ray.methods.training.byol import TargetNetwork
from mtneuro_ray.methods.training.myow import draw_pool
from mtneuro_ray.methods.training.self_supervised import SelfSupervised, feature_std
from mtneuro_ray.methods.training.views import NUMBERS, ViewDraws
from mtneuro_ray.models.nets.resnet import EncoderClassifier
from mtneuro_ray.rng import Purpose, epoch_order, generator
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.tasks.training.classification import ClassificationTask
from tests.engine.data import arrays, run_of
from tests.workers import Workers

OWN = ("byol", "myow", "myowmerged")
IMAGES, FEATURES = 13, 16
SSL: dict[str, Any] = {
    "epochs": 4,
    "lr_warmup_epochs": 1,
    "base_learning_rate": 1.0,
    "base_momentum": 0.9,
    "projector_hidden_size": 24,
    "projector_output_size": 12,
    "projector_2_hidden_size": 20,
    "projector_2_output_size": 10,
    "myow_base_weight": 0.5,
    "byol_warmup_epochs": 1,
    "myow_rampup_epochs": 2,
    "knn_nneighs": 2,
}
TRANSFORMS = ["random_crop", "flip_rotate", "grey"]
# Two workers get 2 and 3 of 5 images; the last 3 of 13 are 1 and 2.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "byol": ("byol", {}),
    "myow": ("myow", {}),
    # Each worker has one image of a batch of two, and one crop of the pool.
    "small_pool": ("myow", {"batch_size": 2, "pool_ratio": 0.1}),
    # There are fewer other images than the pool holds.
    "large_pool": ("myow", {"batch_size": 9, "pool_ratio": 1.0, "transform": TRANSFORMS}),
    # Another package's: its negatives are the images of both workers, of which one has none in a batch of one.
    "simclr": ("examples.plugin.mtneuro_example.method:SIMCLR", {}),
}


class LostError(Exception):
    """The process is lost."""


def encoder() -> nn.Module:
    """Smaller than ResNet-18, with the same kinds of layers; 8 x 8 views."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 16, FEATURES),
    )


def ssl_run(method: str = "byol", seed: int = 0, **changes: Any) -> RunSettings:
    known = METHODS.find(method).settings.model_fields
    settings = {key: value for key, value in {**SSL, **changes}.items() if key in known}
    run = run_of("classification", seed=seed, batch_size=5, dropout=0.2, opt_momentum=0.9, weight_decay=0.1)
    values = {**run.network.model_dump(mode="json"), "method": {"name": method, **settings}}
    return run.model_copy(update={"network": NetworkSettings.load(values, "network.json")})


class ExactTask(ClassificationTask):
    """In double precision: norms over few images make much of rounding, and a nearest neighbour may change by it."""

    def inputs(self, images: Tensor) -> Tensor:
        return super().inputs(images).double()


def method_of(
    run: RunSettings, context: WorkerContext | None = None, *, images: int = IMAGES, exact: bool = False
) -> SelfSupervised:
    context = context or WorkerContext()
    split = ResidentSplit(arrays(images, 0, masks=False), context.device)
    torch.set_default_dtype(torch.float64 if exact else torch.float32)
    try:
        classifier = EncoderClassifier(encoder(), FEATURES, 3, dropout=0.0, latent_dim=None)
        task = (ExactTask if exact else ClassificationTask)(run)
        built: SelfSupervised = run.network.method_declaration.resolve()(
            Setup(task, classifier, {"train": split}, context)
        )
        return built
    finally:
        torch.set_default_dtype(torch.float32)


def trained(
    run: RunSettings, context: WorkerContext | None = None, *, exact: bool = False
) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    """History and the weights of both networks."""
    method = method_of(run, context, exact=exact)
    return Fit(method).run().history, method.module.state_dict()


def same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class SlowFit:
    """The same training, image by image and term by term, from the papers."""

    def __init__(self, run: RunSettings) -> None:
        self.method: str = run.network.method.name
        self.ssl: Any = run.network.method
        self.network = cast(TargetNetwork, copy.deepcopy(method_of(run, exact=True).online))
        self.images = arrays(IMAGES, 0, masks=False).images
        self.momenta: dict[str, Tensor] = {}

    def crops(self, samples: Any, numbers: Any) -> Tensor:
        draws = ViewDraws.of(numbers[None], (16, 16), self.ssl)
        crops = []
        for sample, (top, left) in zip(samples, draws.corners[0].tolist(), strict=True):
            crops.append(self.images[sample, 0, :, top : top + 8, left : left + 8] * np.float32(1 / 255))
        return torch.from_numpy(np.stack(crops)).double()

    def mined(self, queries: Tensor, samples: Any, pool: Any, features: Tensor, choices: Any) -> Tensor:
        rows = []
        for query, sample, choice in zip(queries, samples, choices, strict=True):
            distances = [
                (1 - torch.cosine_similarity(query, other, dim=0).item(), row)
                for row, other in enumerate(features)
                if pool[row] != sample
            ]
            rows.append(sorted(distances)[int(choice * min(self.ssl.knn_nneighs, len(pool) - 1))][1])
        return features[rows]

    def loss(self, batch: Any, step: int, steps_per_epoch: int) -> Tensor:
        online, target, network = self.network.online, self.network.target, self.network
        numbers = generator(0, step, Purpose.VIEWS).random((2, len(batch), NUMBERS))
        views = torch.cat([self.crops(batch, numbers[0]), self.crops(batch, numbers[1])])
        projections = online.projector(online.encoder(views))
        first, second = network.predictor(projections).chunk(2)
        with torch.no_grad():
            represented = target.encoder(views)
            first_target, second_target = target.projector(represented).chunk(2)
        losses = distance(first, second_target) + distance(second, first_target)
        if self.method == "byol":
            return losses.mean()
        random = generator(0, step, Purpose.MINING)
        pool = draw_pool(random, IMAGES, batch, self.ssl.pool_ratio)
        numbers, choices = random.random((1, len(pool), NUMBERS)), random.random((2, len(batch)))
        with torch.no_grad():
            features = target.encoder(self.crops(pool, numbers[0]))
            mined = self.mined(represented, [*batch, *batch], pool, features, choices.ravel())
            mined_target = target.projector(mined)
        if self.method == "myow":
            assert network.predictor_2 is not None
            with torch.no_grad():
                mined_target = target.projector_2(mined_target)
            first, second = network.predictor_2(online.projector_2(projections)).chunk(2)
        first_target, second_target = mined_target.chunk(2)
        epochs = (step + 1) / steps_per_epoch - self.ssl.byol_warmup_epochs
        weight = self.ssl.myow_base_weight * min(1.0, max(0.0, epochs / self.ssl.myow_rampup_epochs))
        mined_losses = distance(first, first_target) + distance(second, second_target)
        loss: Tensor = (losses / (1 + weight) + mined_losses * weight / (1 + weight)).mean()
        return loss

    def step(self, batch: Any, step: int, steps_per_epoch: int) -> float:
        steps, warmup = self.ssl.epochs * steps_per_epoch, self.ssl.lr_warmup_epochs * steps_per_epoch
        rate = self.ssl.base_learning_rate * 5 / 256
        if step < warmup:
            rate *= (step + 1) / warmup
        else:
            rate *= (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2
        loss = self.loss(batch, step, steps_per_epoch)
        self.network.zero_grad()
        torch.autograd.backward(loss)
        keep = 1 - 0.1 * (math.cos(math.pi * step / steps) + 1) / 2
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                if parameter.grad is not None:
                    gradient = parameter.grad + (0.1 * parameter if parameter.dim() > 1 else 0)
                    self.momenta[name] = 0.9 * self.momenta.get(name, 0) + gradient
                    parameter.sub_(rate * self.momenta[name])
            for own, followed in zip(self.network.target.parameters(), self.network.online.parameters(), strict=True):
                own.copy_(keep * own + (1 - keep) * followed)
        return loss.item()


def distance(predictions: Tensor, targets: Tensor) -> Tensor:
    """Squared, of unit vectors."""
    return (nn.functional.normalize(predictions) - nn.functional.normalize(targets)).square().sum(1)


@pytest.mark.parametrize("method", OWN)
def test_it_takes_the_steps_of_a_slow_reference(method: str) -> None:
    run = ssl_run(method)
    history, weights = trained(run, exact=True)
    slow = SlowFit(run)
    for epoch, entry in enumerate(history):
        batches = global_batches(epoch_order(IMAGES, 0, epoch), 5)
        losses = [
            slow.step(batch, epoch * len(batches) + number, len(batches)) * len(batch)
            for number, batch in enumerate(batches)
        ]
        assert entry["train/loss"] == pytest.approx(sum(losses) / IMAGES, rel=1e-5)
    for name, parameter in slow.network.named_parameters():
        torch.testing.assert_close(weights[name], parameter, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("method", OWN)
def test_the_history_tells_the_terms_of_the_loss_and_the_deviation(method: str) -> None:
    history, _ = trained(ssl_run(method))
    terms = {"epoch", "train/loss", "train/augmented", "train/feature_std"}
    assert all(entry.keys() == terms | ({"train/mined"} if method != "byol" else set()) for entry in history)
    assert all(0 < entry["train/feature_std"] < 1 for entry in history)
    assert history[0]["train/loss"] == history[0]["train/augmented"]
    if method != "byol":
        last = history[-1]
        expected = (last["train/augmented"] + 0.5 * last["train/mined"]) / 1.5
        assert last["train/loss"] == pytest.approx(expected, rel=1e-6)


def test_merged_myow_without_weight_is_byol_bit_for_bit() -> None:
    byol, byol_weights = trained(ssl_run("byol"))
    merged, merged_weights = trained(ssl_run("myowmerged", myow_base_weight=0.0))
    assert [entry["train/loss"] for entry in byol] == [entry["train/loss"] for entry in merged]
    # The target's norms see the pool, too; nothing reads what they track of it.
    names = [name for name in byol_weights if "running" not in name and "tracked" not in name]
    assert all(torch.equal(byol_weights[name], merged_weights[name]) for name in names)


def test_another_seed_has_other_heads_views_and_order() -> None:
    (first, first_weights), (second, second_weights) = trained(ssl_run(seed=0)), trained(ssl_run(seed=1))
    assert first[0]["train/loss"] != second[0]["train/loss"]
    assert not same(first_weights, second_weights)


def test_the_encoder_is_trained_in_place() -> None:
    method = method_of(ssl_run())
    classifier = method.setup.classifier
    before = copy.deepcopy(classifier.state_dict())
    fit = Fit(method)
    fit.run()
    _, weights = trained(ssl_run())
    assert fit.timings["train_images_per_s"] > 0
    for name, tensor in classifier.state_dict().items():
        is_encoder = name.startswith("encoder.")
        assert torch.equal(tensor, weights[f"online.{name}"] if is_encoder else before[name]), name
    assert not torch.equal(before["encoder.0.weight"], classifier.state_dict()["encoder.0.weight"])


def test_views_of_an_image_come_together_and_images_stay_apart() -> None:
    history, _ = trained(ssl_run(epochs=60, base_learning_rate=4.0))
    assert history[-1]["train/loss"] < 0.2 * history[0]["train/loss"]
    assert history[-1]["train/feature_std"] > 0.5 / math.sqrt(FEATURES)


@pytest.mark.parametrize(("has_predictor", "collapses"), [(True, False), (False, True)])
def test_the_deviation_tells_a_collapse(has_predictor: bool, collapses: bool) -> None:
    """Without predictor and slow target, features run into one point. Heads would hide it: theirs collapse first."""
    run = ssl_run(
        epochs=60, batch_size=IMAGES, base_learning_rate=4.0, base_momentum=0.0, projector_output_size=FEATURES
    )
    method = method_of(run)
    network = cast(TargetNetwork, method.online)
    network.online.projector = network.target.projector = nn.Identity()
    if not has_predictor:
        network.predictor = nn.Identity()
    last = Fit(method).run().history[-1]["train/feature_std"]
    assert (last < 0.2 / math.sqrt(FEATURES)) == collapses
    assert (last > 0.5 / math.sqrt(FEATURES)) != collapses


def cautions(history: Sequence[Mapping[str, Any]] = (), **changes: Any) -> list[str]:
    """Those of 3 steps an epoch."""
    method = method_of(ssl_run(**{"base_learning_rate": None, "base_momentum": None, **changes}))
    return method.cautions(method.setup, history)


def test_a_training_by_rule_is_warned_of_only_where_it_is_too_short() -> None:
    assert cautions(epochs=30) == []
    (caution,) = cautions(epochs=4)
    assert caution.startswith("net_3class: byol: 12 steps are too few")


def test_a_stated_rate_that_is_too_small_at_this_batch_size_is_warned_of_by_name() -> None:
    (caution,) = cautions(epochs=30, base_learning_rate=0.03)
    assert "0.00059 (method.base_learning_rate 0.03 x 5 / 256) is too small for 90 steps" in caution
    assert cautions(epochs=30, base_learning_rate=3.0) == []


def test_a_target_that_stays_random_is_warned_of() -> None:
    (caution,) = cautions(epochs=30, base_momentum=0.996)
    assert "method.base_momentum 0.996 the target still keeps 84% of its random weights after 90 steps" in caution


def test_collapsed_features_are_warned_of() -> None:
    assert cautions([{"train/feature_std": 0.1}], epochs=30) == []
    (caution,) = cautions([{"train/feature_std": 0.1}, {"train/feature_std": 1e-4}], epochs=30)
    assert caution.endswith("the features have collapsed: they deviate by 0.0001 between images")


def test_a_mined_view_needs_another_image() -> None:
    method_of(ssl_run("byol"), images=1)
    with pytest.raises(InputError, match=r"small: cubes: 1 training image; accepted: 2 or more"):
        method_of(ssl_run("myow"), images=1)


@pytest.mark.parametrize("method", OWN)
@pytest.mark.parametrize("epochs_before", [1, 3])
def test_an_interrupted_training_that_is_resumed_equals_one_that_never_stopped(
    tmp_path: Path, method: str, epochs_before: int
) -> None:
    run = ssl_run(method, transform=TRANSFORMS)
    whole, whole_weights = trained(run)

    def stop(entry: Mapping[str, Any]) -> None:
        if entry["epoch"] == epochs_before:
            raise LostError

    folder = Folder(tmp_path)
    with pytest.raises(LostError):
        trained(run, WorkerContext(checkpoints=folder, checkpoint_interval_s=0, report=stop))
    told: list[int] = []
    torch.rand(5)
    context = WorkerContext(checkpoints=folder, report=lambda entry: told.append(entry["epoch"]))
    resumed, weights = trained(run, context)
    assert told == list(range(epochs_before + 1, 5))
    assert resumed == whole
    assert same(weights, whole_weights)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_reduced_arithmetic_learns_the_same_to_its_precision(precision: str) -> None:
    run = ssl_run("myow").model_copy()
    network = run.network.replace("test", precision=precision)
    history, _ = trained(run.model_copy(update={"network": network}))
    expected, _ = trained(ssl_run("myow"))
    assert history[0]["train/augmented"] == pytest.approx(expected[0]["train/augmented"], rel=0.02)
    assert (history == expected) == (precision == "fp32")


def shared(rank: int, case: str) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    method, changes = CASES[case]
    return trained(ssl_run(method, **changes), WorkerContext(rank=rank, world_size=2), exact=True)


@pytest.mark.parametrize("case", CASES)
def test_two_workers_learn_what_one_learns(workers: Workers, case: str) -> None:
    method, changes = CASES[case]
    expected_history, expected_weights = trained(ssl_run(method, **changes), exact=True)
    (history, weights), (other_history, other_weights) = workers.run(shared, case)
    assert history == other_history
    assert same(weights, other_weights)
    for entry, expected in zip(history, expected_history, strict=True):
        assert entry == pytest.approx(expected, rel=1e-5)
    assert weights.keys() == expected_weights.keys()
    for name, tensor in expected_weights.items():
        torch.testing.assert_close(weights[name], tensor, rtol=1e-5, atol=1e-6, msg=name)


def test_the_deviation_of_features() -> None:
    spread = torch.randn(4000, 64, generator=torch.Generator().manual_seed(0))
    assert feature_std(spread).item() == pytest.approx(1 / math.sqrt(64), rel=0.02)
    # Length is no direction: an encoder that only scales has collapsed.
    collapsed = spread[:1] * torch.arange(1, 9).unsqueeze(1)
    assert feature_std(collapsed).item() < 1e-6
    # Half the images in one direction, half in another: each of two dimensions deviates by 1/2, the third does not.
    two = torch.eye(3)[[0, 1, 0, 1]]
    assert feature_std(two).item() == pytest.approx(1 / 3)
