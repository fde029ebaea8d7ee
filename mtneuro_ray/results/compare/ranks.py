"""How stable the order of experiments is: a two-way bootstrap over seeds and blocks of neighbouring images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mtneuro_ray.results.compare.correlation import Floats, blocks_of
from mtneuro_ray.results.compare.effect import SEEDS
from mtneuro_ray.results.compare.series import Series
from mtneuro_ray.rng import Purpose, generator

DRAWS = 2000


class Standing(NamedTuple):
    """Values of one experiment by seed, and the same by position of its images; no series where only values are known.

    `values` are larger where the experiment is better.
    """

    seeds: tuple[int, ...]
    values: Floats
    series: Sequence[Series] = ()


class Ranks(NamedTuple):
    """Results of the bootstrap.

    Attributes:
        first: Share of the draws in which each experiment is the best; equal ones share a draw.
        kendall: Mean of Kendall's tau between the order in a draw and the order of the means; NaN if nothing was drawn.
    """

    first: Floats
    kendall: float


def ranks_of(standings: Sequence[Standing], sign: int, block: int) -> Ranks:
    """Order of experiments under other seeds and images.

    B - 1 of B blocks and S - 1 of S seeds are drawn with replacement, so that the variance is not too small (Rao and Wu
    1988). Seeds are drawn together if all experiments have the same, and kept with fewer than 3 of them. Without series
    only seeds are drawn.

    Args:
        standings: The experiments; their series have the same places.
        sign: -1 if smaller values of the metric are better, else 1.
        block: Block length in positions.
    """
    random = generator(0, 0, Purpose.RANKS)
    draws, number = [_values(standing, sign) for standing in standings], 1
    if all(standing.series for standing in standings):
        blocks = blocks_of(standings[0].series[0].places.pieces, block)
        number = int(blocks.max()) + 1
        if number > 1:
            counts = random.multinomial(number - 1, np.full(number, 1 / number), DRAWS).astype(np.float64)
            weights = counts[:, blocks]
            draws = [
                sign * np.stack([own.value(weights @ own.sums) for own in standing.series], axis=1)
                for standing in standings
            ]
    together = len({standing.seeds for standing in standings}) == 1
    shared = _weights(draws[0].shape[1], random) if together else None
    scores = np.stack(
        [(own * (_weights(own.shape[1], random) if shared is None else shared)).sum(1) for own in draws], axis=1
    )
    scores = np.nan_to_num(scores, nan=-math.inf)
    best = scores == scores.max(1, keepdims=True)
    first: Floats = (best / best.sum(1, keepdims=True)).mean(0)
    if number == 1 and all(len(standing.seeds) < SEEDS for standing in standings):
        return Ranks(np.full(len(standings), math.nan), math.nan)
    means = np.array([float(_values(standing, sign)[0].mean()) for standing in standings])
    one, other = np.triu_indices(len(standings), 1)
    signs = np.sign(scores[:, one] - scores[:, other]) * np.sign(means[one] - means[other])
    return Ranks(first, float(signs.mean()))


def _values(standing: Standing, sign: int) -> Floats:
    """The values of the seeds (DRAWS, S), the same in each draw."""
    values: Floats = sign * np.repeat(standing.values[None], DRAWS, axis=0)
    return values


def _weights(seeds: int, random: np.random.Generator) -> Floats:
    """Weight of each seed in each draw, (DRAWS, S)."""
    if seeds < SEEDS:
        return np.full((DRAWS, seeds), 1 / seeds)
    weights: Floats = random.multinomial(seeds - 1, np.full(seeds, 1 / seeds), DRAWS) / (seeds - 1)
    return weights
