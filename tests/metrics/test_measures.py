"""Metrics as functions of sums over images: for any sample of images they are the metrics of that sample."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import r2_score

from mtneuro_ray.metrics.base import Measure, Metric, Metrics, PerImageMetric
from mtneuro_ray.metrics.classification import ClassificationMetric
from mtneuro_ray.metrics.regression import regression_measures
from mtneuro_ray.metrics.segmentation import SegmentationMetric
from tests.settings import task_settings


class Each(PerImageMetric):
    name = "each"

    def measure(self, prediction: Any, truth: Any, mask: Any) -> list[float]:
        return []


def confusions(seed: int = 0, images: int = 12, classes: int = 3) -> Any:
    """Of which the last class is rare, and one image has no voxel that counts."""
    counts = np.random.default_rng(seed).poisson(4, (images, classes, classes)) + 20 * np.eye(classes, dtype=int)
    counts[images // 3 :, -1] = 0
    counts[1] = 0
    return counts.astype(np.int64)


def values(measures: Mapping[str, Measure], weights: Any) -> dict[str, Any]:
    """Each measure for samples (R, N) that hold an image as often as its weight says."""
    return {name: measure.value(weights @ measure.sums) for name, measure in measures.items()}


def assert_same(found: Mapping[str, Any], expected: Metrics, place: int) -> None:
    for name, value in found.items():
        wanted = np.array(expected[name], float)
        np.testing.assert_allclose(value[place], wanted, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("absent", ["one", "leave_out"])
@pytest.mark.parametrize("kind", [SegmentationMetric, ClassificationMetric])
def test_measures_of_samples_are_the_metrics_of_the_images_drawn(kind: Any, absent: str) -> None:
    metric, counts, random = kind(task_settings(absent=absent)), confusions(), np.random.default_rng(1)
    draws = random.integers(0, len(counts), (20, len(counts)))
    # A sample without the rare class.
    draws[0] = len(counts) - 1
    weights = np.stack([np.bincount(draw, minlength=len(counts)) for draw in draws])
    found = values(metric.measures(counts), weights)
    assert {"confusion", "truth"} == metric.of(counts).keys() - found.keys()
    for place, draw in enumerate(draws):
        assert_same(found, metric.of(counts[draw]), place)


def test_a_metric_of_numbers_of_images_has_their_means() -> None:
    metric = Each(task_settings())
    rows = np.array([[1.0, math.nan], [2.0, 4.0], [math.nan, math.nan]])
    found = values(metric.measures(rows), np.array([[1, 1, 1], [0, 0, 1], [2, 1, 0]]))
    np.testing.assert_allclose(found["each"], [[1.5, 4], [math.nan] * 2, [4 / 3, 4]])
    np.testing.assert_allclose(found["each_mean"], [2.75, math.nan, 8 / 3])
    assert_same(found, metric.compute(rows[:2].tolist()), 0)


def test_a_metric_without_rows_has_no_measures() -> None:
    class Whole(Metric):
        def update(self, state: Any, prediction: Any, truth: Any, mask: Any) -> Any:
            return state

        def compute(self, state: Any) -> Metrics:
            return {"whole": 1.0}

    metric = Whole(task_settings())
    assert metric.rows([]) is None
    assert metric.measures(np.zeros((0, 1))) == {}


def test_r2_of_samples_is_that_of_scikit_learn_also_far_from_zero() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(1e4, 1, (30, 3))
    rows = np.stack([truth, truth + random.normal(0, 0.5, truth.shape)], axis=-1)
    draws = random.integers(0, 30, (10, 30))
    weights = np.stack([np.bincount(draw, minlength=30) for draw in draws])
    found = values(regression_measures(rows, ("a", "b", "c"), averaged=2), weights)
    for place, draw in enumerate(draws):
        expected = r2_score(rows[draw, :, 0], rows[draw, :, 1], multioutput="raw_values")
        assert [found[f"r2/{name}"][place] for name in "abc"] == pytest.approx(expected)
        assert found["r2_mean"][place] == pytest.approx(np.mean(expected[:2]))


def test_an_attribute_that_is_the_same_everywhere_has_no_r2() -> None:
    rows = np.ones((4, 1, 2))
    measure = regression_measures(rows, ("a",), averaged=1)["r2/a"]
    assert math.isnan(measure.value(measure.sums.sum(0)))
