"""When runs were at work, how long they took, and what that costs."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from mtneuro_ray.results.charts.ranges import thinned
from mtneuro_ray.results.charts.searches import Search
from mtneuro_ray.storage.records import RunRecord

MOST_STEPS = 1000
"""Times at which the number of runs at work is shown."""
_MOST_SECONDS = 200


class Duration(NamedTuple):
    """Seconds of the runs of one search: their number, sum, and sorted values, evenly thinned to at most 200."""

    title: str
    num_runs: int
    total_s: float
    seconds: list[float]

    @property
    def median_s(self) -> float:
        """The median of the shown values."""
        return statistics.median(self.seconds)


class Timings(NamedTuple):
    """Durations by search; hours since the first run's begin -> number of runs at work; hours by host.

    Attributes:
        durations: By search, the longest sum first.
        began_at: Begin of the first run, in seconds since 1970; None if no run file has it.
        at_work: (hours since then, runs at work from then on).
        host_hours: Host -> hours in which at least one run was at work there.
    """

    durations: list[Duration]
    began_at: float | None
    at_work: list[tuple[float, int]]
    host_hours: dict[str, float]

    def cost(self, price_per_node_hour: float) -> float:
        """The price of the hosts while they were at work; idle hours between runs are not in it."""
        return price_per_node_hour * sum(self.host_hours.values())


def timings_of(searches: Iterable[Search], records: Mapping[str, RunRecord]) -> Timings:
    """The timings of runs; those that failed are at work, too, but in no search."""
    durations = []
    for search in searches:
        seconds = sorted(run.seconds for run in search.runs if run.seconds is not None)
        if seconds:
            durations.append(Duration(search.title, len(seconds), sum(seconds), thinned(seconds, _MOST_SECONDS)))
    durations.sort(key=lambda own: -own.total_s)
    spans = _spans(records.values())
    began = min((start for own in spans.values() for start, _ in own), default=None)
    hosts = {host: _covered(own) / 3600 for host, own in sorted(spans.items())}
    steps = _at_work([span for own in spans.values() for span in own], began or 0.0)
    return Timings(durations, began, thinned(steps, MOST_STEPS), hosts)


def _spans(records: Iterable[RunRecord]) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        began, ended = (record.timings.get(key) for key in ("began_at", "ended_at"))
        if began is not None and ended is not None and ended >= began:
            found.setdefault(record.host, []).append((began, ended))
    return found


def _covered(spans: Sequence[tuple[float, float]]) -> float:
    """Seconds that lie in at least one of the spans."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _at_work(spans: Iterable[tuple[float, float]], began: float) -> list[tuple[float, int]]:
    changes: dict[float, int] = {}
    for start, end in spans:
        changes[start] = changes.get(start, 0) + 1
        changes[end] = changes.get(end, 0) - 1
    found, count = [], 0
    for time, change in sorted(changes.items()):
        count += change
        found.append(((time - began) / 3600, count))
    return found
