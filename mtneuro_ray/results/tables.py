"""Tables: text for people, and the same as numbers for programs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple


class Value(NamedTuple):
    """A cell with its printed text and its value in JSON."""

    text: str
    value: Any


Cells = Sequence[Value | str]
# A cell without a value. Every row of a table has every column.
MISSING = Value("-", None)


class Table(NamedTuple):
    """One table.

    Attributes:
        title: Subject and data.
        columns: Headings, no two of them the same.
        cells: One list per row.
        groups: First words of headings that stand side by side under this common heading.
        notes: Explanations for the reader, a line each.
    """

    title: str
    columns: list[str]
    cells: Sequence[Cells]
    groups: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> list[list[str]]:
        """The cells as text."""
        return [[cell if isinstance(cell, str) else cell.text for cell in row] for row in self.cells]

    @property
    def heads(self) -> list[list[str]]:
        """The columns as one row of headings, or as two if there are groups."""
        if not self.groups:
            return [self.columns]
        first, second = [], []
        for column in self.columns:
            group = next((group for group in self.groups if column.startswith(f"{group} ")), None)
            first.append(column if group is None else "" if group in first else group)
            second.append("" if group is None else column.removeprefix(f"{group} "))
        return [first, second]


def as_objects(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """Tables for JSON: one object per row, its numbers as numbers. Notes are for people and are left out."""
    return [
        {
            "table": table.title,
            **{
                column: cell if isinstance(cell, str) else cell.value
                for column, cell in zip(table.columns, row, strict=True)
            },
        }
        for table in tables
        for row in table.cells
    ]


def number(value: float, digits: int = 3) -> Value:
    """A number with a fixed number of decimals; in JSON all of them."""
    return Value(f"{value:.{digits}f}", value)


def count(value: int) -> Value:
    """A whole number."""
    return Value(str(value), value)


def mean_of(values: Sequence[float]) -> Value:
    """The mean."""
    return number(statistics.fmean(values))


def mean_and_deviation(values: Sequence[float]) -> Value:
    """`mean +- std` with the sample standard deviation (ddof 1); for one value, the value, and no deviation in JSON."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Value(f"{mean:.3f}", {"mean": mean, "std": None})
    deviation = statistics.stdev(values)
    return Value(f"{mean:.3f} +- {deviation:.3f}", {"mean": mean, "std": deviation})
