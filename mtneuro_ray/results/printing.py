"""Tables as Markdown, CSV, JSON or LaTeX; each escapes what it would take for code in a name."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mtneuro_ray.results.tables import Table, as_objects

# Characters from which on a cell of LaTeX is broken into lines.
_LONG = 40
# A spreadsheet takes a cell that begins like this for a formula, unless it is a number or a dash.
_FORMULA = re.compile(r"[=+\-@\t\r](?!$)(?![\d.]+(e[+-]?\d+)?( \+- .*)?$)", re.IGNORECASE)


def _plain(text: str) -> str:
    """Text without line breaks and other control characters."""
    return text if text.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in text)


def _grid(rows: Sequence[Sequence[str]], escape: Callable[[str], str] = str) -> list[list[str]]:
    return [[escape(_plain(cell)) for cell in row] for row in rows]


def markdown(tables: Sequence[Table]) -> str:
    """Aligned Markdown, readable in a terminal as it is."""
    return "\n\n".join(
        "\n".join([f"### {_plain(table.title)}", "", *_markdown_rows(table), *_markdown_notes(table)])
        for table in tables
    )


def _markdown_rows(table: Table) -> list[str]:
    columns = [
        [_plain(cell).strip().replace("|", r"\|") for cell in column]
        for column in zip(*table.heads, *table.rows, strict=True)
    ]
    widths = [max(map(len, column)) for column in columns]
    padded = [[cell.ljust(width) for cell in column] for column, width in zip(columns, widths, strict=True)]
    head, *rows = [f"| {' | '.join(row)} |" for row in zip(*padded, strict=True)]
    return [head, f"|{'|'.join('-' * (width + 2) for width in widths)}|", *rows]


def _markdown_notes(table: Table) -> list[str]:
    return ["", *(f"- {_plain(note)}" for note in table.notes)] if table.notes else []


def comma_separated(tables: Sequence[Table]) -> str:
    """CSV: a column names the table, and a blank line parts what has other columns: the tables, and their notes."""
    parts = []
    for table in tables:
        parts.append(_csv(["table", *table.columns], [[table.title, *row] for row in table.rows]))
        if table.notes:
            parts.append(_csv(["table", "note"], [[table.title, note] for note in table.notes]))
    return "\n".join(parts).rstrip("\n")


def _csv(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(quoted([columns, *rows]))
    return out.getvalue()


def quoted(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Rows of CSV in which no cell is a formula."""
    return _grid(rows, lambda cell: f"'{cell}" if _FORMULA.match(cell) else cell)


def as_json(tables: Sequence[Table]) -> str:
    """A JSON list with one object per row."""
    return json.dumps(as_objects(tables), indent=1)


def latex(tables: Sequence[Table]) -> str:
    """A tabular environment per table, for booktabs."""
    import tabulate

    # Headings are as wide as their text.
    tabulate.MIN_PADDING = 0
    parts = []
    for table in tables:
        head, *rows = _grid([table.columns, *table.rows])
        body = tabulate.tabulate([head, *rows], headers="firstrow", tablefmt="latex_booktabs", disable_numparse=True)
        about = [f"% {_plain(line)}" for line in (table.title, *table.notes)]
        # Long text wraps.
        kinds = ["p{6cm}" if max(map(len, cells)) > _LONG else "l" for cells in zip(head, *rows, strict=True)]
        body = body.replace(f"{{tabular}}{{{'l' * len(kinds)}}}", f"{{tabular}}{{{''.join(kinds)}}}", 1)
        parts.append("\n".join([*about, re.sub(r" +", " ", body).replace("+-", r"$\pm$")]))
    return "\n\n".join(parts)


FORMATS: dict[str, Callable[[Sequence[Table]], str]] = {
    "md": markdown,
    "csv": comma_separated,
    "json": as_json,
    "latex": latex,
}


def show(tables: Sequence[Table], kind: str = "md") -> None:
    """Print tables; `md` with lines on a terminal, as Markdown elsewhere."""
    if kind == "md" and sys.stdout.isatty():
        _draw(tables)
    else:
        print(FORMATS[kind](tables))


def _draw(tables: Sequence[Table]) -> None:
    """Print tables with lines and bold headings, those that are wider than the terminal in parts."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    console = Console(highlight=False)
    for table in tables:
        heads = ["\n".join(filter(None, names)) for names in zip(*_grid(table.heads), strict=True)]
        columns = list(zip(*_grid(table.rows), strict=True)) or [()] * len(heads)
        widths = [max(map(len, (*head.split("\n"), *column))) for head, column in zip(heads, columns, strict=True)]
        title = _plain(table.title)
        for part in _parts(widths, console.width):
            grid = Grid(title=Text(title), title_justify="left", box=SIMPLE_HEAD)
            for place in part:
                grid.add_column(Text(heads[place]), overflow="fold")
            for number in range(len(table.rows)):
                grid.add_row(*(Text(columns[place][number]) for place in part))
            console.print(grid)
            title = f"{_plain(table.title)}, more columns"
        console.print(*(Text(f"- {_plain(note)}") for note in table.notes), sep="\n", end="\n" * bool(table.notes))


def _parts(widths: Sequence[int], space: int) -> list[list[int]]:
    """Places of columns in parts that fit in the width of a terminal; the first column begins each part.

    Args:
        widths: Letters of each column; a drawn one has three more, and a line two.
        space: Letters of a line.
    """
    parts: list[list[int]] = []
    for place in range(1, len(widths)):
        if not parts or sum(widths[each] + 3 for each in (*parts[-1], place)) + 2 > space:
            parts.append([0])
        parts[-1].append(place)
    return parts or [[*range(len(widths))]]


def rows_as_table(title: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Table:
    """Mappings as a table with these columns; floats are rounded, None is empty."""
    return Table(title, list(columns), [[_text(row.get(column)) for column in columns] for row in rows])


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
