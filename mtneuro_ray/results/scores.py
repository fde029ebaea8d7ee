"""Tables of final runs outside the paper's tables: the metrics of each task, per class where it has classes."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from mtneuro_ray.results.benchmark import MethodNames, Part, family_of, part_of, place_of
from mtneuro_ray.results.cautions import cautions
from mtneuro_ray.results.frame import Key, Run
from mtneuro_ray.results.methods import Seeds, by_method, data_labels, finished
from mtneuro_ray.results.tables import MISSING, Table, Value, count, mean_and_deviation, mean_of
from mtneuro_ray.results.tasks import TaskTable, kind_of, more_metrics, table_of

METHOD_COLUMNS = ("Method", "lr", "Batch", "Epochs", "Seeds")


class Group(NamedTuple):
    """What the runs of one table have in common. Tasks of one name may differ in kind or classes, and so in columns.

    Attributes:
        task: Name.
        source: Data and scale, as titles have them.
        part: Data and scale.
        kind: Kind of task.
        classes: Names of its classes.
    """

    task: str
    source: str
    part: Part
    kind: str
    classes: tuple[str, ...]

    def title(self, layout: TaskTable) -> str:
        """Task, split where there is one, data and scale."""
        split = f"{next(iter(layout.splits))} split" if len(layout.splits) == 1 else ""
        return ", ".join(filter(None, (self.task, split, self.source)))


class Methods:
    """The methods of one table with their first columns.

    Args:
        runs: Finished runs of one group.
        every: How many seeds there should be.
    """

    def __init__(self, runs: Sequence[Run], every: Seeds) -> None:
        self.names = MethodNames(runs)
        self.seeds = by_method(runs)
        self._every = every

    def cells(self, seeds: Sequence[Run]) -> list[Value]:
        """What `METHOD_COLUMNS` say of a method."""
        summary = seeds[0].summary
        rate = Value(f"{summary['learning_rate']:g}", summary["learning_rate"])
        numbers = map(count, (summary["batch_size"], summary["epochs"]))
        return [self.names.name(seeds[0]), rate, *numbers, Value(self._every.told(seeds), len(seeds))]

    def notes(self) -> tuple[str, ...]:
        """What the names stand for, and what is to be said of the runs."""
        named = [(self.names.name(seeds[0]).text, seeds) for seeds in self.seeds]
        return (*self.names.notes, *cautions(named))


def groups_of(runs: Sequence[Run]) -> list[tuple[Group, list[Run]]]:
    """The finished final runs, by task, data and scale."""
    labels, groups = data_labels(runs), dict[Group, list[Run]]()
    for run in sorted(finished(runs), key=place_of):
        part = part_of(run)
        key = Group(run.summary["task"], part.source(labels), part, kind_of(run), run.classes)
        groups.setdefault(key, []).append(run)
    return sorted(groups.items())


def score_tables(runs: Sequence[Run]) -> list[Table]:
    """A table per task, data and scale; of the benchmark's own tasks only metrics that the paper's tables lack."""
    tables, every = [], Seeds(runs)
    for group, own in groups_of(runs):
        layout = table_of(own)
        if family_of(own[0]) is not None:
            layout = replace(layout, metrics=more_metrics(own))
        if layout.metrics:
            tables.append(_table(group, layout, own, every))
    return tables


def _table(group: Group, layout: TaskTable, runs: Sequence[Run], every: Seeds) -> Table:
    methods = Methods(runs, every)
    rows = [
        [*methods.cells(seeds), *row] for seeds in methods.seeds for row in score_rows(layout, group.classes, seeds)
    ]
    return Table(
        group.title(layout), [*METHOD_COLUMNS, *score_columns(layout, group.classes)], rows, notes=methods.notes()
    )


def score_columns(layout: TaskTable, classes: Sequence[str]) -> list[str]:
    """Headings of what `score_rows` gives."""
    if layout.per_class:
        return ["Metric", *classes, "Avg."]
    return [*(["Metric"] if len(layout.splits) > 1 else []), *layout.metrics.values()]


def score_rows(
    layout: TaskTable, classes: Sequence[str], seeds: Sequence[Run], region: str = ""
) -> Iterator[list[Value | str]]:
    """Rows of a method's scores: means of the classes over seeds, and mean with deviation of what is of all.

    Args:
        layout: Metrics and splits.
        classes: Names of the task's classes.
        seeds: Finished runs.
        region: Only this one; the whole split by default.
    """
    for split, row in layout.splits.items():
        if layout.per_class:
            for metric, heading in layout.metrics.items():
                keys = [Key(split, metric, name, region) for name in classes]
                found = [_values(seeds, key) for key in keys]
                each = [mean_of(values) if values else MISSING for values in found]
                yield [" ".join(filter(None, (heading, row))), *each, _average(seeds, Key(split, metric, "", region))]
        else:
            cells = [_average(seeds, Key(split, metric, "", region)) for metric in layout.metrics]
            yield [*([row] if len(layout.splits) > 1 else []), *cells]


def _values(seeds: Sequence[Run], key: Key) -> list[float]:
    return [value for run in seeds if (value := run.value(key)) is not None]


def _average(seeds: Sequence[Run], key: Key) -> Value:
    """Mean with deviation of a metric of all classes: the metric itself, its mean, or the mean over its classes."""
    for metric in (key.metric, f"{key.metric}_mean"):
        values = _values(seeds, key._replace(metric=metric))
        if values:
            return mean_and_deviation(values)
    means = [
        statistics.fmean(known)
        for run in seeds
        if (known := [value for name in run.classes if (value := run.value(key._replace(class_=name))) is not None])
    ]
    return mean_and_deviation(means) if means else MISSING
