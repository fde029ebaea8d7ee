"""Tables as Markdown, CSV, JSON or LaTeX."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mtneuro_ray.results.tables import Table, as_objects

_LATEX = str.maketrans(
    {
        **{character: "\\" + character for character in "&%_#${}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
    }
)


def markdown(tables: Sequence[Table]) -> str:
    """Aligned Markdown, readable in a terminal as it is."""
    return "\n\n".join(_markdown(table) for table in tables)


def _markdown(table: Table) -> str:
    grid = [[cell.replace("|", r"\|") for cell in row] for row in (*table.heads, *table.rows)]
    widths = [max(len(row[column]) for row in grid) for column in range(len(table.columns))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in grid
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    notes = ["", *(f"- {note}" for note in table.notes)] if table.notes else []
    return "\n".join([f"### {table.title}", "", lines[0], rule, *lines[1:], *notes])


def comma_separated(tables: Sequence[Table]) -> str:
    """CSV; a column tells the table, and a blank line parts what has other columns: the tables, and their notes."""
    parts = []
    for table in tables:
        parts.append(_csv(["table", *table.columns], [[table.title, *row] for row in table.rows]))
        if table.notes:
            parts.append(_csv(["table", "note"], [[table.title, note] for note in table.notes]))
    return "\n".join(parts).rstrip("\n")


def _csv(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([columns, *rows])
    return out.getvalue()


def as_json(tables: Sequence[Table]) -> str:
    """A JSON list with one object per row."""
    return json.dumps(as_objects(tables), indent=1)


def latex(tables: Sequence[Table]) -> str:
    """A tabular environment per table, for booktabs."""
    return "\n\n".join(_latex(table) for table in tables)


def _latex(table: Table) -> str:
    heads, rows = (
        [" & ".join(_escaped(cell) for cell in row) + r" \\" for row in part] for part in (table.heads, table.rows)
    )
    return "\n".join(
        [
            *(f"% {line}" for line in (table.title, *table.notes)),
            r"\begin{tabular}{" + "l" * len(table.columns) + "}",
            r"\toprule",
            *heads,
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def _escaped(text: str) -> str:
    return text.translate(_LATEX).replace("+-", r"$\pm$")


FORMATS: dict[str, Callable[[Sequence[Table]], str]] = {
    "md": markdown,
    "csv": comma_separated,
    "json": as_json,
    "latex": latex,
}


def rows_as_table(title: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Table:
    """Mappings as a table with these columns; floats are rounded, None is empty."""
    return Table(title, list(columns), [[_text(row.get(column)) for column in columns] for row in rows])


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
