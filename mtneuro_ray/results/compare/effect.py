"""A difference of two experiments with its interval, from paired seeds and blocks of neighbouring images.

The difference of each pair of seeds is a function of sums over images; its first-order part is a sum over images, too
(linearisation, Binder 1983). Seeds and blocks of images are crossed: every seed was evaluated on the same images. So
the variance of the mean difference is that of a two-way layout without replication, as in studies of several readers
and cases, with Satterthwaite's degrees of freedom (Obuchowski and Rockette 1995; Hillis 2007), and the test is a t-test
on blocks (Ibragimov and Mueller 2010). What fitting the ratios of a metric takes from the blocks is given back
(`leverage`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from mtneuro_ray.results.compare.correlation import Floats, Whole, blocks_of, correlation_of, inflation
from mtneuro_ray.results.compare.leverage import Leverage, leverage_of

LEVEL, POWER = 0.05, 0.8
# With fewer seeds the variance between seeds can't be estimated well enough for a test.
SEEDS = 3
# Fewest blocks for which the test keeps its level; and fewest blocks and positions where there are fewer pieces of
# tissue than that, so that all of the correlation has to be estimated.
BLOCKS = 4
FEW_PIECES, POSITIONS = 8, 200
# Largest share of a class that may lie in one block.
_LARGEST = 0.9

Basis = Literal["seeds and images", "images", "seeds", "nothing"]


@dataclass(frozen=True, slots=True)
class EffectLayout:
    """What a difference was measured on.

    Attributes:
        seeds: Pairs of seeds.
        images: Images of each; 0 where none were compared.
        blocks: Blocks of neighbouring images.
        block: Block length, in positions such as slices.
        correlated: Positions that say together as much as one independent one.
        pieces: Pieces of tissue that the images lie in.
    """

    seeds: int
    images: int = 0
    blocks: int = 0
    block: int = 0
    correlated: float = 1.0
    pieces: int = 0


@dataclass(frozen=True, slots=True)
class Effect:
    """A difference, positive where the first experiment is better.

    Attributes:
        difference: Mean over the pairs of seeds.
        error: Standard error; NaN where it can't be told.
        freedom: Degrees of freedom.
        basis: Sources of variation that the error has.
        layout: What it was measured on.
        seed_std: Standard deviation of the difference between pairs of seeds, for the same images.
        seed_error: Part of the standard error that seeds contribute.
        image_error: Part that images contribute.
        doubts: Why it says less than it seems to, a sentence each.
    """

    difference: float
    error: float
    freedom: float
    basis: Basis
    layout: EffectLayout
    seed_std: float = math.nan
    seed_error: float = math.nan
    image_error: float = math.nan
    doubts: tuple[str, ...] = ()

    @property
    def p(self) -> float:
        """Two-sided p-value of no difference; NaN without an error."""
        from scipy.special import stdtr

        if self.error == 0:
            return 1.0 if self.difference == 0 else 0.0
        return float(2 * stdtr(self.freedom, -abs(self.difference) / self.error)) if self._is_known else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end of the interval with confidence 1 - LEVEL."""
        half = self._critical * self.error if self._is_known else math.nan
        return self.difference - half, self.difference + half

    @property
    def detectable(self) -> float:
        """The smallest true difference that such a comparison finds with probability POWER."""
        from scipy.special import nctdtrinc

        if not self._is_known:
            return math.nan
        return float(nctdtrinc(self.freedom, 1 - POWER, self._critical)) * self.error

    @property
    def _critical(self) -> float:
        from scipy.special import stdtrit

        return float(stdtrit(self.freedom, 1 - LEVEL / 2))

    @property
    def _is_known(self) -> bool:
        return math.isfinite(self.error)


def of_seeds(differences: Floats, doubts: tuple[str, ...] = ()) -> Effect:
    """The effect in differences (S,) of pairs of seeds alone: a paired t-test, on the images as they are."""
    count, mean = len(differences), float(differences.mean())
    if count < 2:
        return Effect(mean, math.nan, math.nan, "nothing", EffectLayout(count), doubts=doubts)
    std = float(differences.std(ddof=1))
    error = std / math.sqrt(count)
    return Effect(mean, error, count - 1, "seeds", EffectLayout(count), std, error, math.nan, doubts)


def of_images(
    differences: Floats, shares: Floats, weights: Floats, pieces: Whole, images: int, block: int | None = None
) -> Effect:
    """The effect in differences of pairs of seeds on the same images.

    With fewer than 3 pairs the effect is that of the trained models at hand: seeds are taken as fixed. With 3 or more
    the wider of the intervals of both sources and of seeds alone is taken, since few seeds may look alike by chance.

    Args:
        differences: (S,) difference of each pair.
        shares: (S, P) first-order part of each position in it; sums to about 0 over positions.
        weights: (P, K) what each position adds to the denominators of the K ratios of the metric.
        pieces: (P,) number of the piece of tissue of each position.
        images: Number of images.
        block: Block length in positions; by default it follows from the correlation.
    """
    count, number = shares.shape
    of_pieces = leverage_of(weights, np.unique(pieces, return_inverse=True)[1])
    correlation = correlation_of(shares.mean(0) * number, pieces, of_pieces.ratios)
    length = block or correlation.block
    blocks = blocks_of(pieces, length)
    of_blocks = leverage_of(weights, blocks)
    size, tissue = int(blocks.max()) + 1, len(np.unique(pieces))
    layout = EffectLayout(count, images, size, length, correlation.positions, tissue)
    alone = replace(of_seeds(differences), layout=layout)
    positions = leverage_of(weights, np.arange(number)).groups
    reason = _too_few(of_blocks, of_pieces, positions)
    if reason:
        return replace(alone, doubts=(reason,))
    sums = np.stack([np.bincount(blocks, own, size).astype(np.float64) for own in shares])
    factor = inflation(correlation, pieces, blocks, of_pieces.ratios)
    effect = _crossed(differences, sums, layout, of_blocks, factor)
    if count < SEEDS or effect.interval[1] >= alone.interval[1]:
        return effect
    return replace(effect, error=alone.error, freedom=alone.freedom)


def _too_few(blocks: Leverage, pieces: Leverage, positions: float) -> str:
    """Why nothing can be said about other images; empty if it can. A mean over all images takes one ratio from each."""
    number = blocks.freedom + 1
    if blocks.largest == 0:
        return "No image has the class: nothing is said about other images."
    if blocks.largest > _LARGEST and round(blocks.groups) >= BLOCKS:
        return (
            f"{100 * blocks.largest:.0f} % of a class lie in one block of images that may be taken for independent, "
            "and each class needs several: nothing is said about other images."
        )
    if round(number) < BLOCKS:
        return (
            f"The images make {number:.0f} blocks that may be taken for independent, and {BLOCKS} are needed: "
            "nothing is said about other images."
        )
    tissue = round(pieces.freedom + 1)
    if tissue < BLOCKS and (round(number) < FEW_PIECES or round(positions) < POSITIONS):
        return (
            f"The images lie at {positions:.0f} positions of {tissue} piece{'s' if tissue > 1 else ''} of tissue; "
            f"{BLOCKS} pieces are needed, or {POSITIONS} positions in {FEW_PIECES} blocks: nothing is said about other "
            "images."
        )
    return ""


def _crossed(differences: Floats, sums: Floats, layout: EffectLayout, leverage: Leverage, factor: float) -> Effect:
    """Seeds crossed with blocks: variance of the mean difference from the mean squares of a two-way layout.

    `sums` (S, B) are the parts of blocks in the differences. `factor` is by how much blocks vary too little.
    """
    count, size = sums.shape
    # Values whose mean over blocks is the difference of a seed, but that every block varies as if it had no leverage.
    table = differences[:, None] + size * leverage.widening * (sums - sums.mean(1, keepdims=True))
    means, mean = table.mean(0), float(differences.mean())
    cells, freedom = count * size, leverage.freedom
    # Mean squares of blocks, of seeds, and of what is left.
    blocks = factor * count * float(((means - mean) ** 2).sum()) / (size - 1)
    if count < SEEDS:
        std, error = float(differences.std(ddof=1)) if count > 1 else math.nan, math.sqrt(blocks / cells)
        return Effect(mean, error, freedom, "images", layout, std, image_error=error)
    seeds = size * float(((differences - mean) ** 2).sum()) / (count - 1)
    left = factor * float(((table - differences[:, None] - means + mean) ** 2).sum()) / ((count - 1) * (size - 1))
    more = max(seeds - left, 0.0)
    total, parts = blocks + more, blocks**2 / freedom
    if more:
        parts += seeds**2 / (count - 1) + left**2 / ((count - 1) * freedom)
    return Effect(
        difference=mean,
        error=math.sqrt(total / cells),
        freedom=total**2 / parts if parts else freedom,
        basis="seeds and images",
        layout=layout,
        seed_std=math.sqrt(more / size),
        seed_error=math.sqrt(more / cells),
        image_error=math.sqrt(blocks / cells),
    )


def holm(p: Floats) -> Floats:
    """p-values (T,) adjusted for T tests by Holm's method (1979); NaN stays NaN and counts as no test."""
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known])]
    adjusted = np.full(len(p), math.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return adjusted
