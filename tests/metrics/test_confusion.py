from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from mtneuro_ray.metrics.confusion import image_confusions
from tests.metrics.data import random_pair


def slow_counts(pred: Tensor, target: Tensor, mask: Tensor, classes: int) -> list[list[list[int]]]:
    found = np.zeros((len(pred), classes, classes), int)
    for image, (own, true, valid) in enumerate(zip(pred, target, mask, strict=True)):
        for p, t, v in zip(own.flatten().tolist(), true.flatten().tolist(), valid.flatten().tolist(), strict=True):
            found[image, t, p] += v
    counts: list[list[list[int]]] = found.tolist()
    return counts


@pytest.mark.parametrize("shape", [(3, 7, 5), (2, 3, 4, 5), (4,)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
@pytest.mark.parametrize("masked", [False, True])
def test_counts_equal_a_slow_count(shape: tuple[int, ...], dtype: torch.dtype, masked: bool) -> None:
    pred, target = random_pair(shape, 4)
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(3)) < (0.5 if masked else 2)
    counts = image_confusions(pred.to(dtype), target.to(dtype), 4, mask if masked else None)
    assert counts.dtype == np.int64
    assert counts.tolist() == slow_counts(pred, target, mask, 4)


def test_counts_of_uint8_labels_do_not_wrap_around() -> None:
    pred = torch.full((300, 2, 2), 19, dtype=torch.uint8)
    counts = image_confusions(pred, pred, 20)
    assert (counts[:, 19, 19] == 4).all()
    assert counts.sum() == 1200


def test_counts_of_no_image() -> None:
    empty = torch.empty(0, 4, 4, dtype=torch.int64)
    assert image_confusions(empty, empty, 3).shape == (0, 3, 3)


@pytest.mark.parametrize(("bad", "message"), [(4, "0 to 4"), (-1, "-1 to 0")])
def test_classes_out_of_range_are_refused_where_they_count(bad: int, message: str) -> None:
    pred = torch.tensor([[[0, bad]]])
    with pytest.raises(ValueError, match=f"predicted classes reach from {message}"):
        image_confusions(pred, torch.zeros_like(pred), 4)
    assert image_confusions(pred, torch.zeros_like(pred), 4, pred == 0).sum() == 1


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        image_confusions(torch.zeros(2, 3, dtype=torch.int64), torch.zeros(3, 2, dtype=torch.int64), 2)
