"""R2 of regressed attributes, as a function of sums over samples."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from mtneuro_ray.metrics.base import Floats, Measure

NAME = "regression"
"""Name of the rows in `storage.image_scores`: (M, A, 2) truth and prediction of A attributes."""


def regression_measures(rows: npt.NDArray[np.float64], names: Sequence[str], averaged: int) -> dict[str, Measure]:
    """R2 of each attribute, "r2/NAME", and "r2_mean" over the first `averaged` of them.

    Args:
        rows: (M, A, 2) true and predicted value of each sample.
        names: (A,) attributes.
        averaged: Number of attributes in the mean.

    Returns:
        Measures of 1 - sum of squared errors / sum of squared deviations from the mean; NaN where all true values are
        equal.
    """
    truth, error = rows[..., 0], rows[..., 1] - rows[..., 0]
    # R2 does not depend on where zero lies, but sums of squares far from it lose digits.
    truth = truth - truth.mean(0)
    sums = np.stack([np.ones_like(truth), truth, truth**2, error**2], axis=-1)
    flat = sums.reshape(len(rows), -1)
    found = {f"r2/{name}": Measure(sums[:, place], _r2) for place, name in enumerate(names)}
    return {**found, "r2_mean": Measure(flat, partial(_mean_r2, averaged=averaged))}


def _r2(totals: npt.NDArray[np.float64]) -> Floats:
    count, total, squares, errors = np.moveaxis(totals, -1, 0)
    deviations = squares - np.divide(total**2, count, out=np.zeros_like(total), where=count > 0)
    share = np.divide(errors, deviations, out=np.full_like(errors, np.nan), where=deviations > 0)
    found: Floats = 1 - share
    return found


def _mean_r2(totals: npt.NDArray[np.float64], averaged: int) -> Floats:
    mean: Floats = _r2(totals.reshape(*totals.shape[:-1], -1, 4))[..., :averaged].mean(-1)
    return mean
