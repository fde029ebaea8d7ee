"""The candidates of a search over all its axes, for parallel coordinates."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from mtneuro_ray.results.charts.ranges import is_wide, thinned
from mtneuro_ray.results.charts.searches import Search
from mtneuro_ray.results.frame import Run
from mtneuro_ray.results.methods import by_method, differences, short

MOST_LINES = 300
"""Candidates of one search that are shown: the best, and others evenly by their rank."""


class Axis(NamedTuple):
    """One axis: its name; its sorted values where it has a place for each, else None; whether it is logarithmic."""

    name: str
    values: list[Any] | None
    is_log: bool


class Candidate(NamedTuple):
    """A candidate: the id of its first run, its place on each axis (a value, or the number of one), and its score.

    The score is the mean over its seeds; None if it was stopped or diverged.
    """

    run_id: str
    places: list[float]
    score: float | None


class Parallel(NamedTuple):
    """Candidates in rising order of their rank, so that the best is drawn last, and the number of others."""

    metric: str
    sign: int
    axes: list[Axis]
    candidates: list[Candidate]
    left_out: int


def parallel_of(search: Search, most: int = MOST_LINES) -> Parallel | None:
    """The candidates over the axes in which they differ; None if they differ in none or no metric judges them."""
    paths = differences(search.candidates)
    if not paths or search.metric is None:
        return None
    axes = [_axis(short(path, search.candidates[0].network), values) for path, values in paths.items()]
    places = [{json.dumps(value): place for place, value in enumerate(values)} for values in paths.values()]
    found = []
    for seeds in by_method(search.candidates):
        values: list[Any] = [seeds[0].network.get(path) for path in paths]
        own = [
            float(known[json.dumps(value)] if axis.values is not None else value)
            for axis, known, value in zip(axes, places, values, strict=True)
        ]
        found.append(Candidate(seeds[0].run_id, own, _score(seeds, search.metric)))
    found.sort(key=lambda candidate: (candidate.score is not None, search.sign * (candidate.score or 0.0)))
    shown = thinned(found, most)
    return Parallel(search.metric, search.sign, axes, shown, len(found) - len(shown))


def _axis(name: str, values: Sequence[Any]) -> Axis:
    numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if len(numbers) < len(values):
        return Axis(name, list(values), False)
    return Axis(name, None, is_wide(numbers))


def _score(seeds: Sequence[Run], metric: str) -> float | None:
    values = [run.metric(metric) if run.status == "done" else None for run in seeds]
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) else None
