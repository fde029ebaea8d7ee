"""Learning curves of a method's runs, and the heat map of its search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mtneuro_ray.results.charts.curves import Line, Panel, panels_of
from mtneuro_ray.results.charts.ranges import is_wide
from mtneuro_ray.results.charts.searches import Grid, Search, grid_of
from mtneuro_ray.results.figures.colors import SERIES
from mtneuro_ray.results.methods import text_of
from mtneuro_ray.storage.records import RunRecord

_CANDIDATES = "#b0b0b0"
# Colors of methods that differ beyond the search, if a folder holds several.
_METHODS = ("#1f6fb2", *SERIES[1:])


def draw_curves(search: Search, records: Mapping[str, RunRecord], shares: Mapping[str, float] | None = None) -> Figure:
    """Training loss, validation metric and spread of features by epoch, as far as recorded, and the search's heat map.

    Some of the runs have an epoch. `shares` are the importances of the hyperparameters, where they are known.
    """
    panels = panels_of(search, records)
    grid = None if search.metric is None else grid_of(search.runs, search.metric, shares)
    columns = len(panels) + (grid is not None)
    figure = Figure(figsize=(4.5 * columns, 3.7), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for axis, panel in zip(axes, panels, strict=False):
        _draw_panel(axis, panel)
    if grid is not None:
        (_draw_map if grid.is_filled else _draw_points)(figure, axes[-1], grid, str(search.metric))
    figure.suptitle(search.title)
    return figure


def _draw_panel(axis: Any, panel: Panel) -> None:
    """Draw a thin line per run, and of the seeds of each method the mean as a thick one in a band of a deviation."""
    shown = f" ({len(panel.candidates) + len(panel.stopped)} shown)" if panel.left_out else ""
    _draw_lines(axis, panel.candidates, f"candidates{shown}", _CANDIDATES, "-")
    _draw_lines(axis, panel.stopped, f"stopped candidates{shown}", _CANDIDATES, ":")
    for number, seeds in enumerate(panel.methods):
        color = _METHODS[number % len(_METHODS)]
        _draw_lines(axis, seeds.lines, seeds.label or "seeds", color, "-")
        if seeds.mean:
            epochs, mean = list(seeds.mean), np.array(list(seeds.mean.values()))
            std = np.array(list(seeds.std.values()))
            axis.plot(epochs, mean, lw=2.6, color=color, label=f"mean of {len(seeds.lines)} seeds")
            axis.fill_between(epochs, mean - std, mean + std, color=color, alpha=0.15, lw=0)
    if panel.is_log:
        axis.set_yscale("log")
    axis.set(xlabel="epoch", ylabel=panel.metric)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.legend(frameon=False, fontsize=9)


def _draw_lines(axis: Any, lines: Sequence[Line], label: str, color: str, style: str) -> None:
    for number, line in enumerate(lines):
        name = None if number else label
        axis.plot(list(line.curve), list(line.curve.values()), style, marker=".", ms=3, lw=0.9, color=color, label=name)


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
        if len(numbers) == len(values) and is_wide(numbers):
            scale("log")
    if alone:
        axis.set_ylabel(metric)


def _name_axes(axis: Any, grid: Grid, metric: str) -> None:
    over = f"\nbest over {', '.join(grid.others)}" if grid.others else ""
    axis.set_title(f"{metric} of the candidates{over}", fontsize=10)
    axis.set(xlabel=grid.keys[-1], ylabel=grid.keys[0] if len(grid.keys) == 2 else "")
