from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn
from torch.nn import functional as F

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.resident import ResidentSplit
from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.engine.fit import global_batches
from mtneuro_ray.engine.linear_probe import train_probe
from mtneuro_ray.methods.training.base import Setup
from mtneuro_ray.methods.training.decomposition import DecompositionMethod
from mtneuro_ray.models.nets.decomposition import Decomposition
from mtneuro_ray.models.nets.resnet import EncoderClassifier
from mtneuro_ray.rng import epoch_order
from mtneuro_ray.roi import corners, overlapping_crops
from mtneuro_ray.tasks.training.base import build_task, features_of
from tests.engine.data import arrays, run_of
from tests.engine.threads import together

CPU = torch.device("cpu")
FEATURES = 4


class Quarters(nn.Module):
    """Mean grey of the quarters of an image, and a layer that must not be trained: (B, 1, Y, X) -> (B, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([5.0, 1.0, 0.2, 1.0]))

    def forward(self, images: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(images, 2).flatten(1) * self.scale


def classifier() -> EncoderClassifier:
    torch.manual_seed(11)
    return EncoderClassifier(Quarters(), FEATURES, classes=3, dropout=0.0, latent_dim=None)


def run_with(**network: Any) -> RunSettings:
    settings = {"optimizer": "SGD", "opt_momentum": 0.9, "learning_rate": 0.1, "batch_size": 5, "seed": 4, **network}
    return run_of("classification", **{"method": "byol", "dropout": 0.2, **settings})


def setup_of(
    run: RunSettings, split: SplitArrays, model: EncoderClassifier, context: WorkerContext | None = None
) -> Setup:
    task = build_task(run, np.bincount(split.labels).tolist())
    return Setup(task, model, {"train": ResidentSplit(split, CPU)}, context or WorkerContext())


def head_of(run: RunSettings, split: SplitArrays) -> EncoderClassifier:
    found = classifier()
    train_probe(setup_of(run, split, found))
    return found


def crops_of(split: SplitArrays, kind: str) -> tuple[Tensor, Tensor]:
    """What is shown of the images, one after the other, and its labels."""
    images, labels = torch.from_numpy(split.images[:, 0]).float() / 255, torch.from_numpy(split.labels)
    if kind == "whole":
        return images, labels
    turns = (0, 1, 2, 3) if kind == "dense" else (0,)
    places = (overlapping_crops if kind == "dense" else corners)(*images.shape[-2:])
    cut = [
        image[:, rows, columns].rot90(turn, (1, 2)) for image in images for rows, columns in places for turn in turns
    ]
    return torch.stack(cut), labels.repeat_interleave(len(cut) // len(labels))


def slow_logits(run: RunSettings, split: SplitArrays) -> Tensor:
    """A linear layer on features of mean 0 and deviation 1, or on the features as they are."""
    crops, labels = crops_of(split, run.network.evaluation.eval_crops)
    features = Quarters()(crops).detach()
    if run.network.paths()["method.probe_norm"] == "standard":
        features = (features - features.mean(0)) / features.std(0, correction=0)
    torch.manual_seed(run.network.seed)
    layer = nn.Linear(FEATURES, 3)
    momenta = [torch.zeros_like(parameter) for parameter in layer.parameters()]
    step = 0
    for epoch in range(run.network.optimizer.epochs):
        batches = global_batches(epoch_order(len(features), run.network.seed, epoch), run.network.data.batch_size)
        for batch in batches:
            rate = run.network.optimizer.learning_rate
            if run.network.optimizer.lr_schedule == "cosine":
                rate *= (1 + math.cos(math.pi * step / len(batches) / run.network.optimizer.epochs)) / 2
            step += 1
            loss = F.cross_entropy(layer(features[batch]), labels[batch], reduction="none")
            if run.network.loss.class_weights == "balanced":
                loss = loss * len(labels) / 3 / torch.bincount(labels)[labels[batch]]
            gradients = torch.autograd.grad(loss.mean(), list(layer.parameters()))
            with torch.no_grad():
                for parameter, momentum, gradient in zip(layer.parameters(), momenta, gradients, strict=True):
                    momentum.mul_(run.network.optimizer.momentum).add_(gradient)
                    parameter.sub_(rate * momentum)
    logits: Tensor = layer(features)
    return logits.detach()


@pytest.mark.parametrize("norm", ["standard", "none"])
@pytest.mark.parametrize("crops", ["whole", "corners", "pooled", "dense"])
def test_the_layer_is_a_slow_reference_s_folded_onto_the_features(norm: str, crops: str) -> None:
    run, split = run_with(readout_norm=norm, eval_crops=crops), arrays(12, 0, masks=False)
    logits = head_of(run, split).eval()(crops_of(split, crops)[0])
    torch.testing.assert_close(logits, slow_logits(run, split), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("changes", [{"class_weights": "balanced"}, {"lr_schedule": "cosine"}], ids=str)
def test_the_layer_heeds_the_weights_of_the_classes_and_the_schedule(changes: dict[str, Any]) -> None:
    split = arrays(12, 0, masks=False)
    assert len(set(np.bincount(split.labels, minlength=3))) > 1
    crops = crops_of(split, "whole")[0]
    logits = head_of(run_with(**changes), split).eval()(crops)
    torch.testing.assert_close(logits, slow_logits(run_with(**changes), split), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(logits, head_of(run_with(), split).eval()(crops), atol=1e-2)


def test_norms_of_a_frozen_encoder_neither_learn_nor_look_at_the_batch() -> None:
    encoder = nn.Sequential(nn.Conv2d(1, FEATURES, 3), nn.BatchNorm2d(FEATURES), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = EncoderClassifier(encoder, FEATURES, classes=3, dropout=0.5, latent_dim=None).train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    run = run_with()
    train_probe(setup_of(run, arrays(12, 0, masks=False), model))
    torch.testing.assert_close(dict(encoder.state_dict()), before, rtol=0, atol=0)


class Marked(nn.Module):
    """Quarters, and a feature that is `level` but where the first pixel is white."""

    def __init__(self, level: float) -> None:
        super().__init__()
        self.level = level

    def forward(self, images: Tensor) -> Tensor:
        white = (images[:, :, 0, 0] == 1.0).float()
        return torch.cat([F.adaptive_avg_pool2d(images, 2).flatten(1), self.level + white], dim=1)


@pytest.mark.parametrize("level", [0.0, 1000.0])
def test_a_feature_that_is_the_same_in_training_says_nothing_later(level: float) -> None:
    split, run = arrays(12, 0, masks=False), run_with()
    split = replace(split, images=np.minimum(split.images, 250))
    white = split.images.copy()
    white[..., 0, 0] = 255
    model = EncoderClassifier(Marked(level), FEATURES + 1, classes=3, dropout=0.0, latent_dim=None)
    history = train_probe(setup_of(run, split, model))
    shown, changed = (crops_of(replace(split, images=images), "whole")[0] for images in (split.images, white))
    labels = torch.from_numpy(split.labels)
    assert F.cross_entropy(model(shown), labels).item() <= history[-1]["train/loss"]
    assert (model(changed) - model(shown)).abs().max() < 1


@pytest.mark.parametrize("side", [16, 64])
def test_components_without_spread_in_training_say_nothing_of_other_images(side: int) -> None:
    """Of N images the last of N components has none, but for rounding."""
    run = run_with(model="PCA", method="decomposition", components=64, epochs=30)
    model = EncoderClassifier(Decomposition("PCA", 64), 64, classes=3, dropout=0.0, latent_dim=None)
    split, others = arrays(12, 0, masks=False, side=side), arrays(40, 1, masks=False, side=side)
    setup = setup_of(run, split, model)
    DecompositionMethod(setup).fit()
    train_probe(setup)
    for shown in (split, others):
        assert model(crops_of(shown, "whole")[0]).abs().max() < 1000


def test_the_encoder_stays_as_it_is_and_the_layer_does_not() -> None:
    before, after = classifier(), head_of(run_with(), arrays(12, 0, masks=False))
    torch.testing.assert_close(after.encoder.state_dict(), before.encoder.state_dict(), rtol=0, atol=0)
    assert not torch.equal(after.head.weight, before.head.weight)


def test_brightness_that_tells_the_classes_is_learned() -> None:
    split = arrays(60, 0, masks=False)
    found = head_of(run_with(epochs=60), split).eval()
    crops, labels = crops_of(split, "whole")
    assert (found(crops).argmax(1) == labels).float().mean() > 0.9


def test_a_feature_that_is_the_same_everywhere_does_no_harm() -> None:
    split = arrays(12, 0, masks=False)
    flat = split.images.copy()
    flat[..., :8, :8] = 7
    found = head_of(run_with(), replace(split, images=flat))
    assert found.head.weight.isfinite().all()
    assert found.head.bias.isfinite().all()


@pytest.mark.parametrize("count", [7, 2])
def test_workers_that_share_the_images_learn_from_what_one_learns_from(count: int) -> None:
    # Of two images the first of three workers has none.
    run, split = run_with(eval_crops="corners"), arrays(count, 0, masks=False)

    def found_by(context: WorkerContext) -> Tensor:
        setup = setup_of(run, split, classifier(), context)
        return features_of(setup.task, setup.classifier, setup.split, context, setup.task.crops)

    alone = found_by(WorkerContext())
    assert alone.shape == (count, 4, FEATURES)
    for found in together(found_by):
        torch.testing.assert_close(found, alone, rtol=0, atol=0)


@pytest.mark.parametrize("crops", ["whole", "corners"])
def test_components_are_those_of_the_flattened_crops(crops: str) -> None:
    run = run_of("classification", model="PCA", method="decomposition", components=3, eval_crops=crops, dropout=0.2)
    split, encoder = arrays(12, 0, masks=False), Decomposition("PCA", 3)
    model = EncoderClassifier(encoder, 3, classes=3, dropout=0.0, latent_dim=None)
    DecompositionMethod(setup_of(run, split, model)).fit()
    images = crops_of(split, crops)[0]
    peer = PCA(3, random_state=run.network.seed).fit(images.flatten(1).numpy())
    np.testing.assert_allclose(encoder(images).numpy(), peer.transform(images.flatten(1).numpy()), atol=1e-4)
