"""The streams of random numbers: each separate from the others, and equal to what they were in the first protocol."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtneuro_ray.rng import Purpose, epoch_order, generator, layer_seed, sample_words


def test_values_are_those_of_the_protocol() -> None:
    assert epoch_order(8, 1, 2).tolist() == [7, 0, 5, 4, 6, 2, 3, 1]
    expected = {
        Purpose.VIEWS: [0.5779564568934563, 0.6488999132771528, 0.359387734178617],
        Purpose.MINING: [0.4778362714763801, 0.2653866541654655, 0.6532468448269586],
        Purpose.HEADS: [0.8575288560386622, 0.4314429585347388, 0.7391896984757061],
    }
    for purpose, numbers in expected.items():
        assert generator(3, 7, purpose).random(3).tolist() == numbers
    symmetries, rows, columns = sample_words(3, 5, [0, 1, 7, 1000], 3)
    assert (symmetries % np.uint64(16)).tolist() == [9, 2, 0, 6]
    assert (rows % np.uint64(9)).tolist() == [8, 7, 7, 6]
    assert (columns % np.uint64(13)).tolist() == [2, 9, 11, 3]
    seeds = [layer_seed(3, 5, layer) % 2**64 for layer in (0, 1, -1)]
    assert seeds == [9351268234297205193, 13317006217339749221, 3967679825107003231]


def test_streams_of_other_seeds_steps_and_purposes_share_no_number() -> None:
    keys = list(product((0, 1), (0, 1), Purpose))
    drawn = {key: generator(*key).random(50) for key in keys}
    for first, second in combinations(keys, 2):
        assert not np.isin(drawn[first], drawn[second]).any()


@given(st.integers(1, 300), st.integers(0, 2**32 - 1), st.integers(0, 500))
def test_the_order_of_an_epoch_has_every_sample_once(count: int, seed: int, epoch: int) -> None:
    assert sorted(epoch_order(count, seed, epoch).tolist()) == list(range(count))


def test_orders_differ_between_seeds_and_epochs() -> None:
    assert len({tuple(epoch_order(50, seed, epoch)) for seed in range(4) for epoch in range(4)}) == 16


@pytest.mark.parametrize("cut", [0, 2, 5])
def test_words_of_a_sample_do_not_depend_on_its_batch(cut: int) -> None:
    samples = [5, 0, 7, 1, 10**6]
    whole = sample_words(2, 3, samples, 2)
    parts = [
        np.concatenate(words)
        for words in zip(*(sample_words(2, 3, part, 2) for part in (samples[:cut], samples[cut:])), strict=True)
    ]
    for one, other in zip(parts, whole, strict=True):
        np.testing.assert_array_equal(one, other)
