"""Learning curves of a method's runs, and the heat map of its search."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mtneuro_ray.config.space import METRICS
from mtneuro_ray.results.methods import network_of
from mtneuro_ray.results.record import RunRecord

# The axes of the paper's searches come first; what names or repeats a run is none.
_FIRST = ("learning_rate", "batch_size")
_NO_AXES = {"name", "seed"}
_CELLS, _SEEDS = "#b0b0b0", "#1f6fb2"
# Losses that lie farther apart than this are drawn on a logarithmic scale.
_WIDE = 20.0
# Places of a heat map that can still be read.
_LARGEST_MAP = 100

Axis = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Grid:
    """Cells of a search over one or two axes.

    Attributes:
        keys: Name of the rows' axis and of the columns'; of one axis alone, only the columns'.
        rows: Values along the rows, sorted; one empty text without such an axis.
        columns: Values along the columns, sorted.
        values: (row, column) -> best value there; NaN where the cells were stopped or diverged.
        others: Axes beyond two, over which the best is taken.
    """

    keys: tuple[str, ...]
    rows: list[Any]
    columns: list[Any]
    values: dict[tuple[int, int], float]
    others: tuple[str, ...]

    @property
    def is_filled(self) -> bool:
        """Whether the cells make a table; values drawn from ranges meet in few places of one."""
        return 2 * len(self.values) >= len(self.rows) * len(self.columns) <= _LARGEST_MAP


def draw_curves(records: Sequence[RunRecord], title: str) -> Figure:
    """Training loss and validation metric of each epoch, and the search's heat map where there was one.

    Args:
        records: Runs of one model and setting; those without an epoch are left out.
        title: Of the figure.
    """
    metric = METRICS.get(records[0].settings["task"]["task"], (None,))[0]
    grid = None if metric is None else grid_of(records, metric)
    keys = ["train/loss", *([] if metric is None else [metric])]
    columns = len(keys) + (grid is not None)
    figure = Figure(figsize=(4.5 * columns, 3.7), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for axis, key in zip(axes, keys, strict=False):
        _draw_lines(axis, records, key)
    if grid is not None:
        draw = _draw_map if grid.is_filled else _draw_points
        draw(figure, axes[-1], grid, str(metric))
    figure.suptitle(title)
    return figure


def _draw_lines(axis: Any, records: Sequence[RunRecord], key: str) -> None:
    """A thin line per run; the mean of the seeds as a thick one."""
    labels = {"cell": "cells", "stopped": "stopped cells", "final": "seeds"}
    values: list[float] = []
    for record in records:
        kind = "stopped" if record.status == "stopped" else record.summary["role"]
        curve = _curve(record, key)
        values.extend(curve.values())
        style = ":" if kind == "stopped" else "-"
        colour = _SEEDS if kind == "final" else _CELLS
        axis.plot(
            list(curve),
            list(curve.values()),
            style,
            marker=".",
            ms=3,
            lw=0.9,
            color=colour,
            label=labels.pop(kind, None),
        )
    seeds = [_curve(record, key) for record in records if record.summary["role"] == "final"]
    if len(seeds) > 1:
        common = sorted(set.intersection(*map(set, seeds)))
        mean = [math.fsum(curve[epoch] for curve in seeds) / len(seeds) for epoch in common]
        axis.plot(common, mean, lw=2.6, color=_SEEDS, label="mean of the seeds")
    positive = [value for value in values if 0 < value < math.inf]
    if key.endswith("loss") and positive and max(positive) > _WIDE * min(positive):
        axis.set_yscale("log")
    axis.set(xlabel="epoch", ylabel=key)
    axis.xaxis.get_major_locator().set_params(integer=True)
    if values:
        axis.legend(frameon=False, fontsize=9)


def _curve(record: RunRecord, key: str) -> dict[int, float]:
    return {entry["epoch"]: entry[key] for entry in record.history if key in entry}


def grid_of(records: Sequence[RunRecord], metric: str) -> Grid | None:
    """The cells among the runs over the axes in which they differ, or None where they differ in none.

    Where they differ in more than two, the learning rate and the batch size are shown, or else the first by name.
    """
    cells = [record for record in records if record.summary["role"] == "cell"]
    axes = _axes_of(cells)
    if not axes:
        return None
    shown, others = list(axes)[:2], tuple(list(axes)[2:])
    rows = axes[shown[0]] if len(shown) == 2 else [""]
    columns = axes[shown[-1]]
    values: dict[tuple[int, int], float] = {}
    for record in cells:
        network = network_of(record)
        row = rows.index(network[shown[0]]) if len(shown) == 2 else 0
        place = (row, columns.index(network[shown[-1]]))
        value = record.metric(metric)
        values[place] = float(np.fmax(values.get(place, math.nan), math.nan if value is None else value))
    return Grid(tuple(shown), rows, columns, values, others)


def _axes_of(cells: Sequence[RunRecord]) -> Axis:
    """Key of the network -> the values it has among the cells, sorted, where it has several."""
    networks = [network_of(record) for record in cells]
    found: Axis = {}
    for key in sorted({key for network in networks for key in network} - _NO_AXES):
        values = {json.dumps(network[key]): network[key] for network in networks}
        if len(values) > 1:
            found[key] = sorted(values.values(), key=_by_size)
    first = [key for key in _FIRST if key in found]
    return {key: found[key] for key in (*first, *(key for key in found if key not in first))}


def _by_size(value: Any) -> tuple[bool, float, str]:
    is_number = isinstance(value, (int, float))
    return (not is_number, value if is_number else 0.0, str(value))


def _draw_map(figure: Figure, axis: Any, grid: Grid, metric: str) -> None:
    """A table of the cells' values, coloured by them."""
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
    axis.set_xticks(range(len(grid.columns)), [_label(value) for value in grid.columns])
    axis.set_yticks(range(len(grid.rows)), [_label(value) for value in grid.rows])
    if len(finite):
        figure.colorbar(picture, ax=axis)


def _draw_points(figure: Figure, axis: Any, grid: Grid, metric: str) -> None:
    """A dot per cell at its place in the space; over one axis, at the height of its value."""
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
    axis.set_title(f"{metric} of the cells{over}", fontsize=10)
    axis.set(xlabel=grid.keys[-1], ylabel=grid.keys[0] if len(grid.keys) == 2 else "")


def _label(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
