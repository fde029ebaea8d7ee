from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import toeplitz

from mtneuro_ray.results.compare.correlation import (
    Correlation,
    Floats,
    Whole,
    blocks_of,
    correlation_of,
    inflation,
)


def autoregressive(rho: float, count: int, pieces: int, seed: int = 0) -> tuple[Floats, Whole]:
    """AR(1) series of unit variance, one per piece."""
    random = np.random.default_rng(seed)
    values = np.empty((pieces, count))
    values[:, 0] = random.normal(size=pieces)
    for place in range(1, count):
        values[:, place] = rho * values[:, place - 1] + np.sqrt(1 - rho**2) * random.normal(size=pieces)
    return values.ravel(), np.repeat(np.arange(pieces), count)


def test_the_correlation_of_an_autoregressive_series_is_found_where_it_is_significant() -> None:
    values, pieces = autoregressive(0.8, 2000, 8)
    found = correlation_of(values, pieces)
    assert found.lags[:6] == pytest.approx(0.8 ** np.arange(6), abs=0.03)
    assert found.positions == pytest.approx(1.8 / 0.2, rel=0.15)
    # b = (2 rho / (1 - rho**2))**(2/3) (3/2 N)**(1/3) of Politis and White, times 1.5.
    best = (2 * 0.8 / (1 - 0.64)) ** (2 / 3) * (1.5 * len(values)) ** (1 / 3)
    assert found.block == pytest.approx(1.5 * best, rel=0.15)


def test_independent_values_are_blocks_of_their_own() -> None:
    values, pieces = autoregressive(0.0, 500, 4)
    found = correlation_of(values, pieces)
    assert found.block <= 4
    assert found.positions == pytest.approx(1, abs=0.2)


def test_lags_do_not_reach_from_one_piece_to_the_next() -> None:
    values = np.repeat([1.0, -1.0, 3.0], 5)
    found = correlation_of(values, np.repeat(np.arange(3), 5))
    assert len(found.lags) == 5
    assert found.block == 5


def test_equal_values_have_no_correlation() -> None:
    assert correlation_of(np.zeros(6), np.zeros(6, np.int64)).block == 1


def test_pieces_are_cut_into_equal_blocks_of_at_least_the_length() -> None:
    pieces = np.repeat([0, 1, 2], [7, 2, 6])
    found = blocks_of(pieces, 3)
    assert found.tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 3, 4, 4, 4]
    assert blocks_of(pieces, 1).tolist() == list(range(15))
    assert blocks_of(pieces, 100).tolist() == pieces.tolist()


def test_the_inflation_is_that_of_the_expected_squares_of_block_sums() -> None:
    pieces = np.repeat([0, 1], [12, 9])
    blocks, correlation = blocks_of(pieces, 4), Correlation(np.array([0.7**lag for lag in range(12)]), 4)
    whole = np.where(np.equal.outer(pieces, pieces), toeplitz(0.7 ** np.arange(21)), 0)
    member = np.equal.outer(np.unique(blocks), blocks).astype(float)
    sums = member @ whole @ member.T
    size = len(sums)
    centre = np.eye(size) - 1 / size
    expected = np.trace(centre @ sums @ centre) * size / (size - 1)
    assert inflation(correlation, pieces, blocks) == pytest.approx(sums.sum() / expected)


def test_blocks_that_are_independent_need_no_inflation() -> None:
    pieces = np.repeat([0, 1, 2], 4)
    assert inflation(Correlation(np.array([0.7**lag for lag in range(4)]), 4), pieces, pieces) == pytest.approx(1)
