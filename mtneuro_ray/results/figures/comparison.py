"""The paper's tables of methods as points: ours beside the published ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from mtneuro_ray.results import published
from mtneuro_ray.results.frame import Key
from mtneuro_ray.results.layouts import Layout
from mtneuro_ray.results.paper_tables import Compared, Line, score_of
from mtneuro_ray.results.tables import MISSING

# Colors and markers of our values, then those of the paper's.
_STYLES = (("#1f6fb2", "o"), ("#009e73", "s"))
_PAPER = ("#444444", "D")
# Between the points of one method, of the distance between methods.
_STEP = 0.22


class _Point(NamedTuple):
    """One value of a line of the table.

    Attributes:
        panel: Task, or attribute.
        row: Number of the line.
        kind: What it is of; "paper" for published values.
        mean: Over seeds.
        std: Over seeds; None of one.
    """

    panel: str
    row: int
    kind: str
    mean: float
    std: float | None


def draw_comparison(found: Compared) -> Figure:
    """A panel per task, or per attribute of one task; the methods below each other in the paper's order."""
    layout, lines = found.layout, found.lines
    points = [point for row, line in enumerate(lines) for point in _points(layout, line, row)]
    panels = list(dict.fromkeys(point.panel for point in points))
    figure = Figure(figsize=(1.6 + 2.6 * len(panels), 1.8 + 0.42 * len(lines)), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    kinds = sorted({point.kind for point in points}, key=lambda kind: kind == "paper")
    for axis, panel in zip(axes, panels, strict=True):
        for number, kind in enumerate(kinds):
            shift = _STEP * (number - (len(kinds) - 1) / 2)
            _draw_points(axis, [point for point in points if (point.panel, point.kind) == (panel, kind)], shift, number)
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


def _points(layout: Layout, line: Line, number: int) -> Iterator[_Point]:
    """Our values and the paper's of one line: of each task the first column, of one task alone every column."""
    for task in layout.tasks:
        for column in layout.columns[task] if len(layout.tasks) == 1 else layout.columns[task][:1]:
            panel = layout.tasks[task] or column.heading
            for row in layout.blocks[0]:
                key = Key(row.split, row.metric + column.metric)
                for seeds in line.variants[task][:1] if not row.is_published else []:
                    score = score_of(seeds, key, "spread")
                    if score is not MISSING:
                        yield _Point(panel, number, row.heading or "ours", score.value["mean"], score.value["std"])
            paper = published.score(task, line.method, column.metric)
            if paper is not None:
                yield _Point(panel, number, "paper", paper.mean, paper.std)


def _draw_points(axis: Any, points: list[_Point], shift: float, number: int) -> None:
    """Values at their heights, with their deviations."""
    if not points:
        return
    kind = points[0].kind
    color, marker = _PAPER if kind == "paper" else _STYLES[number % len(_STYLES)]
    axis.errorbar(
        [point.mean for point in points],
        [point.row + shift for point in points],
        xerr=[point.std or 0.0 for point in points],
        fmt=marker,
        ms=5,
        color=color,
        mfc="white" if kind == "paper" else color,
        lw=1.2,
        label=kind,
    )
