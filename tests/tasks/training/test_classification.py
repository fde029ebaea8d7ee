from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtneuro_ray.data.resident import Batch
from mtneuro_ray.metrics.base import Counts, image_confusions
from mtneuro_ray.roi import corners, overlapping_crops
from mtneuro_ray.tasks.training.base import Judged, Task, build_task
from tests.engine.data import run_of

CLASSES = 3


class Linear(nn.Module):
    """Logits of the mean grey of an image's rows: (B, 1, Y, X) -> (B, 3), whatever the width."""

    def __init__(self, height: int = 8) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.layer = nn.Linear(height, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layer(images.mean((1, 3)))
        return logits


def task_of(**network: Any) -> Task:
    return build_task(run_of("classification", **network))


def batch_of(seed: int, count: int = 5) -> Batch:
    random = np.random.default_rng(seed)
    images = torch.from_numpy(random.integers(0, 256, (count, 1, 1, 8, 8), np.uint8))
    return Batch(images, None, torch.from_numpy(random.integers(0, CLASSES, count)))


def confusions_of(judged: Judged) -> Counts:
    return image_confusions(judged.prediction, judged.truth, CLASSES)


@pytest.mark.parametrize("lambda_", [0.0, 0.3, 1.0])
def test_a_mixture_is_learned_as_the_soft_target_of_both_labels(lambda_: float) -> None:
    own, other, model = batch_of(0), batch_of(1), Linear()
    losses = task_of().losses(model, replace(own, partner=other, lambda_=lambda_))
    inputs = lambda_ * own.images[:, 0].float() / 255 + (1 - lambda_) * other.images[:, 0].float() / 255
    soft = lambda_ * F.one_hot(own.labels, CLASSES) + (1 - lambda_) * F.one_hot(other.labels, CLASSES)
    torch.testing.assert_close(losses, -(soft * model(inputs).log_softmax(1)).sum(1))


def test_without_a_partner_the_label_is_all() -> None:
    own, model = batch_of(0), Linear()
    expected = F.cross_entropy(model(own.images[:, 0].float() / 255), own.labels, reduction="none")
    torch.testing.assert_close(task_of().losses(model, own), expected)
    torch.testing.assert_close(task_of().losses(model, replace(own, partner=batch_of(1), lambda_=1.0)), expected)


def test_corners_are_samples_and_pooled_corners_are_one_that_has_their_mean_log_probability() -> None:
    batch, model = batch_of(0), Linear(4)
    crops = [batch.images[:, 0, 0, rows, columns].unsqueeze(1).float() / 255 for rows, columns in corners(8, 8)]
    each = torch.stack([model(crop).log_softmax(1) for crop in crops], dim=1).detach()
    with torch.no_grad():
        corner, whole = (task_of(eval_crops=crops).judge(model, batch) for crops in ("corners", "pooled"))
    confusions, pooled = confusions_of(corner), confusions_of(whole)
    labels = batch.labels
    rows = torch.arange(len(labels))
    torch.testing.assert_close(corner.losses, -each[rows, :, labels].mean(1))
    mean = each.mean(1)
    torch.testing.assert_close(whole.losses, F.cross_entropy(mean, labels, reduction="none"))
    for index, label in enumerate(labels.tolist()):
        assert confusions[index].sum() == confusions[index, label].sum() == 4
        assert confusions[index, label].tolist() == np.bincount(each[index].argmax(1), minlength=CLASSES).tolist()
        assert np.argwhere(pooled[index]).tolist() == [[label, int(mean[index].argmax())]]


@pytest.mark.parametrize(("width", "turns"), [(8, (0, 1, 2, 3)), (12, (0, 2))], ids=["square", "oblong"])
def test_dense_crops_are_pooled_over_places_and_rotations(width: int, turns: tuple[int, ...]) -> None:
    random, model = np.random.default_rng(3), Linear(4)
    images = random.integers(0, 256, (5, 1, 1, 8, width), np.uint8)
    batch = Batch(torch.from_numpy(images), None, torch.from_numpy(random.integers(0, CLASSES, 5)))
    shown = [
        np.rot90(images[:, 0, :, rows, columns], turn, (2, 3)).astype(np.float32) / 255
        for rows, columns in overlapping_crops(8, width)
        for turn in turns
    ]
    with torch.no_grad():
        expected = torch.stack([model(torch.from_numpy(crop)).log_softmax(1) for crop in shown]).mean(0)
        judged = task_of(eval_crops="dense").judge(model, batch)
    torch.testing.assert_close(judged.losses, F.cross_entropy(expected, batch.labels, reduction="none"))
    places = [np.argwhere(confusion).tolist() for confusion in confusions_of(judged)]
    assert places == [[pair] for pair in torch.stack([batch.labels, expected.argmax(1)], dim=1).tolist()]
