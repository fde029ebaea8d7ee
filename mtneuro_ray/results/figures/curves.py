"""Learning curves of a method's runs, and the heat map of its search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from mtneuro_ray.results.frame import Run
from mtneuro_ray.results.methods import by_method, differences, label_of, short, text_of
from mtneuro_ray.results.tasks import selection_metric

# Deviation of the features between images in self-supervised training: 0 if the encoder has collapsed.
_SPREAD = "train/feature_std"
_CANDIDATES = "#b0b0b0"
# Colors of methods that differ beyond the search, if a folder holds several.
_METHODS = ("#1f6fb2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
# Losses that lie farther apart than this are drawn on a logarithmic scale.
_WIDE = 20.0
# Largest number of cells of a heat map that can still be read.
_LARGEST_MAP = 100


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


def draw_curves(runs: Sequence[Run], title: str) -> Figure:
    """Training loss, validation metric and spread of features by epoch, as far as recorded, and the search's heat map.

    The runs are of one model and task, and some of them have an epoch.
    """
    metric = selection_metric(runs[0])
    grid = None if metric is None else grid_of(runs, metric)
    there = {key for run in runs for entry in run.history for key in entry}
    keys = [key for key in ("train/loss", metric, _SPREAD) if key is not None and key in there]
    columns = len(keys) + (grid is not None)
    figure = Figure(figsize=(4.5 * columns, 3.7), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for axis, key in zip(axes, keys, strict=False):
        _draw_lines(axis, runs, key)
    if grid is not None:
        (_draw_map if grid.is_filled else _draw_points)(figure, axes[-1], grid, str(metric))
    figure.suptitle(title)
    return figure


def _draw_lines(axis: Any, runs: Sequence[Run], key: str) -> None:
    """Draw a thin line per run, and the mean over the seeds of each method as a thick one."""
    stopped = [run for run in runs if run.status == "stopped"]
    candidates = [run for run in runs if run.summary["role"] == "candidate" and run not in stopped]
    finals = [run for run in runs if run.summary["role"] == "final"]
    _draw_runs(axis, candidates, key, "candidates", _CANDIDATES, "-")
    _draw_runs(axis, stopped, key, "stopped candidates", _CANDIDATES, ":")
    keys = differences(finals)
    for number, seeds in enumerate(by_method(finals)):
        color = _METHODS[number % len(_METHODS)]
        _draw_runs(axis, seeds, key, label_of(seeds[0], keys) or "seeds", color, "-")
        if len(seeds) > 1:
            mean = mean_curve([_curve(run, key) for run in seeds])
            axis.plot(list(mean), list(mean.values()), lw=2.6, color=color, label=f"mean of {len(seeds)} seeds")
    values = [value for run in runs for value in _curve(run, key).values() if 0 < value < math.inf]
    if key.endswith("loss") and values and max(values) > _WIDE * min(values):
        axis.set_yscale("log")
    axis.set(xlabel="epoch", ylabel=key)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.legend(frameon=False, fontsize=9)


def _draw_runs(axis: Any, runs: Sequence[Run], key: str, label: str, color: str, style: str) -> None:
    for number, run in enumerate(runs):
        curve = _curve(run, key)
        name = None if number else label
        axis.plot(list(curve), list(curve.values()), style, marker=".", ms=3, lw=0.9, color=color, label=name)


def mean_curve(curves: Sequence[dict[int, float]]) -> dict[int, float]:
    """The mean of several curves, at the places that all of them have."""
    common = sorted(set.intersection(*map(set, curves)))
    return {place: math.fsum(curve[place] for curve in curves) / len(curves) for place in common}


def _curve(run: Run, key: str) -> dict[int, float]:
    return {entry["epoch"]: entry[key] for entry in run.history if key in entry}


def grid_of(runs: Sequence[Run], metric: str) -> Grid | None:
    """The candidates among the runs over the axes in which they differ; None if they differ in none.

    If they differ in more than two, the learning rate and the batch size are shown, or else the first by name. The
    value of a candidate that was repeated over seeds is the mean over them.
    """
    candidates = [run for run in runs if run.summary["role"] == "candidate"]
    axes = differences(candidates)
    if not axes:
        return None
    shown, names = list(axes)[:2], [short(path, candidates[0].network) for path in axes]
    rows = axes[shown[0]] if len(shown) == 2 else [""]
    columns = axes[shown[-1]]
    values: dict[tuple[int, int], float] = {}
    for seeds in by_method(candidates):
        network = seeds[0].network
        row = rows.index(network[shown[0]]) if len(shown) == 2 else 0
        place = (row, columns.index(network[shown[-1]]))
        known = [math.nan if (value := run.metric(metric)) is None else value for run in seeds]
        values[place] = float(np.fmax(values.get(place, math.nan), math.fsum(known) / len(known)))
    return Grid(tuple(names[:2]), rows, columns, values, tuple(names[2:]))


def _draw_map(figure: Figure, axis: Any, grid: Grid, metric: str) -> None:
    """Draw a table of the candidates' values, colored by them."""
    table = np.full((len(grid.rows), len(grid.columns)), math.nan)
    for (row, column), value in grid.values.items():
        table[row, column] = value
    finite = table[np.isfinite(table)]
    axis.set_facecolor("#eeeeee")
    picture = axis.imshow(table, cmap="viridis", aspect="auto")
    for (row, column), value in grid.values.items():
        known = math.isfinite(value)
        dark = known and value < (finite.min() + finite.max()) / 2
        text = f"{value:.3f}" if known else "stopped"
        axis.text(column, row, text, ha="center", va="center", fontsize=9, color="white" if dark else "black")
    _name_axes(axis, grid, metric)
    axis.set_xticks(range(len(grid.columns)), [text_of(value) for value in grid.columns])
    axis.set_yticks(range(len(grid.rows)), [text_of(value) for value in grid.rows])
    if len(finite):
        figure.colorbar(picture, ax=axis)


def _draw_points(figure: Figure, axis: Any, grid: Grid, metric: str) -> None:
    """Draw a dot per candidate at its place in the space; for a single axis, at the height of its value."""
    alone = len(grid.keys) == 1
    places = [(grid.columns[column], grid.rows[row], value) for (row, column), value in grid.values.items()]
    dots = [(x, value if alone else y, value) for x, y, value in places if math.isfinite(value)]
    stopped = [(x, y) for x, y, value in places if not math.isfinite(value) and not alone]
    if dots:
        picture = axis.scatter(
            *zip(*((x, y) for x, y, _ in dots), strict=True), c=[v for *_, v in dots], cmap="viridis"
        )
        figure.colorbar(picture, ax=axis)
    if stopped:
        axis.scatter(*zip(*stopped, strict=True), marker="x", color="#999999", label="stopped")
        axis.legend(frameon=False, fontsize=9)
    _name_axes(axis, grid, metric)
    for values, scale in ((grid.columns, axis.set_xscale), (grid.rows, axis.set_yscale)):
        numbers = [value for value in values if isinstance(value, (int, float))]
        if len(numbers) == len(values) and min(numbers) > 0 and max(numbers) > _WIDE * min(numbers):
            scale("log")
    if alone:
        axis.set_ylabel(metric)


def _name_axes(axis: Any, grid: Grid, metric: str) -> None:
    over = f"\nbest over {', '.join(grid.others)}" if grid.others else ""
    axis.set_title(f"{metric} of the candidates{over}", fontsize=10)
    axis.set(xlabel=grid.keys[-1], ylabel=grid.keys[0] if len(grid.keys) == 2 else "")
