"""How much of a metric rests on each group of images, and what that leaves to estimate its error from.

A metric that is the mean of ratios, such as the recall of each class, fits every ratio to the images it is tested on.
What is left of a group that carries a share h of a ratio varies with 1 - h of its own variance (the leverage of the
group); of the only group of a class nothing is left at all, however uncertain the class is. MacKinnon and White (1985),
Bell and McCaffrey (2002).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mtneuro_ray.results.compare.correlation import Floats, Whole


class Leverage(NamedTuple):
    """Weight of groups of images in a metric.

    Attributes:
        groups: Groups that say as much, each with the same weight, as those there are (inverse Simpson index).
        ratios: Ratios that are fitted to the groups, of which those on the same groups count as one.
        shares: (G,) share of each group in the ratios that it is part of, weighted by these shares.
        largest: The largest share of a group in any ratio.
    """

    groups: float
    ratios: float
    shares: Floats
    largest: float

    @property
    def freedom(self) -> float:
        """Degrees of freedom of a variance between the groups."""
        return self.groups - self.ratios

    @property
    def widening(self) -> Floats:
        """Factors (G,) of what groups add to the metric, for which they vary as if nothing had been fitted.

        In units of a mean over the same number of groups, which has a factor of its own, (G - 1) / G.
        """
        alike = 1 - 1 / len(self.shares)
        found: Floats = np.sqrt(np.maximum(alike / (1 - self.shares), 1))
        return found


def leverage_of(weights: Floats, groups: Whole) -> Leverage:
    """The leverage of groups; that of a single one where nothing has a weight, as of a class that no image has.

    Args:
        weights: (P, K) what each position adds to the denominators of K ratios.
        groups: (P,) number of the group of each position, from 0.
    """
    totals = weights.sum(0)
    if not (totals > 0).any():
        return Leverage(1.0, 1.0, np.zeros(int(groups.max()) + 1), 0.0)
    shares = np.zeros((int(groups.max()) + 1, int((totals > 0).sum())))
    np.add.at(shares, groups, weights[:, totals > 0] / totals[totals > 0])
    of_group, of_all = shares.sum(1), shares.mean(1)
    own = np.divide((shares**2).sum(1), of_group, out=np.zeros_like(of_group), where=of_group > 0)
    return Leverage(1 / float((of_all**2).sum()), float(own.sum()), own, float(shares.max()))
