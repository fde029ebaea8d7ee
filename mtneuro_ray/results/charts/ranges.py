"""Values on an axis: fewer of many, evenly, and whether they need a logarithmic scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

# Values that lie farther apart than this need a logarithmic scale; the page's script has the same rule.
_WIDE = 20.0


def thinned(values: Sequence[T], most: int) -> list[T]:
    """At most `most` of the values (two or more), evenly by their place, with the first and the last."""
    if len(values) <= most:
        return list(values)
    return [values[round(place * (len(values) - 1) / (most - 1))] for place in range(most)]


def is_wide(values: Sequence[float]) -> bool:
    """Whether all values are above 0 and lie so far apart that a linear axis would hide the small ones."""
    return bool(values) and min(values) > 0 and max(values) > _WIDE * min(values)
