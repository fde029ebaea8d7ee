"""Tables of measurements for people: shares, components and lengths."""

from __future__ import annotations

from typing import Any

from mtneuro_ray.results.tables import MISSING, Cells, Table, Value, count, number
from mtneuro_ray.results.tissue.label_source import Labels

Row = dict[str, Any]

# Key, title, digits and factor of each number.
_LENGTHS = (
    ("um", "mm", 3, 1e-3),
    ("mm_per_mm3", "mm per mm3", 1, 1.0),
    ("mean_diameter_um", "Diameter um", 2, 1.0),
)
_LENGTHS_IN_VOXELS = (("voxels", "Voxels", 1, 1.0),)


def tables_of(rows: list[Row], labels: Labels, min_voxels: int) -> list[Table]:
    """One table of shares, one of each counted class, and one of lengths where there are any.

    Args:
        rows: Rows of `Measurements`.
        labels: What was measured.
        min_voxels: Components of fewer voxels are left out.
    """
    known = labels.voxel_size_um is not None
    tables = [_shares(rows, labels)]
    tables += [_sizes(name, rows, known, min_voxels) for name in rows[0]["components"]]
    return [*tables, _lengths(rows, known)] if rows[0]["length"] else tables


def _shares(rows: list[Row], labels: Labels) -> Table:
    known = labels.voxel_size_um is not None
    names = list(labels.classes)
    columns = ["Box (z, y, x)", "Region", "mm3" if known else "Voxels", *(f"% {name}" for name in names)]
    cells: list[Cells] = []
    for row in rows:
        size = number(row["mm3"], 6) if known else count(row["voxels"])
        shares = [_optional(row["classes"][name]["share"], 2, 100.0) for name in names]
        cells.append([*_where(row), size, *shares])
    return Table(f"Shares of the volume of {labels.uri}", columns, cells)


def _sizes(name: str, rows: list[Row], known: bool, min_voxels: int) -> Table:
    unit = "um3" if known else "voxels"
    density = ["Per mm3"] if known else []
    columns = ["Box (z, y, x)", "Region", "Count", "At border", *density]
    columns += [f"{word} {unit}" for word in ("Mean", "Std", "5 %", "Median", "95 %")]
    cells: list[Cells] = []
    for row in rows:
        found = row["components"][name]
        dense = [_optional(found["per_mm3"], 0)] if known else []
        sizes = [_optional(found[unit].get(key), 1) for key in ("mean", "std", "p5", "p50", "p95")]
        cells.append([*_where(row), count(found["count"]), count(found["at_border"]), *dense, *sizes])
    least = f", of {min_voxels} voxels or more" if min_voxels > 1 else ""
    return Table(f"Components of {name} (26 neighbours{least})", columns, cells)


def _lengths(rows: list[Row], known: bool) -> Table:
    shown = _LENGTHS if known else _LENGTHS_IN_VOXELS
    columns = ["Class", "Box (z, y, x)", "Region", *(title for _, title, _, _ in shown)]
    cells: list[Cells] = []
    for name in rows[0]["length"]:
        for row in rows:
            found = row["length"][name]
            numbers = [_optional(found[key], digits, factor) for key, _, digits, factor in shown]
            cells.append([name, *_where(row), *numbers])
    return Table("Length by skeleton", columns, cells)


def _where(row: Row) -> list[str]:
    return [row["box"] or "all", row["region"] or "-"]


def _optional(value: float | None, digits: int, factor: float = 1.0) -> Value:
    return MISSING if value is None else Value(f"{value * factor:.{digits}f}", value)
