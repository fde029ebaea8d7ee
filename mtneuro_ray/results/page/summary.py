"""The first part of the page: what ran, what is best, what failed, and what it took."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from mtneuro_ray.results.page.cells import ShownTable, shown_table
from mtneuro_ray.results.printing import rows_as_table
from mtneuro_ray.results.query import Results, best_columns


class Tile(NamedTuple):
    """One number with its meaning."""

    label: str
    value: str
    is_bad: bool = False


class Summary(NamedTuple):
    """Tiles, sentences and the table of the best candidates, if anything was searched."""

    tiles: list[Tile]
    lines: list[str]
    best: ShownTable | None


def summary_of(results: Results, cost: float | None = None) -> Summary:
    """The summary of an output folder; `cost` is the price of its hosts while they were at work, where it is known."""
    runs = results.entries
    statuses = Counter(run.status for run in runs)
    seconds = sum(run.seconds or 0.0 for run in runs)
    experiments = {(run.summary["model"], run.summary["task"]) for run in runs}
    tiles = [
        Tile("runs done", f"{statuses['done']}"),
        *([Tile("stopped early", f"{statuses['stopped']}")] if statuses["stopped"] else []),
        Tile("failed", f"{statuses['error']}", statuses["error"] > 0),
        Tile("experiments", f"{len(experiments)}"),
        Tile("time of all runs, added up", _duration(seconds)),
        *([] if cost is None else [Tile("cost of the hosts at work", f"{cost:,.2f}")]),
    ]
    best = results.best()
    table = shown_table(rows_as_table("Best candidates", best, best_columns(best))) if best else None
    lines = ["Candidates are selected on validation; final runs are evaluated once, on test."]
    return Summary(tiles, lines, table)


def _duration(seconds: float) -> str:
    """A number of seconds, minutes or hours with its unit."""
    for limit, unit, name in ((90, 1, "s"), (5400, 60, "min")):
        if seconds < limit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds / 3600:,.1f} h"
