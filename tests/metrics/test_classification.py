from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from mtneuro_ray.metrics.base import image_confusions
from mtneuro_ray.metrics.classification import ClassificationMetric
from tests.metrics.data import random_pair
from tests.settings import task_settings

METRIC = ClassificationMetric(task_settings(absent="one"))


def test_values_equal_those_of_scikit_learn() -> None:
    pred, target = random_pair((50,), 4)
    metrics: Any = METRIC.of(image_confusions(pred, target, 4))
    assert metrics["accuracy"] == pytest.approx(sk.accuracy_score(target, pred))
    assert metrics["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(target, pred))
    assert metrics["f1_mean"] == pytest.approx(sk.f1_score(target, pred, average="macro"))
    for name in ("recall", "precision", "f1"):
        reference = getattr(sk, f"{name}_score")(target, pred, average=None)
        assert metrics[name] == pytest.approx(reference)


def test_balanced_accuracy_leaves_out_classes_without_truth() -> None:
    metrics: Any = METRIC.of(np.array([[[3, 1, 0], [0, 0, 0], [2, 0, 2]]]))
    assert metrics["balanced_accuracy"] == pytest.approx((3 / 4 + 2 / 4) / 2)
    assert metrics["recall"] == [0.75, 0.0, 0.5]
    assert metrics["precision"] == [0.6, 0.0, 1.0]
    assert metrics["truth"] == [4, 0, 4]
    own: Any = ClassificationMetric(task_settings()).of(np.array([[[3, 1, 0], [0, 0, 0], [2, 0, 2]]]))
    assert {key: own[key] for key in ("accuracy", "balanced_accuracy", "truth")} == {
        key: metrics[key] for key in ("accuracy", "balanced_accuracy", "truth")
    }
    np.testing.assert_equal(own["recall"], [0.75, np.nan, 0.5])
    np.testing.assert_equal(own["precision"], [0.6, np.nan, 1.0])
    assert own["f1_mean"] == pytest.approx((own["f1"][0] + own["f1"][2]) / 2)
    assert metrics["f1_mean"] == pytest.approx((own["f1"][0] + 0 + own["f1"][2]) / 3)


def test_nothing_to_measure_is_an_error() -> None:
    with pytest.raises(ValueError, match="no sample"):
        METRIC.of(np.zeros((2, 4, 4), dtype=np.int64))
