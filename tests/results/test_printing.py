"""Tables on a terminal and in a pipe."""

from __future__ import annotations

import re
import sys

import pytest

from mtneuro_ray.results.printing import show
from mtneuro_ray.results.tables import Table

_COLUMNS = [f"column {number}" for number in range(12)]
_TABLE = Table("many", _COLUMNS, [[f"{row}-{number}" for number in range(12)] for row in "ab"], notes=("a note",))


def _shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int, table: Table) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    show([table])
    return re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).splitlines()


@pytest.mark.parametrize(("width", "parts"), [(200, 1), (80, 2), (30, 11)])
def test_a_table_wider_than_the_terminal_comes_in_parts_and_nothing_is_cut(
    width: int, parts: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = _shown(monkeypatch, capsys, width, _TABLE)
    assert max(map(len, lines)) <= width
    assert sum(line.split()[:2] == ["column", "0"] for line in lines) == parts
    words = " ".join(lines).split()
    assert all(words.count(f"{row}-{number}") == (1 if number else parts) for row in "ab" for number in range(12))
    assert words[-3:] == ["-", "a", "note"]


def test_a_cell_wider_than_the_terminal_is_folded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = _shown(monkeypatch, capsys, 30, Table("one", ["a", "b"], [["x", "y" * 70]]))
    assert max(map(len, lines)) <= 30
    assert "".join(lines).count("y") == 70


def test_no_escape_codes_in_a_pipe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    show([_TABLE])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert out.startswith("### many\n\n| column 0 | column 1 |")
