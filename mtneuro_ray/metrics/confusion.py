"""Counts of predicted and true classes, per image. By hand, because the counts stay integers per image and class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Counts = npt.NDArray[np.int64]


def image_confusions(prediction: Tensor, truth: Tensor, num_classes: int, mask: Tensor | None = None) -> Counts:
    """Pixels of each image by true class (rows) and predicted class (columns).

    Args:
        prediction: (N, ...) integers, on any device.
        truth: The same shape.
        num_classes: Classes, counted from 0.
        mask: The same shape; only pixels where it is true count. None for all.

    Returns:
        (N, num_classes, num_classes).

    Raises:
        ValueError: the shapes differ or a class that counts lies outside [0, num_classes).
    """
    if prediction.shape != truth.shape:
        raise ValueError(f"predictions {tuple(prediction.shape)} and truth {tuple(truth.shape)} differ in shape")
    images, cells = len(prediction), num_classes**2
    if prediction.numel() == 0:
        return np.zeros((images, num_classes, num_classes), dtype=np.int64)
    image = torch.arange(images, dtype=torch.int32, device=prediction.device).unsqueeze(1)
    predicted, true = prediction.reshape(images, -1), truth.reshape(images, -1)
    if mask is not None:
        kept = mask.reshape(images, -1)
        image, predicted, true = image.expand(predicted.shape)[kept], predicted[kept], true[kept]
    for name, classes in (("predicted", predicted), ("true", true)):
        if classes.numel():
            low, high = (int(bound) for bound in torch.aminmax(classes))
            if low < 0 or high >= num_classes:
                raise ValueError(f"{name} classes reach from {low} to {high}; accepted: 0 to {num_classes - 1}")
    joint = true.int() * num_classes + predicted.int() + image * cells
    histogram = torch.bincount(joint.flatten(), minlength=images * cells)
    counts: Counts = histogram.cpu().numpy().reshape(images, num_classes, num_classes)
    return counts
