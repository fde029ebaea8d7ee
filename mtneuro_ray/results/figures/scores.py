"""Scores of final runs: the seeds of each method, and each class in each region."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mtneuro_ray.results.charts.scores import ClassPanel, Scores
from mtneuro_ray.results.figures.colors import SERIES


def draw_seeds(found: Scores) -> Figure:
    """A panel per metric: a dot per seed, and the mean of each method with its sample deviation."""
    lines = max(len(panel.methods) for panel in found.seeds)
    size = (1.8 + 3.0 * len(found.seeds), 1.5 + 0.42 * lines)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, len(found.seeds), squeeze=False)[0]
    for axis, panel in zip(axes, found.seeds, strict=True):
        for line, method in enumerate(panel.methods):
            color = SERIES[line % len(SERIES)]
            axis.plot(list(method.values.values()), [line] * len(method.values), "o", ms=4, color=color, alpha=0.6)
            axis.errorbar([method.mean], [line], xerr=[method.std or 0.0], fmt="|", ms=14, color=color, lw=1.6)
        axis.set_yticks(range(len(panel.methods)), [method.method for method in panel.methods])
        axis.set_ylim(len(panel.methods) - 0.5, -0.5)
        axis.set_title(panel.metric, fontsize=10)
        axis.grid(axis="x", color="#dddddd", lw=0.6)
    named = [[method.method for method in panel.methods] for panel in found.seeds]
    if all(names == named[0] for names in named):
        for axis in axes[1:]:
            axis.tick_params(labelleft=False)
    figure.suptitle("\n".join([found.title, *found.notes]), fontsize=10)
    return figure


def draw_classes(found: Scores) -> Figure:
    """A row per method and a column per metric: the mean over seeds of each class, in the whole split and by region."""
    methods = list(dict.fromkeys(panel.method for panel in found.by_class))
    metrics = list(dict.fromkeys(panel.metric for panel in found.by_class))
    panels = {(panel.method, panel.metric): panel for panel in found.by_class}
    height = max(len(panel.rows) for panel in found.by_class)
    width = 1.2 + 0.62 * len(found.classes)
    size = (1.2 + width * len(metrics), 1.0 + (0.8 + 0.3 * height) * len(methods))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(methods), len(metrics), squeeze=False)
    for row, method in zip(axes, methods, strict=True):
        for axis, metric in zip(row, metrics, strict=True):
            if (method, metric) in panels:
                picture = _draw_classes(axis, panels[method, metric], found.classes)
            else:
                axis.set_axis_off()
        row[0].set_ylabel(method, fontsize=8)
    for axis, metric in zip(axes[0], metrics, strict=True):
        axis.set_title(metric, fontsize=10)
    figure.colorbar(picture, ax=axes, shrink=0.5)
    figure.suptitle("\n".join([found.title, *found.notes]), fontsize=10)
    return figure


def _draw_classes(axis: Any, panel: ClassPanel, classes: tuple[str, ...]) -> Any:
    table = np.full((len(panel.rows), len(classes)), math.nan)
    for place, value in panel.values.items():
        table[place] = value
    axis.set_facecolor("#eeeeee")
    picture = axis.imshow(table, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    for (row, column), value in panel.values.items():
        color = "white" if value < 0.55 else "black"
        axis.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=color)
    axis.set_xticks(range(len(classes)), classes, fontsize=8, rotation=30 if len(classes) > 4 else 0)
    axis.set_yticks(range(len(panel.rows)), panel.rows, fontsize=8)
    return picture
