"""Learning curves of a search: its candidates, and the seeds of each method with their mean and deviation."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from mtneuro_ray.results.charts.ranges import is_wide, thinned
from mtneuro_ray.results.charts.searches import Search
from mtneuro_ray.results.frame import Run
from mtneuro_ray.results.methods import by_method, differences, label_of
from mtneuro_ray.storage.records import RunRecord

SPREAD = "train/feature_std"
"""Deviation of the features between images in self-supervised training: 0 if the encoder has collapsed."""
MOST_CANDIDATES = 60
"""Candidates of one search whose curves are shown: the best, and others evenly by their rank."""

Curve = dict[int, float]


class Line(NamedTuple):
    """The curve of one run: epoch -> value."""

    run_id: str
    label: str
    curve: Curve


class SeedCurves(NamedTuple):
    """The curves of the seeds of one method, and their mean and sample deviation at the epochs that all have.

    `mean` and `std` are empty for a single seed.
    """

    label: str
    lines: list[Line]
    mean: Curve
    std: Curve


class Panel(NamedTuple):
    """The curves of one metric in a search.

    Attributes:
        is_log: Whether the values lie so far apart that a logarithmic scale is needed.
        candidates: Candidates that came to their end.
        stopped: Candidates that were stopped early.
        methods: Final runs.
        left_out: Number of candidates that are not shown.
    """

    metric: str
    is_log: bool
    candidates: list[Line]
    stopped: list[Line]
    methods: list[SeedCurves]
    left_out: int


def curve_runs(search: Search) -> list[Run]:
    """The runs whose curves are shown: candidates evenly by rank from the best on, and the final runs."""
    return [*thinned(search.ranked(search.candidates), MOST_CANDIDATES), *search.finals]


def panels_of(search: Search, records: Mapping[str, RunRecord]) -> list[Panel]:
    """Training loss, validation metric and spread of features by epoch, as far as they were recorded.

    Args:
        search: Runs of one search.
        records: Run id -> run file, which has the history; a run without one has no curve.
    """
    shown = [run for run in curve_runs(search) if run.run_id in records]
    there = {key for run in shown for entry in records[run.run_id].history for key in entry}
    keys = [key for key in ("train/loss", search.metric, SPREAD) if key is not None and key in there]
    return [_panel(search, shown, key, records) for key in keys]


def _panel(search: Search, shown: Sequence[Run], key: str, records: Mapping[str, RunRecord]) -> Panel:
    searched = differences(search.candidates)

    def lines(runs: Iterable[Run], paths: Iterable[str]) -> list[Line]:
        told = list(paths)
        return [Line(run.run_id, label_of(run, told), curve_of(records[run.run_id], key)) for run in runs]

    candidates = [run for run in shown if run.summary["role"] == "candidate"]
    finals = [run for run in shown if run.summary["role"] == "final"]
    differing = differences(finals)
    methods = [_seeds(label_of(seeds[0], differing), lines(seeds, ["seed"])) for seeds in by_method(finals)]
    found = Panel(
        key,
        False,
        lines((run for run in candidates if run.status != "stopped"), searched),
        lines((run for run in candidates if run.status == "stopped"), searched),
        methods,
        len(search.candidates) - len(candidates),
    )
    return found._replace(is_log=key.endswith("loss") and _needs_log(found))


def _seeds(label: str, lines: list[Line]) -> SeedCurves:
    if len(lines) < 2:
        return SeedCurves(label, lines, {}, {})
    curves = [line.curve for line in lines]
    mean = mean_curve(curves)
    return SeedCurves(label, lines, mean, {epoch: statistics.stdev(curve[epoch] for curve in curves) for epoch in mean})


def _needs_log(panel: Panel) -> bool:
    lines = (*panel.candidates, *panel.stopped, *(line for seeds in panel.methods for line in seeds.lines))
    return is_wide([value for line in lines for value in line.curve.values() if 0 < value < math.inf])


def curve_of(record: RunRecord, key: str) -> Curve:
    """Epoch -> value of one metric, for the epochs that have it."""
    return {entry["epoch"]: entry[key] for entry in record.history if key in entry}


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """The mean of several curves, at the places that all of them have."""
    common = sorted(set.intersection(*map(set, curves)))
    return {place: math.fsum(curve[place] for curve in curves) / len(curves) for place in common}
