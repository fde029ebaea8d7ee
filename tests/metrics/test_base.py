"""The contract: shards in any order merge to the metrics of the whole, to the bit, confusions or not."""

from __future__ import annotations

import json
import math
import pickle
from functools import reduce
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtneuro_ray.metrics import METRICS
from mtneuro_ray.metrics.base import Metric
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
