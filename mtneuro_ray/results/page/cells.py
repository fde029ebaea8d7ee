"""Tables, pictures and failures as the templates show them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from mtneuro_ray.errors import printable
from mtneuro_ray.results.frame import Run
from mtneuro_ray.results.methods import candidate_text
from mtneuro_ray.results.tables import Table
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.run_log import read_log

# Failed runs whose log is on the page, and characters of a log's end.
_MOST_FAILURES = 100
_LOG_TAIL = 6000


class Cell(NamedTuple):
    """A cell: its text, the number it is sorted by, or None, and whether the text is the id of a run."""

    text: str
    number: float | None
    is_run: bool = False


class ShownTable(NamedTuple):
    """A table for the template: headings over several columns as (heading, number of columns), and all headings."""

    title: str
    groups: list[tuple[str, int]]
    names: list[str]
    rows: list[list[Cell]]
    notes: Sequence[str]


def shown_table(table: Table) -> ShownTable:
    """A table as the template shows it."""
    places = [_group_of(column, table.groups) for column in table.columns]
    names = [column.removeprefix(f"{group} ") for column, group in zip(table.columns, places, strict=True)]
    groups = [(name, len(list(own))) for name, own in groupby(places)] if table.groups else []
    rows = [
        [_cell(cell)._replace(is_run=name == "run_id") for cell, name in zip(row, table.columns, strict=True)]
        for row in table.cells
    ]
    return ShownTable(table.title, groups, names, rows, table.notes)


def _group_of(column: str, groups: Iterable[str]) -> str:
    return next((group for group in groups if column.startswith(f"{group} ")), "")


def _cell(cell: Any) -> Cell:
    if isinstance(cell, str):
        return Cell(cell, _number(cell))
    value = cell.value.get("mean") if isinstance(cell.value, dict) else cell.value
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return Cell(cell.text.replace("+-", "\u00b1"), value if is_number else None)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


class Failure(NamedTuple):
    """A failed run: its id, settings in a few words, error, and the end of its log."""

    run_id: str
    about: str
    error: str
    log: str


def failures_of(out: Folder, runs: Iterable[Run]) -> tuple[list[Failure], int]:
    """The failed runs that are shown, and the number of others."""
    failed = [run for run in runs if run.status == "error"]
    found = []
    for run in failed[:_MOST_FAILURES]:
        summary = run.summary
        what = f"{summary['model']} on {summary['task']}, {summary['role']}"
        about = f"{what}, {candidate_text(summary)}, seed {summary['seed']}"
        found.append(Failure(run.run_id, about, run.error or "no cause is known", log_tail(out, run.run_id)))
    return found, len(failed) - len(found)


def log_tail(out: Folder, run_id: str) -> str:
    """The end of a run's log, its control characters escaped; empty without one."""
    text = read_log(out, run_id) or ""
    cut = f"[{len(text) - _LOG_TAIL} characters before]\n" if len(text) > _LOG_TAIL else ""
    return cut + "\n".join(printable(line) for line in text[-_LOG_TAIL:].splitlines())
