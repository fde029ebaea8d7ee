"""Rows and tables of `mtneuro-ray results` in the format that is asked for, on stdout or in a file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mtneuro_ray.errors import InputError, nearest
from mtneuro_ray.results.printing import FORMATS, quoted, rows_as_table, show
from mtneuro_ray.results.tables import Table

Format = Literal["md", "csv", "json", "latex", "parquet"]
Rows = Sequence[Mapping[str, Any]]

_BY_SUFFIX: dict[str, Format] = {
    ".md": "md",
    ".csv": "csv",
    ".json": "json",
    ".tex": "latex",
    ".parquet": "parquet",
}


@dataclass(frozen=True)
class Output:
    """Where an answer goes, and how.

    Attributes:
        format: The format.
        to: Path of a file; stdout if None.
    """

    format: Format
    to: str | None = None

    @classmethod
    def of(cls, format: Format | None, to: str | None) -> Output:
        """The output of `--format` and `--to`; the format follows from the suffix of the file, else it is Markdown.

        Raises:
            InputError: Parquet is asked for without a file.
        """
        found = format or (_BY_SUFFIX.get(Path(to).suffix.lower(), "md") if to else "md")
        if found == "parquet" and to is None:
            raise InputError("--format: parquet is no text; accepted: with --to FILE")
        return cls(found, to)

    def tables(self, tables: Sequence[Table], what: str) -> None:
        """Put out tables.

        Raises:
            InputError: they are asked for as Parquet.
        """
        if self.format == "parquet":
            raise InputError(f"--format: parquet, of results {what}; accepted: for best, runs, sql and compare")
        if self.to is None:
            show(tables, self.format)
        else:
            self._write(FORMATS[self.format](tables).encode() + b"\n")

    def rows(self, title: str, rows: Rows, columns: Sequence[str], *, whole: bool = False) -> None:
        """Put out rows: in text these columns, in JSON and Parquet all; in CSV numbers are rounded unless `whole`."""
        if self.format == "json":
            self._put(json.dumps(rows, indent=1, default=str))
        elif self.format == "parquet":
            self._write(_as_parquet(rows))
        elif self.format == "csv" and whole:
            self._put(_as_csv(rows, columns).rstrip("\n"))
        else:
            self.tables([rows_as_table(title, rows, columns)], title)

    def _put(self, text: str) -> None:
        if self.to is None:
            print(text)
        else:
            self._write(text.encode() + b"\n")

    def _write(self, content: bytes) -> None:
        assert self.to is not None
        Path(self.to).write_bytes(content)


def _as_parquet(rows: Rows) -> bytes:
    import pyarrow.parquet as pq

    from mtneuro_ray.results.sql import table_of

    sink = io.BytesIO()
    pq.write_table(table_of(rows), sink, compression="zstd")
    return sink.getvalue()


def _as_csv(rows: Rows, columns: Sequence[str]) -> str:
    out = io.StringIO()
    lines = [["" if row[column] is None else str(row[column]) for column in columns] for row in rows]
    csv.writer(out, lineterminator="\n").writerows(quoted([[*columns], *lines]))
    return out.getvalue()


def ordered(rows: Rows, sort: str | None) -> list[Mapping[str, Any]]:
    """Rows by a column, `NAME` or `NAME:desc`; those without a value last.

    Raises:
        InputError: no row has the column.
    """
    if sort is None:
        return list(rows)
    name, _, direction = sort.rpartition(":") if sort.endswith((":asc", ":desc")) else (sort, "", "asc")
    names = dict.fromkeys(key for row in rows for key in row)
    if name not in names:
        raise InputError(f"--sort: no column {name!r}{nearest(name, names)}; accepted: {', '.join(names)}")
    known = [row for row in rows if row.get(name) is not None]
    known.sort(key=lambda row: (isinstance(row[name], str), row[name]), reverse=direction == "desc")
    return [*known, *(row for row in rows if row.get(name) is None)]
