"""The paper's tables of methods as points: ours beside the published ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from mtneuro_ray.results.paper_tables import Compared, Point, points_of

# Colors and markers of our values, then those of the paper's.
_STYLES = (("#1f6fb2", "o"), ("#009e73", "s"))
_PAPER = ("#444444", "D")
# Distance between the points of one method, as a share of the distance between methods.
_STEP = 0.22


def draw_comparison(found: Compared) -> Figure:
    """A panel per task, or per attribute of one task; the methods below each other in the paper's order."""
    layout, lines = found.layout, found.lines
    points = points_of(layout, lines)
    panels = list(dict.fromkeys(point.panel for point in points))
    figure = Figure(figsize=(1.6 + 2.6 * len(panels), 1.8 + 0.42 * len(lines)), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    kinds = sorted(dict.fromkeys(point.kind for point in points), key=lambda kind: kind == "paper")
    for axis, panel in zip(axes, panels, strict=True):
        for number, kind in enumerate(kinds):
            shift = _STEP * (number - (len(kinds) - 1) / 2)
            own = [point for point in points if (point.panel, point.kind) == (panel, kind)]
            if own:
                _draw_points(axis, own, shift, *(_PAPER if kind == "paper" else _STYLES[number % len(_STYLES)]))
        axis.set_title(panel, fontsize=10)
        axis.set_xlabel("R2" if len(layout.tasks) == 1 else "accuracy", fontsize=9)
        axis.grid(axis="x", color="#dddddd", lw=0.6)
    axes[0].set_yticks(range(len(lines)), [line.name.text for line in lines])
    axes[0].set_ylim(len(lines) - 0.5, -0.5)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=len(handles), frameon=False, loc="outside lower center")
    heading = found.table.title.replace(": ", "\n", 1)
    figure.suptitle("\n".join([heading, *found.names.notes]), fontsize=10)
    return figure


def _draw_points(axis: Any, points: Sequence[Point], shift: float, color: str, marker: str) -> None:
    """Values of one kind with their deviations."""
    axis.errorbar(
        [point.mean for point in points],
        [point.line + shift for point in points],
        xerr=[point.std or 0.0 for point in points],
        fmt=marker,
        ms=5,
        color=color,
        mfc="white" if points[0].kind == "paper" else color,
        lw=1.2,
        label=points[0].kind,
    )
