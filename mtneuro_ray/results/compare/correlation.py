"""Correlation of neighbouring images, and the blocks of images that may be taken for independent.

Images are given as positions along pieces of tissue, such as the slices of a cube. Lags count positions.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

# The rule of Politis and White gives the best length for a variance; a test wants less bias at the price of more noise.
# So blocks are longer by a factor, a lag counts as significant earlier (they: 2 standard errors), and the window is
# wider (they: twice the last significant lag). Chosen by benchmarks/compare_calibration.py.
_LENGTHENED = 1.5
_SIGNIFICANT = 1.5
_WIDTH = 3
# Largest share of the variance of an image that the correction for the estimated mean may add.
_MOST_CORRECTED = 0.9


class Correlation(NamedTuple):
    """Estimated correlation of positions.

    Attributes:
        lags: (K,) correlation at lags 0 to K - 1, 0 from where it cannot be told from noise.
        block: Block length in positions.
    """

    lags: Floats
    block: int

    @property
    def positions(self) -> float:
        """Positions that say together as much as a single independent one: the sum of the correlation over all lags."""
        return max(1.0, float(self.lags[0] + 2 * self.lags[1:].sum()))


def correlation_of(values: Floats, pieces: Whole, means: float = 1) -> Correlation:
    """Correlation of the values of neighbouring positions, over all pieces together.

    The autocorrelation is weighted by the flat-top window of Politis and Romano (1995), whose width follows from the
    lag after which nothing is significant. The block length is that of Politis and White (2004, corrected by
    Patton, Politis and White, 2009) for the circular block bootstrap, times 1.5. Deviations are from the estimated
    mean, which makes correlations look smaller; the variance of that mean is added back.

    Args:
        values: (P,) a number per position, in the order along each piece.
        pieces: (P,) number of the piece of each position; positions of a piece stand together.
        means: Means that are estimated and taken off: more than 1 where each class has its own.
    """
    depths = np.unique(pieces, return_counts=True)[1]
    number, longest = len(values), int(depths.max())
    lags = np.arange(longest)
    # Pairs of positions at each lag.
    pairs = np.maximum(depths[:, None] - lags, 0).sum(0)
    centred = values - values.mean()
    products = [_products(centred[pieces == piece], longest) for piece in np.unique(pieces)]
    raw = np.sum(products, axis=0) / pairs
    if raw[0] <= 0:
        return Correlation(np.ones(1), 1)
    raw = raw / raw[0]
    current = raw
    # Positions behind each mean.
    own = number / means
    for _ in range(2):
        window = _window(current, number)
        spread = np.where(lags == 0, 1, 2) * pairs / number * window
        share = float(spread.sum()) / own
        variance = min(max(float((spread * raw).sum()), 0.0) / own / max(1 - share, 1 - _MOST_CORRECTED), 1.0)
        current = (raw + variance) / (1 + variance)
    found = window * current
    slope, level = 2 * float((lags * found).sum()), float(found[0] + 2 * found[1:].sum())
    # The constant of the circular block bootstrap is 4/3 of the squared spectrum at 0.
    best = (1.5 * (slope / max(level, 1e-3)) ** 2 * number) ** (1 / 3)
    return Correlation(found, min(max(1, round(_LENGTHENED * best)), longest))


def _products(values: Floats, longest: int) -> Floats:
    """Sum of the products of all pairs of values at each lag, (longest,)."""
    size = 1 << (2 * len(values) - 1).bit_length()
    spectrum = np.fft.rfft(values, size)
    products = np.fft.irfft(spectrum * spectrum.conj(), size)[: len(values)]
    return np.pad(products, (0, longest - len(values)))


def _window(correlations: Floats, number: int) -> Floats:
    """Flat-top weights of the lags: 1 up to half of a width set by the last significant lag, then falling."""
    noise = _SIGNIFICANT * math.sqrt(math.log10(max(number, 10)) / number)
    patience = max(5, int(math.sqrt(math.log10(number))))
    is_noise = np.abs(correlations) < noise
    last = len(correlations) - 1
    significant = next((lag for lag in range(last) if is_noise[lag + 1 : lag + 1 + patience].all()), last)
    width = min(max(_WIDTH * significant, 1), max(last, 1))
    weights: Floats = np.clip(2 * (1 - np.arange(len(correlations)) / width), 0, 1)
    return weights


def blocks_of(pieces: Whole, length: int) -> Whole:
    """Number of the block of each position, (P,): each piece in equal blocks of at least `length` positions if it can.

    A piece that is shorter is one block.
    """
    found, first = np.empty_like(pieces), 0
    for piece in np.unique(pieces):
        here = pieces == piece
        depth = int(here.sum())
        count = max(1, depth // length)
        found[here] = first + np.arange(depth) * count // depth
        first += count
    return found


def inflation(correlation: Correlation, pieces: Whole, blocks: Whole, means: float = 1) -> float:
    """Factor by which sums of blocks vary too little, as neighbouring blocks are correlated; 1 or more.

    Ratio of the variance of the sum over all positions, and the expectation of B / (B - M) times the squared deviations
    of B block sums from M means, under the estimated correlation.
    """
    total = sum(
        _variance_of_sum(correlation.lags, depth) for depth in np.unique(pieces, return_counts=True)[1].tolist()
    )
    sizes = np.unique(blocks, return_counts=True)[1].tolist()
    within, number = sum(_variance_of_sum(correlation.lags, size) for size in sizes), len(sizes)
    expected = (within - means * total / number) * number / (number - means) if number > means else 0.0
    return max(1.0, total / expected) if expected > 0 and total > 0 else 1.0


def _variance_of_sum(correlations: Floats, count: int) -> float:
    """Variance of the sum of neighbouring values, in units of that of one."""
    lags = np.arange(min(len(correlations), count))
    weights = np.where(lags == 0, 1, 2) * (count - lags)
    return float((weights * correlations[: len(lags)]).sum())
