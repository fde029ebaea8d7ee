"""Scores of final runs: each seed of each method, and each class in each region."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from mtneuro_ray.results.benchmark import MethodNames
from mtneuro_ray.results.frame import Key, Run
from mtneuro_ray.results.groups import Group, groups_of
from mtneuro_ray.results.methods import by_method, candidate_text
from mtneuro_ray.results.scores import seed_values, values_of
from mtneuro_ray.results.tasks import TaskTable, table_of

WHOLE = "all"
"""Name of the row of a whole split."""


class MethodSeeds(NamedTuple):
    """The values of one method: seed -> value, with the ids of the runs in the same order."""

    method: str
    values: dict[int, float]
    run_ids: list[str]

    @property
    def mean(self) -> float:
        """The mean over the seeds."""
        return statistics.fmean(self.values.values())

    @property
    def std(self) -> float | None:
        """The sample deviation; None for one seed."""
        return statistics.stdev(self.values.values()) if len(self.values) > 1 else None


class SeedPanel(NamedTuple):
    """One metric of one split, over all classes, of the methods that have it."""

    metric: str
    methods: list[MethodSeeds]


class ClassPanel(NamedTuple):
    """One metric of one method: means over seeds, (row, class) -> value; rows are the whole split and its regions."""

    metric: str
    method: str
    rows: list[str]
    values: dict[tuple[int, int], float]


class Scores(NamedTuple):
    """The final runs of one task, data and scale.

    Attributes:
        name: File name of its figures, without their kind.
        title: Task, data and scale.
        classes: Names of the classes.
        seeds: A panel per metric and split.
        by_class: A panel per metric and method, for metrics with values per class.
        notes: Explanations of the methods' names.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    seeds: list[SeedPanel]
    by_class: list[ClassPanel]
    notes: list[str]


def scores_of(runs: Sequence[Run]) -> list[Scores]:
    """The scores of each task, data and scale that has final runs."""
    found = [_scores(group, own) for group, own in groups_of(runs)]
    return [scores for scores in found if scores.seeds]


def _scores(group: Group, runs: Sequence[Run]) -> Scores:
    layout, names, methods = table_of(runs), MethodNames(runs), by_method(runs)
    called = [(_called(names, seeds[0]), seeds) for seeds in methods]
    panels = [
        SeedPanel(f"{split}/{metric}", _by_seed(called, Key(split, metric)))
        for split in layout.splits
        for metric in layout.metrics
    ]
    by_class = [panel for method, seeds in called for panel in _by_class(method, seeds, layout, group.classes)]
    title = f"{group.task}, {group.source}"
    shown = [panel for panel in panels if panel.methods]
    return Scores(group.task, title, group.classes, shown, by_class, list(names.notes))


def _called(names: MethodNames, run: Run) -> str:
    summary = run.summary
    return f"{names.name(run).text}, {candidate_text(summary)}"


def _by_seed(called: Sequence[tuple[str, Sequence[Run]]], key: Key) -> list[MethodSeeds]:
    found = []
    for method, seeds in called:
        own = [(run, value) for run in seeds for value in seed_values([run], key)]
        if own:
            values = {run.summary["seed"]: value for run, value in own}
            found.append(MethodSeeds(method, values, [run.run_id for run, _ in own]))
    return found


def _by_class(method: str, seeds: Sequence[Run], layout: TaskTable, classes: tuple[str, ...]) -> list[ClassPanel]:
    split = next(iter(layout.splits))
    regions = list(dict.fromkeys(key.region for key in seeds[0].keys if key.region and key.split == split))
    panels = []
    for metric in layout.metrics:
        values = {
            (row, column): statistics.fmean(known)
            for row, region in enumerate(("", *regions))
            for column, name in enumerate(classes)
            if (known := values_of(seeds, Key(split, metric, name, region)))
        }
        if values:
            panels.append(ClassPanel(f"{split}/{metric}", method, [WHOLE, *regions], values))
    return panels
