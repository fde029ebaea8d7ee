from __future__ import annotations

import numpy as np
import pytest

from mtneuro_ray.results.compare.leverage import leverage_of


def test_a_mean_over_all_images_fits_one_ratio_to_equal_groups() -> None:
    found = leverage_of(np.ones((12, 1)), np.repeat(np.arange(4), 3))
    assert (found.groups, found.ratios, found.freedom) == pytest.approx((4, 1, 3))
    assert found.widening == pytest.approx(np.ones(4))


def test_each_class_in_groups_of_its_own_costs_a_degree_of_freedom() -> None:
    weights = np.eye(4)[np.repeat(np.arange(8) % 4, 5)]
    found = leverage_of(weights, np.repeat(np.arange(8), 5))
    assert (found.groups, found.ratios, found.freedom) == pytest.approx((8, 4, 4))
    assert found.widening**2 == pytest.approx(np.full(8, (1 - 1 / 8) / (1 - 1 / 2)))


def test_classes_that_lie_in_the_same_groups_are_fitted_together() -> None:
    found = leverage_of(np.tile([0.7, 0.2, 0.1], (12, 1)), np.repeat(np.arange(4), 3))
    assert (found.groups, found.ratios) == pytest.approx((4, 1))


def test_groups_without_weight_do_not_count() -> None:
    weights = np.repeat([[1.0], [0.0]], 6, axis=0)
    found = leverage_of(weights, np.repeat(np.arange(4), 3))
    assert (found.groups, found.ratios, found.largest) == pytest.approx((2, 1, 0.5))


def test_a_class_that_nothing_has_is_no_part() -> None:
    weights = np.stack([np.ones(6), np.zeros(6)], axis=1)
    assert leverage_of(weights, np.arange(6)).ratios == pytest.approx(1)
