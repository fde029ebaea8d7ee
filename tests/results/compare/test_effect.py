from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from benchmarks.compare_calibration import Setting, judged, rates_of, simulated
from mtneuro_ray.results.compare.effect import Effect, EffectLayout, holm, of_images, of_seeds


def effect_of(images: Any, block: int | None = None) -> Effect:
    """The effect in differences (S, pieces, positions)."""
    flat = images.reshape(len(images), -1)
    means = flat.mean(1)
    pieces = np.repeat(np.arange(images.shape[1]), images.shape[2])
    shares, weights = (flat - means[:, None]) / flat.shape[1], np.ones((flat.shape[1], 1))
    return of_images(means, shares, weights, pieces, flat.shape[1], block)


def test_one_seed_is_a_t_test_on_the_means_of_blocks() -> None:
    images = simulated(Setting(1, 6, 20, 0), 1, np.random.default_rng(0))[0] + 0.2
    found = effect_of(images, block=20)
    expected = stats.ttest_1samp(images[0].mean(1), 0)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval()))
    assert (found.basis, found.layout.blocks, found.layout.images) == ("images", 6, 120)


def test_a_mean_of_classes_with_blocks_of_their_own_is_a_stratified_t_test() -> None:
    images = simulated(Setting(1, 12, 5, 0), 1, np.random.default_rng(0))[0]
    of_class = images[0].mean(1).reshape(4, 3)
    variance = (of_class.var(0, ddof=1) / 4).sum() / 3**2
    flat = images.reshape(1, -1)
    weights = np.eye(3)[np.repeat(np.arange(12) % 3, 5)]
    shares = (flat - of_class.mean(0) @ weights.T) / 60
    found = of_images(flat.mean(1), shares, weights, np.repeat(np.arange(12), 5), 60, block=5)
    assert (found.error**2, found.freedom) == pytest.approx((variance, 9))


def test_the_mean_of_one_class_is_a_t_test_on_its_own_blocks() -> None:
    images = simulated(Setting(1, 6, 20, 0), 1, np.random.default_rng(0))[0]
    expected = stats.ttest_1samp(images[0].mean(1), 0)
    other = np.concatenate([images, np.zeros((1, 9, 20))], axis=1)
    weights = np.repeat([1.0] * 6 + [0.0] * 9, 20)[:, None]
    flat = other.reshape(1, -1)
    means = images.reshape(1, -1).mean(1)
    shares = (flat - means[:, None]) * weights.T / 120
    found = of_images(means, shares, weights, np.repeat(np.arange(15), 20), 300, block=20)
    assert (found.p, found.freedom) == pytest.approx((expected.pvalue, 5))


def test_a_class_that_no_image_has_is_judged_by_seeds_alone() -> None:
    found = of_images(np.zeros(3), np.zeros((3, 40)), np.zeros((40, 1)), np.repeat(np.arange(4), 10), 40)
    assert found.basis == "seeds"
    assert found.doubts == ("No image has the class: nothing is said about other images.",)


@pytest.mark.parametrize("cubes", [4, 5])
def test_a_class_in_a_single_block_says_nothing_of_other_images(cubes: int) -> None:
    images = simulated(Setting(3, cubes, 12, 100.0, noise=0.01), 1, np.random.default_rng(2))[0]
    found = judged(images, classes=4)
    assert found.basis == "seeds"
    assert "nothing is said about other images" in found.doubts[0]


def test_seeds_alone_are_a_paired_t_test() -> None:
    differences = np.array([0.1, 0.3, 0.2, 0.25])
    expected = stats.ttest_1samp(differences, 0)
    found = of_seeds(differences)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval()))
    assert found.seed_error == found.error


def test_a_single_seed_without_images_says_nothing() -> None:
    found = of_seeds(np.array([0.1]))
    assert found.basis == "nothing"
    assert all(map(math.isnan, (found.p, *found.interval, found.detectable)))


def test_seeds_crossed_with_blocks_have_the_mean_squares_of_a_two_way_layout() -> None:
    random = np.random.default_rng(3)
    seeds, blocks = 5, 8
    table = random.normal(size=(seeds, 1)) * 0.2 + random.normal(size=blocks) * 0.5
    table = table + random.normal(size=(seeds, blocks)) * 0.1 + 0.3
    found = effect_of(table[:, :, None].repeat(4, axis=2), block=4)
    mean, rows, columns = table.mean(), table.mean(1, keepdims=True), table.mean(0, keepdims=True)
    of_rows = blocks * ((rows - mean) ** 2).sum() / (seeds - 1)
    of_columns = seeds * ((columns - mean) ** 2).sum() / (blocks - 1)
    rest = ((table - rows - columns + mean) ** 2).sum() / ((seeds - 1) * (blocks - 1))
    variance = (of_rows + of_columns - rest) / (seeds * blocks)
    freedom = (of_rows + of_columns - rest) ** 2 / (
        of_rows**2 / (seeds - 1) + of_columns**2 / (blocks - 1) + rest**2 / ((seeds - 1) * (blocks - 1))
    )
    assert (found.error, found.freedom) == pytest.approx((math.sqrt(variance), freedom))
    assert found.error**2 == pytest.approx(found.seed_error**2 + found.image_error**2)
    assert found.seed_std == pytest.approx(math.sqrt((of_rows - rest) / blocks))


def test_seeds_that_differ_widen_the_interval_and_their_part_is_told() -> None:
    random = np.random.default_rng(0)
    calm, wild = (simulated(Setting(5, 4, 50, 2, seed=seed), 1, random)[0] for seed in (0.0, 2.0))
    found = [effect_of(images) for images in (calm, wild)]
    assert found[0].seed_error < found[0].image_error
    assert found[1].seed_error > found[1].image_error
    assert found[1].seed_std == pytest.approx(2, rel=0.7)


def test_the_smallest_detectable_difference_is_found_8_times_of_10() -> None:
    effect = Effect(0.0, 0.5, 7.0, "images", EffectLayout(1))
    least = effect.detectable
    critical = stats.t.ppf(0.975, 7)
    assert stats.nct.sf(critical, 7, least / 0.5) == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("cubes", "slices", "length", "word"),
    [(3, 16, 50.0, "3 blocks"), (1, 60, 2.0, "60 positions of 1 piece of tissue")],
)
def test_too_few_images_are_refused_and_seeds_judge_alone(cubes: int, slices: int, length: float, word: str) -> None:
    images = simulated(Setting(4, cubes, slices, length), 1, np.random.default_rng(1))[0]
    found = judged(images)
    assert found.basis == "seeds"
    assert found.p == pytest.approx(stats.ttest_1samp(images.mean((1, 2)), 0).pvalue)
    assert word in found.doubts[0]


def test_equal_models_do_not_differ() -> None:
    found = effect_of(np.zeros((3, 4, 20)))
    assert (found.difference, found.p) == (0.0, 1.0)


def test_holm_s_adjustment_is_that_of_his_paper_and_keeps_missing_tests_apart() -> None:
    found = holm(np.array([0.01, math.nan, 0.04, 0.03, 0.005]))
    assert found.tolist() == pytest.approx([0.03, math.nan, 0.06, 0.06, 0.02], nan_ok=True)
    assert holm(np.array([0.6, 0.9])).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("setting", [Setting(1, 4, 50, 5), Setting(3, 12, 20, 2, seed=0.3)])
def test_equal_models_with_correlated_images_are_told_apart_5_times_of_100_and_naively_often(setting: Setting) -> None:
    """benchmarks/compare_calibration.py has the rates of more settings, measured to half a percent."""
    rates = rates_of(setting, 400, np.random.default_rng(0))
    assert 0.02 < rates.found < 0.085
    assert rates.naive > 0.12
    assert rates.power > 0.3
    assert rates.refused == 0
