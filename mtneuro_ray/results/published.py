"""Published values of the paper, from `published.csv`: one row per value, with its table as the source."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from mtneuro_ray.results.frame import grouped
from mtneuro_ray.results.tables import Value

DATA = "prasad2020"
"""Name of the paper's data set."""
SEEDS = 5
"""Seeds behind each published mean and deviation."""
TOTAL = "Total"
_PROPORTION = "voxels_percent"


class Score(NamedTuple):
    """One published value: its text with the paper's digits, mean, and deviation over seeds or None."""

    text: str
    mean: float
    std: float | None

    @property
    def cell(self) -> Value:
        """The value as a cell of a table."""
        return Value(self.text, {"mean": self.mean, "std": self.std})


class _Row(NamedTuple):
    source: str
    task: str
    method: str
    network: str
    region: str
    class_: str
    metric: str
    value: str
    std: str


@cache
def _rows() -> Sequence[_Row]:
    text = (files("mtneuro_ray.results") / "published.csv").read_text(encoding="utf-8")
    return [_Row(*row) for row in csv.reader(text.splitlines()[1:])]


@cache
def _scores() -> Mapping[tuple[str, str, str, str], Score]:
    return {
        (row.task, row.method, row.metric, row.class_): Score(
            f"{row.value} +- {row.std}" if row.std else row.value, float(row.value), float(row.std) if row.std else None
        )
        for row in _rows()
        if row.task
    }


def score(task: str, method: str | None, metric: str, class_: str = "") -> Score | None:
    """A published value of a metric, or of learning_rate and batch_size; None if there is none.

    Methods and classes are named as in the paper; an empty class stands for the value over all.
    """
    return None if method is None else _scores().get((task, method, metric, class_))


@cache
def networks(task: str) -> Mapping[str, str]:
    """The paper's name of each method of a task, in the order of its tables -> the packaged network."""
    return {row.method: row.network for row in _rows() if row.task == task}


@cache
def classes(task: str) -> Sequence[str]:
    """The paper's headings of a task's classes."""
    return list(dict.fromkeys(row.class_ for row in _rows() if row.task == task and row.class_))


@cache
def _proportions() -> Mapping[str, Sequence[float]]:
    rows = grouped((row for row in _rows() if row.metric == _PROPORTION), lambda row: row.region)
    return {region: [float(row.value) for row in own] for region, own in rows.items()}


def region_count() -> int:
    """Number of regions with published proportions."""
    return len(_proportions()) - 1


def proportions(regions: Collection[str], number: int) -> dict[str, tuple[float, ...]]:
    """Share of each class in the voxels of each region, in %, and the total; empty if a region is not published.

    Args:
        regions: CTX, STR, VP, ZI or some of them.
        number: Number of classes; 3 adds the axons to the background.

    Returns:
        Region -> % of each class. The total of fewer than four regions, which the paper lacks, is the mean of theirs,
        as their cubes have one size.
    """
    every = _proportions()
    if not set(regions) <= every.keys():
        return {}
    chosen = {region: tuple(every[region]) for region in regions}
    means = tuple(sum(values) / len(chosen) for values in zip(*chosen.values(), strict=True))
    chosen[TOTAL] = tuple(every[TOTAL]) if len(chosen) == region_count() else means
    if number == len(means):
        return chosen
    return {region: (values[0] + values[3], *values[1:3]) for region, values in chosen.items()}
