"""Embeddings in two dimensions, colored by the attributes of their images (the paper's Figures 4 and A4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mtneuro_ray.data.attributes import ATTRIBUTES, HEADINGS, UNITS
from mtneuro_ray.results.charts.projection import Points, Projection
from mtneuro_ray.results.figures.colors import SERIES

# Percentiles at the ends of a color scale, so that a few large cells do not flatten it.
_ENDS = (1, 99)


def draw_embeddings(projections: Sequence[Projection], title: str) -> Figure:
    """A row per encoder of one method: its embeddings colored by region, then by each attribute."""
    columns = 1 + len(ATTRIBUTES)
    figure = Figure(figsize=(2.75 * columns, 2.75 * len(projections) + 0.7), layout="constrained")
    axes = figure.subplots(len(projections), columns, squeeze=False)
    regions = list(dict.fromkeys(name for own in projections for name in own.embeddings.regions.tolist()))
    colors = {name: SERIES[number % len(SERIES)] for number, name in enumerate(regions)}
    for row, own in zip(axes, projections, strict=True):
        about = own.embeddings.about
        row[0].set_ylabel(f"encoder of {about.encoder_task}\nseed {about.seed}", fontsize=9)
        _scatter(row[0], own.points, [colors[name] for name in own.embeddings.regions.tolist()])
        for axis, values in zip(row[1:], own.embeddings.targets.T[: len(ATTRIBUTES)], strict=True):
            low, high = np.percentile(values, _ENDS)
            dots = _scatter(axis, own.points, values, cmap="viridis", vmin=low, vmax=high)
            figure.colorbar(dots, ax=axis, shrink=0.8).ax.tick_params(labelsize=7)
    axes[0, 0].set_title("brain area", fontsize=10)
    for axis, name in zip(axes[0, 1:], ATTRIBUTES, strict=True):
        axis.set_title(f"{HEADINGS[name]}, {UNITS[name]}".removesuffix(", "), fontsize=10)
    handles = [Line2D([], [], ls="", marker="o", color=color, label=name) for name, color in colors.items()]
    figure.legend(handles=handles, ncols=len(handles), frameon=False, loc="outside lower left")
    figure.suptitle(title, fontsize=11)
    return figure


def _scatter(axis: Any, points: Points, colors: Any, **scale: Any) -> Any:
    axis.set(xticks=[], yticks=[])
    size = 400 / max(np.sqrt(len(points)), 20) / 4
    return axis.scatter(*points.T, c=colors, s=size, lw=0, alpha=0.8, **scale)
