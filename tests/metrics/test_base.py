"""Counts of confusions, and the contract: shards in any order merge to the metrics of the whole, to the bit."""

from __future__ import annotations

import json
import math
import pickle
from functools import reduce
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mtneuro_ray.metrics import METRICS
from mtneuro_ray.metrics.base import Metric, image_confusions
from tests.metrics.data import random_pair
from tests.settings import task_settings

SURFACE = "examples.plugin.mtneuro_example.metric:SURFACE_DISTANCE"


def metric_of(name: str) -> Metric:
    built: Metric = METRICS.find(name).resolve()(task_settings())
    return built


@pytest.mark.parametrize("name", ["segmentation", "classification", SURFACE])
@settings(max_examples=25)
@given(images=st.integers(1, 9), seed=st.integers(0, 2**31), data=st.data())
def test_shards_in_any_order_give_the_metrics_of_the_whole(
    name: str, images: int, seed: int, data: st.DataObject
) -> None:
    metric = metric_of(name)
    prediction, truth = random_pair((images, 5, 4), 3, seed)
    mask = torch.rand(truth.shape, generator=torch.Generator().manual_seed(seed)) < 0.95
    whole = metric.update(metric.init(), prediction, truth, mask)
    order = list(data.draw(st.permutations(range(images))))
    cut = data.draw(st.integers(0, images))
    shards = [
        pickle.loads(pickle.dumps(metric.update(metric.init(), prediction[s], truth[s], mask[s])))
        for s in (order[:cut], order[cut:])
    ]
    found, expected = (json.dumps(metric.compute(state)) for state in (reduce(metric.merge, shards), whole))
    assert found == expected


def test_values_of_images_are_averaged_over_those_that_have_one() -> None:
    metric = metric_of(SURFACE)
    truth = torch.zeros(3, 9, 9, dtype=torch.int64)
    truth[0, 2:7, 2:7], truth[1, 2:7, 2:7] = 1, 1
    prediction = truth.clone()
    prediction[1] = truth[1].roll(1, 0)
    found: dict[str, Any] = metric.compute(metric.update(metric.init(), prediction, truth, None))
    of_classes = found["surface_distance"]
    # Equal in the first image, a row apart in the second; class 1 is not in the third, class 2 nowhere.
    assert 0 < of_classes[1] < 0.5
    assert math.isnan(of_classes[2])
    assert found["surface_distance_mean"] == pytest.approx((of_classes[0] + of_classes[1]) / 2)


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
