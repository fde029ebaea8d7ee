"""Selection of the best candidate of a search: the only place where candidates are compared."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mtneuro_ray.config.axes import Scalar
from mtneuro_ray.config.space import Mode


@dataclass(frozen=True, slots=True)
class Scored:
    """A candidate with its validation values.

    Attributes:
        candidate: Searched key -> value.
        values: One per seed that the search asks for; None where the run has no number.
    """

    candidate: Mapping[str, Scalar]
    values: tuple[float | None, ...]

    @property
    def mean(self) -> float | None:
        """Mean over the seeds; None unless every seed has a finite value."""
        known = [value for value in self.values if value is not None and math.isfinite(value)]
        return statistics.fmean(known) if known and len(known) == len(self.values) else None

    @property
    def std(self) -> float:
        """Sample standard deviation (ddof 1) over the seeds; 0 for a single seed."""
        known = [value for value in self.values if value is not None]
        return statistics.stdev(known) if len(known) > 1 else 0.0


@dataclass(frozen=True, slots=True)
class Selection:
    """The selected candidate and its rivals.

    Attributes:
        best: The candidate with the best mean; the first of equals.
        ties: Other candidates with exactly the same mean.
        close: Other candidates within one standard deviation (over the best's seeds) of the best, ties left out.
    """

    best: Scored
    ties: tuple[Scored, ...]
    close: tuple[Scored, ...]


def select(scored: Sequence[Scored], mode: Mode) -> Selection | None:
    """The best of some candidates by the mean over seeds.

    Args:
        scored: Candidates in the order of their search, which decides between equals.
        mode: Whether larger ("max") or smaller ("min") values are better.

    Returns:
        None where no candidate has a finite value for each of its seeds.
    """
    sign = 1.0 if mode == "max" else -1.0
    known = [(candidate, mean) for candidate in scored if (mean := candidate.mean) is not None]
    if not known:
        return None
    best, best_mean = max(known, key=lambda pair: sign * pair[1])
    others = [(candidate, mean) for candidate, mean in known if candidate is not best]
    ties = tuple(candidate for candidate, mean in others if mean == best_mean)
    close = tuple(candidate for candidate, mean in others if mean != best_mean and abs(best_mean - mean) <= best.std)
    return Selection(best, ties, close)
