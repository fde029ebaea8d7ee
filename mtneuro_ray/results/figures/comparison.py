"""The paper's tables of encoders as points: ours beside the published ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from mtneuro_ray.results.paper_encoders import METHODS, READOUTS
from mtneuro_ray.results.tables import Table, as_objects

# Kind of a value -> colour and marker.
_STYLES = {
    "ours": ("#1f6fb2", "o"),
    "all": ("#1f6fb2", "o"),
    "held out": ("#009e73", "s"),
    "paper": ("#444444", "D"),
}
# Between the points of one method, of the distance between methods.
_STEP = 0.22


@dataclass(frozen=True, slots=True)
class _Point:
    """One value of a method.

    Attributes:
        panel: Column of the table, without what tells ours from the paper's.
        method: As the table names it; of the paper's values the paper's name.
        kind: A key of `_STYLES`.
        mean: Over seeds.
        std: Over seeds; None of one.
    """

    panel: str
    method: str
    kind: str
    mean: float
    std: float | None


def draw_accuracies(table: Table) -> Figure:
    """A panel per column of the paper's Table 1 or A3."""
    points = [
        _Point(group, _base_of(name) if kind == "paper" else name, kind, value["mean"], value["std"])
        for name, row in _rows(table)
        for group in table.groups
        for kind in ("ours", "paper")
        if (value := row[f"{group} {kind}"]) is not None
    ]
    return _draw(points, list(table.groups), table, "accuracy")


def draw_readouts(table: Table) -> Figure:
    """A panel per attribute of the paper's Table 3."""
    points = [
        _Point(heading, name, row["Metric"].removeprefix("R2 (").removesuffix(")"), value["mean"], value["std"])
        for name, row in _rows(table)
        for heading in READOUTS.values()
        if (value := row[heading]) is not None
    ]
    return _draw(points, list(READOUTS.values()), table, "R2")


def _rows(table: Table) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows as programs read them, each with the name of its method as people do."""
    return zip((row[0] for row in table.rows), as_objects([table]), strict=True)


def _draw(points: Sequence[_Point], panels: Sequence[str], table: Table, unit: str) -> Figure:
    """A panel beside the other, the methods below each other in the paper's order."""
    ours = {point.method for point in points if point.kind != "paper"}
    absent = set(METHODS) - {_base_of(method) for method in ours}
    methods = sorted(ours | absent, key=lambda method: (METHODS.index(_base_of(method)), method))
    figure = Figure(figsize=(1.6 + 2.6 * len(panels), 1.8 + 0.42 * len(methods)), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    kinds = [kind for kind in _STYLES if any(point.kind == kind for point in points)]
    for axis, panel in zip(axes, panels, strict=True):
        for number, kind in enumerate(kinds):
            shift = _STEP * (number - (len(kinds) - 1) / 2)
            found = {point.method: point for point in points if (point.panel, point.kind) == (panel, kind)}
            names = [_base_of(method) if kind == "paper" else method for method in methods]
            places = [(found[name], row + shift) for row, name in enumerate(names) if name in found]
            _draw_points(axis, places, kind)
        axis.set_title(panel, fontsize=10)
        axis.set_xlabel(unit, fontsize=9)
        axis.grid(axis="x", color="#dddddd", lw=0.6)
    axes[0].set_yticks(range(len(methods)), methods)
    axes[0].set_ylim(len(methods) - 0.5, -0.5)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=len(handles), frameon=False, loc="outside lower center")
    changes = "\n".join(note for note in table.notes if note.startswith("["))
    figure.suptitle(f"{table.title.replace(': ', chr(10), 1)}\n{changes}".rstrip(), fontsize=10)
    return figure


def _base_of(method: str) -> str:
    """The paper's name of a method, without what tells one of its settings from another."""
    return method.partition(" [")[0].partition(" (p ")[0]


def _draw_points(axis: Any, places: Sequence[tuple[_Point, float]], kind: str) -> None:
    """Values at their heights, with their deviations."""
    colour, marker = _STYLES[kind]
    axis.errorbar(
        [point.mean for point, _ in places],
        [height for _, height in places],
        xerr=[point.std or 0.0 for point, _ in places],
        fmt=marker,
        ms=5,
        color=colour,
        mfc="white" if kind == "paper" else colour,
        lw=1.2,
        label=kind,
    )
