from __future__ import annotations

import json

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from torch import Tensor

from mtneuro_ray.metrics.confusion import (
    Counts,
    classification_metrics,
    confusion_matrix,
    segmentation_counts,
    segmentation_metrics,
)


def random_pair(shape: tuple[int, ...], classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(0, classes, shape, generator=generator)
    guess = torch.randint(0, classes, shape, generator=generator)
    return torch.where(torch.rand(shape, generator=generator) < 0.6, target, guess), target


def slow_counts(pred: Tensor, target: Tensor, classes: int) -> list[list[list[int]]]:
    rows = []
    for image_pred, image_target in zip(pred.tolist(), target.tolist(), strict=True):
        pixels = list(zip(np.ravel(image_pred).tolist(), np.ravel(image_target).tolist(), strict=True))
        rows.append(
            [
                [
                    sum(p == c and t == c for p, t in pixels),
                    sum(p == c and t != c for p, t in pixels),
                    sum(p != c and t == c for p, t in pixels),
                    sum(p != c and t != c for p, t in pixels),
                ]
                for c in range(classes)
            ]
        )
    return rows


@pytest.mark.parametrize("shape", [(3, 7, 5), (2, 3, 4, 5), (1, 1, 1)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_counts_equal_a_slow_count(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    pred, target = random_pair(shape, 4)
    counts = segmentation_counts(pred.to(dtype), target.to(dtype), 4)
    assert counts.dtype == np.int64
    assert counts.tolist() == slow_counts(pred, target, 4)


def test_counts_of_uint8_labels_do_not_wrap_around() -> None:
    pred = torch.full((300, 2, 2), 19, dtype=torch.uint8)
    counts = segmentation_counts(pred, pred, 20)
    assert counts.shape == (300, 20, 4)
    assert (counts[:, 19, 0] == 4).all()
    assert counts[:, :19, 0].sum() == 0


def test_counts_of_no_image() -> None:
    empty = torch.empty(0, 4, 4, dtype=torch.int64)
    assert segmentation_counts(empty, empty, 3).shape == (0, 3, 4)


@pytest.mark.parametrize(("bad", "message"), [(4, "0 to 4"), (-1, "-1 to 0")])
def test_classes_out_of_range_are_refused(bad: int, message: str) -> None:
    pred = torch.tensor([[[0, bad]]])
    with pytest.raises(ValueError, match=f"predicted classes reach from {message}"):
        segmentation_counts(pred, torch.zeros_like(pred), 4)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        confusion_matrix(torch.zeros(2, 3, dtype=torch.int64), torch.zeros(3, 2, dtype=torch.int64), 2)


def smp_scores(name: str, pred: Tensor, target: Tensor, reduction: str | None) -> Tensor:
    stats = smp.metrics.get_stats(pred, target, mode="multiclass", num_classes=4)
    score: Tensor = getattr(smp.metrics, name)(*stats, reduction=reduction)
    return score


def test_segmentation_metrics_equal_those_of_smp() -> None:
    pred, target = random_pair((5, 16, 16), 4)
    target[0][target[0] == 3] = 0
    pred[0][pred[0] == 3] = 0
    metrics = segmentation_metrics(segmentation_counts(pred, target, 4))
    for name, function in (("iou", "iou_score"), ("f1", "f1_score")):
        per_image = smp_scores(function, pred, target, None)
        assert metrics[f"image/{name}"] == pytest.approx(per_image.mean(0).tolist())
        assert metrics[f"image/{name}_mean"] == pytest.approx(per_image.mean().item())
        macro = smp_scores(function, pred, target, "macro").item()
        assert metrics[f"dataset/{name}_mean"] == pytest.approx(macro)
        imagewise = smp_scores(function, pred, target, "macro-imagewise").item()
        assert metrics[f"image/{name}_mean"] == pytest.approx(imagewise)


def test_dataset_reduction_equals_scikit_learn() -> None:
    pred, target = random_pair((3, 9, 9), 4)
    metrics = segmentation_metrics(segmentation_counts(pred, target, 4))
    p, t = pred.flatten().numpy(), target.flatten().numpy()
    assert metrics["dataset/iou"] == pytest.approx(sk.jaccard_score(t, p, average=None))
    assert metrics["dataset/f1"] == pytest.approx(sk.f1_score(t, p, average=None))


def test_a_class_absent_from_an_image_scores_one_there() -> None:
    target = torch.tensor([[[0, 0]], [[0, 1]]])
    pred = torch.tensor([[[0, 0]], [[0, 0]]])
    metrics = segmentation_metrics(segmentation_counts(pred, target, 3))
    assert metrics["image/iou"] == [0.75, 0.5, 1.0]
    assert metrics["dataset/iou"] == [0.75, 0.0, 1.0]
    assert metrics["dataset/iou_mean"] == pytest.approx(1.75 / 3)


def test_metrics_can_be_written_as_json() -> None:
    pred, target = random_pair((2, 4, 4), 3)
    confusion = confusion_matrix(pred, target, 3)
    metrics = segmentation_metrics(segmentation_counts(pred, target, 3), confusion)
    assert json.loads(json.dumps(metrics)) == metrics
    assert metrics["confusion"] == sk.confusion_matrix(target.flatten(), pred.flatten()).tolist()
    report = classification_metrics(confusion)
    assert json.loads(json.dumps(report)) == report


def test_nothing_to_measure_is_an_error() -> None:
    with pytest.raises(ValueError, match="no image"):
        segmentation_metrics(np.zeros((0, 4, 4), dtype=np.int64))
    with pytest.raises(ValueError, match="no sample"):
        classification_metrics(np.zeros((4, 4), dtype=np.int64))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(0, 2**31), st.data())
def test_shards_in_any_order_give_the_metrics_of_the_whole(images: int, seed: int, data: st.DataObject) -> None:
    pred, target = random_pair((images, 5, 4), 3, seed)
    whole = segmentation_counts(pred, target, 3)
    order = data.draw(st.permutations(range(images)))
    cut = data.draw(st.integers(0, images))
    shards = [list(order[:cut]), list(order[cut:])]
    merged: Counts = np.concatenate([segmentation_counts(pred[s], target[s], 3) for s in shards])
    assert segmentation_metrics(merged) == segmentation_metrics(whole)
    parts = sum(confusion_matrix(pred[s], target[s], 3) for s in shards)
    np.testing.assert_array_equal(parts, confusion_matrix(pred, target, 3))


def test_classification_metrics_equal_scikit_learn() -> None:
    pred, target = random_pair((50,), 4)
    metrics = classification_metrics(confusion_matrix(pred, target, 4))
    assert metrics["accuracy"] == pytest.approx(sk.accuracy_score(target, pred))
    assert metrics["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(target, pred))
    assert metrics["f1_mean"] == pytest.approx(sk.f1_score(target, pred, average="macro"))
    for name in ("recall", "precision", "f1"):
        reference = getattr(sk, f"{name}_score")(target, pred, average=None)
        assert metrics[name] == pytest.approx(reference)


def test_balanced_accuracy_leaves_out_classes_without_truth() -> None:
    confusion = np.array([[3, 1, 0], [0, 0, 0], [2, 0, 2]])
    metrics = classification_metrics(confusion)
    assert metrics["balanced_accuracy"] == pytest.approx((3 / 4 + 2 / 4) / 2)
    assert metrics["recall"] == [0.75, 0.0, 0.5]
    assert metrics["precision"] == [0.6, 0.0, 1.0]
