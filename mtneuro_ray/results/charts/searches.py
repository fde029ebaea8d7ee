"""The groups of runs that one chart shows: the searches of an output folder, and their candidates over two axes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mtneuro_ray.results.frame import Run, grouped
from mtneuro_ray.results.methods import FIRST, by_method, data_labels, differences, short
from mtneuro_ray.results.tasks import mode_of_run, selection_metric

# Largest number of cells of a heat map that can still be read.
_LARGEST_MAP = 100


class Search(NamedTuple):
    """Runs of one model, task, number of epochs and state of the data: what is compared in one chart.

    Attributes:
        name: File name of its figures, without their kind.
        title: Model, task, epochs and data.
        metric: Validation metric that selects among its candidates; None if none can.
        runs: Its runs that did not fail, candidates and final runs.
    """

    name: str
    title: str
    metric: str | None
    runs: list[Run]

    @property
    def candidates(self) -> list[Run]:
        """The runs of the search, those that were stopped early too."""
        return [run for run in self.runs if run.summary["role"] == "candidate"]

    @property
    def finals(self) -> list[Run]:
        """The runs at the selected candidate."""
        return [run for run in self.runs if run.summary["role"] == "final"]

    @property
    def sign(self) -> int:
        """1 if larger values of the metric are better, -1 if smaller ones are."""
        return -1 if self.metric is not None and mode_of_run(self.runs[0], self.metric) == "min" else 1

    def ranked(self, runs: Iterable[Run]) -> list[Run]:
        """Runs by the metric, the best first and those without a value last."""

        def rank(run: Run) -> float:
            value = None if self.metric is None else run.metric(self.metric)
            return math.inf if value is None else -self.sign * value

        return sorted(runs, key=rank)


def searches_of(runs: Iterable[Run]) -> list[Search]:
    """The searches of an output folder, in the order of its runs; failed runs are in none."""
    shown = [run for run in runs if run.status != "error"]
    labels = data_labels(shown)
    found = []
    for (model, task, epochs, data), own in grouped(shown, _search_of).items():
        title = f"{model} on {task}, {epochs} epochs, {labels[data]}"
        found.append(Search(f"{model}_{task}", title, selection_metric(own[0]), own))
    return found


def _search_of(run: Run) -> tuple[str, str, int, tuple[str, ...]]:
    return (run.summary["model"], run.summary["task"], run.summary["epochs"], run.data)


class Grid(NamedTuple):
    """Candidates of a search over one or two axes.

    Attributes:
        keys: Names of the rows' and the columns' axis; of a single axis, only the columns'.
        rows: Sorted values along the rows; one empty text for a single axis.
        columns: Sorted values along the columns.
        values: (row, column) -> best value there; NaN if the candidates were stopped or diverged.
        others: Names of further axes, over which the best is taken.
    """

    keys: tuple[str, ...]
    rows: list[Any]
    columns: list[Any]
    values: dict[tuple[int, int], float]
    others: tuple[str, ...]

    @property
    def is_filled(self) -> bool:
        """Whether the candidates fill a table; values drawn from ranges meet in few of its cells."""
        return 2 * len(self.values) >= len(self.rows) * len(self.columns) <= _LARGEST_MAP


def grid_of(runs: Sequence[Run], metric: str, shares: Mapping[str, float] | None = None) -> Grid | None:
    """The candidates among the runs over the axes in which they differ; None if they differ in none.

    If they differ in more than two, the learning rate and the batch size are shown, or else the two of the largest
    importance, or the first by name. The value of a candidate that was repeated over seeds is the mean over them.

    Args:
        runs: Runs of one search.
        metric: Metric of the candidates.
        shares: Hyperparameter -> its importance, where that is known.
    """
    candidates = [run for run in runs if run.summary["role"] == "candidate"]
    axes = differences(candidates)
    if not axes:
        return None
    if not axes.keys() >= set(FIRST):
        axes = dict(sorted(axes.items(), key=lambda axis: -_share(axis[0], shares or {})))
    shown, names = list(axes)[:2], [short(path, candidates[0].network) for path in axes]
    rows = axes[shown[0]] if len(shown) == 2 else [""]
    columns = axes[shown[-1]]
    places = [{_key(value): place for place, value in enumerate(line)} for line in (rows, columns)]
    best = np.fmin if mode_of_run(candidates[0], metric) == "min" else np.fmax
    values: dict[tuple[int, int], float] = {}
    for seeds in by_method(candidates):
        network = seeds[0].network
        row = places[0][_key(network.get(shown[0]))] if len(shown) == 2 else 0
        place = (row, places[1][_key(network.get(shown[-1]))])
        known = [math.nan if (value := run.metric(metric)) is None else value for run in seeds]
        values[place] = float(best(values.get(place, math.nan), math.fsum(known) / len(known)))
    return Grid(tuple(names[:2]), rows, columns, values, tuple(names[2:]))


def _share(path: str, shares: Mapping[str, float]) -> float:
    """The importance of a key, which spaces name by its path or by its last part."""
    return shares.get(path, shares.get(path.rpartition(".")[2], 0.0))


def _key(value: Any) -> str:
    return repr(value)
