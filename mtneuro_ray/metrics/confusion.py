"""Metrics of Tasks 1 and 2, counts first.

Counts are integers that add up (or, per image, line up) over batches and workers; the ratios come last, in
float64, with sums that do not depend on the order of the images. So shards merge to exactly the metrics of the
whole.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Counts: TypeAlias = npt.NDArray[np.int64]
Metrics: TypeAlias = "dict[str, float | list[float] | list[list[int]] | dict[str, Metrics]]"
"""Metric name -> value, a value per class, a confusion matrix, or each region's metrics; can be written as JSON."""

TP, FP, FN, TN = range(4)


def segmentation_counts(pred: Tensor, target: Tensor, num_classes: int) -> Counts:
    """True and false positives and negatives of each image and class.

    Args:
        pred: predicted classes, integers (N, Y, X) or (N, Z, Y, X), on any device.
        target: true classes, the same shape.
        num_classes: classes, counted from 0.

    Returns:
        (N, num_classes, 4) pixels: tp, fp, fn, tn. Counts of several batches are joined by concatenation.

    Raises:
        ValueError: the shapes differ or a class lies outside [0, num_classes).
    """
    return counts_of(image_confusions(pred, target, num_classes))


def counts_of(confusions: Counts) -> Counts:
    """Counts (N, classes, 4), as `segmentation_counts`, from confusions (N, classes, classes), rows the truth."""
    tp = confusions.diagonal(axis1=1, axis2=2)
    fp = confusions.sum(axis=1) - tp
    fn = confusions.sum(axis=2) - tp
    tn = confusions.sum(axis=(1, 2))[:, None] - tp - fp - fn
    return np.stack([tp, fp, fn, tn], axis=2)


def confusion_matrix(pred: Tensor, target: Tensor, num_classes: int) -> Counts:
    """Samples (or pixels) of each true class, in rows, given each predicted class, in columns.

    Args:
        pred: predicted classes, integers of any shape.
        target: true classes, the same shape.
        num_classes: classes, counted from 0.

    Returns:
        (num_classes, num_classes); matrices of several batches add up.

    Raises:
        ValueError: the shapes differ or a class lies outside [0, num_classes).
    """
    total: Counts = image_confusions(pred, target, num_classes).sum(axis=0)
    return total


def segmentation_metrics(counts: Counts, confusion: Counts | None = None) -> Metrics:
    """F1 and IoU in both reductions of the protocol, per class and as the mean over classes.

    "dataset/..." sums the counts over all images before the ratio; "image/..." takes the ratio in each image and
    then the mean over images. A class that is absent from both prediction and truth (of an image, or of all)
    scores 1, as in the public MTNeuro code.

    Args:
        counts: (N, classes, 4) of `segmentation_counts`.
        confusion: pixels (classes, classes) of `confusion_matrix`, passed on as "confusion".

    Returns:
        "dataset/iou", "dataset/f1", "image/iou", "image/f1" with a value per class and, with "_mean" added, their
        means over classes.

    Raises:
        ValueError: there is no image.
    """
    if len(counts) == 0:
        raise ValueError("no image to measure; accepted: counts of one or more images")
    metrics: Metrics = {}
    for reduction, grouped in (("dataset", counts.sum(axis=0, keepdims=True)), ("image", counts)):
        tp, wrong = grouped[..., TP], grouped[..., FP] + grouped[..., FN]
        for name, ratio in (("iou", _ratio(tp, tp + wrong, 1)), ("f1", _ratio(2 * tp, 2 * tp + wrong, 1))):
            per_class = [_mean(column) for column in ratio.T]
            metrics[f"{reduction}/{name}"] = per_class
            metrics[f"{reduction}/{name}_mean"] = _mean(per_class)
    if confusion is not None:
        metrics["confusion"] = confusion.tolist()
    return metrics


def classification_metrics(confusion: Counts) -> Metrics:
    """Metrics of a classifier from its confusion matrix (classes, classes), rows the truth.

    Returns:
        "accuracy"; "balanced_accuracy", the mean recall of the classes that occur in the truth; "recall",
        "precision" and "f1" per class, 0 where the denominator is 0; "f1_mean" over the classes that occur in
        truth or prediction (macro F1); "confusion".

    Raises:
        ValueError: there is no sample.
    """
    total = int(confusion.sum())
    if total == 0:
        raise ValueError("no sample to measure; accepted: a confusion matrix of one or more samples")
    tp, truth, predicted = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    recall = _ratio(tp, truth, 0)
    f1 = _ratio(2 * tp, truth + predicted, 0)
    return {
        "accuracy": int(tp.sum()) / total,
        "balanced_accuracy": _mean(recall[truth > 0]),
        "recall": recall.tolist(),
        "precision": _ratio(tp, predicted, 0).tolist(),
        "f1": f1.tolist(),
        "f1_mean": _mean(f1[truth + predicted > 0]),
        "confusion": confusion.tolist(),
    }


def image_confusions(pred: Tensor, target: Tensor, num_classes: int) -> Counts:
    """Pixels of (N, ...) per image, true class and predicted class: (N, num_classes, num_classes).

    Raises:
        ValueError: the shapes differ or a class lies outside [0, num_classes).
    """
    if pred.shape != target.shape:
        raise ValueError(f"predictions {tuple(pred.shape)} and truth {tuple(target.shape)} differ in shape")
    images, cells = len(pred), num_classes**2
    if pred.numel() == 0:
        return np.zeros((images, num_classes, num_classes), dtype=np.int64)
    for name, classes in (("predicted", pred), ("true", target)):
        low, high = (int(bound) for bound in torch.aminmax(classes))
        if low < 0 or high >= num_classes:
            raise ValueError(f"{name} classes reach from {low} to {high}; accepted: 0 to {num_classes - 1}")
    image_index = torch.arange(images, dtype=torch.int32, device=pred.device).unsqueeze(1)
    joint = target.reshape(images, -1).int() * num_classes + pred.reshape(images, -1).int()
    joint += image_index * cells
    histogram = torch.bincount(joint.flatten(), minlength=images * cells)
    counts: Counts = histogram.cpu().numpy().reshape(images, num_classes, num_classes)
    return counts


def _ratio(part: Counts, whole: Counts, where_empty: float) -> npt.NDArray[np.float64]:
    empty = np.full(part.shape, where_empty, dtype=np.float64)
    return np.divide(part, whole, out=empty, where=whole > 0)


def _mean(values: npt.NDArray[np.float64] | list[float]) -> float:
    # fsum rounds once: the mean is the same in whatever order workers hand in their images.
    return math.fsum(values) / len(values)
