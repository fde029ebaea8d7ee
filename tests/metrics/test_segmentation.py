from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from sklearn import metrics as sk
from torch import Tensor

from mtneuro_ray.metrics.base import image_confusions
from mtneuro_ray.metrics.segmentation import SegmentationMetric
from tests.metrics.data import random_pair
from tests.settings import task_settings

METRIC = SegmentationMetric(task_settings(absent="one"))


def smp_scores(name: str, pred: Tensor, target: Tensor, reduction: str | None) -> Tensor:
    stats = smp.metrics.get_stats(pred, target, mode="multiclass", num_classes=4)
    score: Tensor = getattr(smp.metrics, name)(*stats, reduction=reduction)
    return score


def test_both_reductions_equal_those_of_smp_and_scikit_learn() -> None:
    pred, target = random_pair((5, 16, 16), 4)
    target[0][target[0] == 3] = 0
    pred[0][pred[0] == 3] = 0
    metrics = METRIC.of(image_confusions(pred, target, 4))
    p, t = pred.flatten().numpy(), target.flatten().numpy()
    for name, function, reference in (("iou", "iou_score", sk.jaccard_score), ("f1", "f1_score", sk.f1_score)):
        per_image = smp_scores(function, pred, target, None)
        assert metrics[f"image/{name}"] == pytest.approx(per_image.mean(0).tolist())
        assert metrics[f"image/{name}_mean"] == pytest.approx(per_image.mean().item())
        assert metrics[f"dataset/{name}"] == pytest.approx(reference(t, p, average=None))
        assert metrics[f"dataset/{name}_mean"] == pytest.approx(smp_scores(function, pred, target, "macro").item())
    assert metrics["confusion"] == sk.confusion_matrix(t, p).tolist()
    assert metrics["truth"] == np.bincount(t, minlength=4).tolist()


def test_a_class_absent_from_an_image_scores_one_there_and_the_truth_tells_that_it_is_nowhere() -> None:
    target = torch.tensor([[[0, 0]], [[0, 1]]])
    pred = torch.tensor([[[0, 0]], [[0, 0]]])
    metrics = METRIC.of(image_confusions(pred, target, 3))
    assert metrics["image/iou"] == [0.75, 0.5, 1.0]
    assert metrics["dataset/iou"] == [0.75, 0.0, 1.0]
    assert metrics["dataset/iou_mean"] == pytest.approx(1.75 / 3)
    assert metrics["truth"] == [3, 1, 0]


def test_a_class_absent_from_the_truth_has_no_score_whatever_is_predicted() -> None:
    target = torch.tensor([[[0, 0]], [[0, 1]]])
    own: Any = SegmentationMetric(task_settings())
    for predicted, dataset, image in ((0, 3 / 4, 3 / 4), (2, 1.0, 1.0)):
        pred = torch.tensor([[[0, 0]], [[0, predicted]]])
        metrics = own.of(image_confusions(pred, target, 3))
        np.testing.assert_equal(metrics["dataset/iou"], [dataset, 0.0, math.nan])
        np.testing.assert_equal(metrics["image/iou"], [image, 0.0, math.nan])
        assert metrics["dataset/iou_mean"] == dataset / 2
        assert metrics["truth"] == [3, 1, 0]


@pytest.mark.parametrize("absent", ["one", "leave_out"])
def test_images_without_a_voxel_that_counts_change_nothing(absent: str) -> None:
    pred, target = random_pair((5, 8, 8), 3)
    own = SegmentationMetric(task_settings(absent=absent))
    counts = image_confusions(pred, target, 3)
    assert own.of(np.concatenate([counts, np.zeros((2, 3, 3), np.int64)])) == own.of(counts)
    nothing: Any = own.of(np.zeros((2, 3, 3), np.int64))
    np.testing.assert_equal(nothing["image/f1"], [math.nan] * 3)
    assert math.isnan(nothing["dataset/iou_mean"])


def test_nothing_to_measure_is_an_error() -> None:
    with pytest.raises(ValueError, match="no image"):
        METRIC.of(np.zeros((0, 4, 4), dtype=np.int64))
