from __future__ import annotations

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

METRIC = SegmentationMetric(task_settings())


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


def test_nothing_to_measure_is_an_error() -> None:
    with pytest.raises(ValueError, match="no image"):
        METRIC.of(np.zeros((0, 4, 4), dtype=np.int64))
