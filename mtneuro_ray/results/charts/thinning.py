"""Fewer of many values, evenly, so that a chart can show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def thinned(values: Sequence[T], most: int) -> list[T]:
    """At most `most` of the values (two or more), evenly by their place, with the first and the last."""
    if len(values) <= most:
        return list(values)
    return [values[round(place * (len(values) - 1) / (most - 1))] for place in range(most)]
