from __future__ import annotations

import math

import numpy as np
import pytest

from mtneuro_ray.results.compare.correlation import Floats
from mtneuro_ray.results.compare.ranks import Standing, ranks_of
from mtneuro_ray.results.compare.series import Places, Series

POSITIONS = 40
PLACES = Places(np.repeat([0, 1], 20), POSITIONS, np.arange(POSITIONS), np.zeros((POSITIONS, 4), np.int64))


def standing(means: list[float], noise: float = 1.0, seed: int = 0) -> Standing:
    """An experiment whose metric is the mean over images, with a value per seed."""
    random = np.random.default_rng(seed)
    series = []
    for mean in means:
        values = random.normal(size=POSITIONS) * noise
        sums: Floats = np.stack([values - values.mean() + mean, np.ones(POSITIONS)], axis=1)
        series.append(Series(PLACES, sums, sums[:, 1:], lambda totals: totals[..., 0] / totals[..., 1]))
    return Standing(tuple(range(len(means))), np.array(means), series)


def test_the_better_of_two_distant_experiments_is_always_first() -> None:
    found = ranks_of([standing([5.0, 5.1, 4.9]), standing([1.0, 1.1, 0.9], seed=1)], 1, 5)
    assert found.first.tolist() == [1.0, 0.0]
    assert found.kendall == 1.0
    turned = ranks_of([standing([5.0, 5.1, 4.9]), standing([1.0, 1.1, 0.9], seed=1)], -1, 5)
    assert turned.first.tolist() == [0.0, 1.0]


def test_equal_experiments_share_the_first_place() -> None:
    found = ranks_of([standing([1.0], seed=3), standing([1.0], seed=4)], 1, 5)
    assert found.first.tolist() == pytest.approx([0.5, 0.5], abs=0.15)
    assert found.first.sum() == pytest.approx(1)


def test_a_draw_of_images_varies_as_their_mean_does() -> None:
    """B - 1 of B blocks: the variance of the mean of B independent blocks, without bias."""
    first, second = standing([0.0], seed=5), standing([0.0], noise=1e-9)
    size = np.mean([own.sums[:, 0].reshape(-1, 5).mean(1).std(ddof=1) for own in first.series]) / math.sqrt(8)
    shifted = Standing(second.seeds, second.values + size, standing([size], noise=1e-9).series)
    share = ranks_of([first, shifted], 1, 5).first[0]
    # One standard error above the mean of a normal variable.
    assert share == pytest.approx(0.16, abs=0.03)


def test_without_images_seeds_alone_are_drawn_and_few_seeds_say_nothing() -> None:
    close = [Standing((0, 1, 2), np.array(values)) for values in ([0.5, 0.9, 0.7], [0.6, 0.7, 0.8])]
    found = ranks_of(close, 1, 1)
    assert 0 < found.first[0] < 1
    nothing = ranks_of([Standing((0,), np.array([1.0])), Standing((0,), np.array([2.0]))], 1, 1)
    assert math.isnan(nothing.kendall)
    assert np.isnan(nothing.first).all()
