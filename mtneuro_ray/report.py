"""A self-contained HTML page of an output folder: tables, learning curves, the grid, what failed."""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from typing import Any

from mtneuro_ray.config.space import METRICS
from mtneuro_ray.results.query import BEST_COLUMNS, Results
from mtneuro_ray.results.record import RunRecord
from mtneuro_ray.results.render import rows_as_table
from mtneuro_ray.results.tables import Table

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; display: block; overflow-x: auto; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid #ddd; text-align: left; white-space: nowrap; }
th { border-bottom: 2px solid #888; } svg { max-width: 100%; height: auto; }
.note { color: #666; }
"""
_ERRORS = ("run_id", "model", "setting", "learning_rate", "batch_size", "seed", "error")


def html_page(results: Results, title: str) -> str:
    """The page, as text. It loads nothing from anywhere."""
    done = [record for record in results.records if record.status == "done"]
    failed = [run for run in results.runs() if run["status"] == "error"]
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p class='note'>{len(done)} runs done, {len(failed)} failed. Means over seeds, with the sample standard "
        "deviation; cells are selected on validation, seeds are evaluated on the test split.</p>",
        _html_table(rows_as_table("Best cells", results.best(), BEST_COLUMNS)),
        *(_html_table(table) for table in results.table()),
    ]
    for (setting, model), records in _by_method(done).items():
        parts.append(f"<h2>{html.escape(f'{model} on {setting}')}: learning curves and grid</h2>")
        parts.append(_figure(records))
    if failed:
        parts.append(_html_table(rows_as_table("Failed runs", failed, _ERRORS)))
    body = "\n".join(parts)
    head = f"<meta charset='utf-8'><title>{html.escape(title)}</title><style>{_STYLE}</style>"
    return f"<!doctype html>\n<html lang='en'><head>{head}</head>\n<body>\n{body}\n</body></html>\n"


def _html_table(table: Table) -> str:
    heads = "".join(f"<th>{html.escape(name)}</th>" for name in table.columns)
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(cell).replace('+-', '&plusmn;')}</td>" for cell in row) + "</tr>"
        for row in table.rows
    )
    return f"<h2>{html.escape(table.title)}</h2>\n<table><tr>{heads}</tr>\n{rows}\n</table>"


def _by_method(records: Sequence[RunRecord]) -> dict[tuple[str, str], list[RunRecord]]:
    groups: dict[tuple[str, str], list[RunRecord]] = {}
    for record in records:
        groups.setdefault((record.summary["setting"], record.summary["model"]), []).append(record)
    return groups


def _figure(records: Sequence[RunRecord]) -> str:
    """Training loss, validation metric and, where a grid was searched, its heat map, as inline SVG."""
    from matplotlib.figure import Figure

    metric = METRICS[records[0].settings["task"]["task"]][0]
    grid = _grid(records, metric)
    figure = Figure(figsize=(13 if grid else 9, 3.4), layout="constrained")
    axes = figure.subplots(1, 3 if grid else 2)
    for axis, key in zip(axes, ("train/loss", metric), strict=False):
        _draw_curves(axis, records, key)
    if grid:
        _draw_grid(figure, axes[2], grid, metric)
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def _draw_curves(axis: Any, records: Sequence[RunRecord], key: str) -> None:
    for role, colour in (("cell", "#b8b8b8"), ("final", "#1f6fb2")):
        label: str | None = {"cell": "cells", "final": "seeds"}[role]
        for record in records:
            if record.summary["role"] == role:
                epochs = [entry["epoch"] for entry in record.history]
                axis.plot(epochs, [entry[key] for entry in record.history], ".-", color=colour, lw=1, label=label)
                label = None
    axis.set(xlabel="epoch", ylabel=key)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.legend(frameon=False)


_Grid = dict[tuple[float, int], float]


def _grid(records: Sequence[RunRecord], metric: str) -> _Grid:
    """Learning rate and batch size -> value of the cells; empty where there are not two of them."""
    cells = [record for record in records if record.summary["role"] == "cell"]
    values = {
        (record.summary["learning_rate"], record.summary["batch_size"]): value
        for record in cells
        if (value := record.metric(metric)) is not None
    }
    return values if len(values) > 1 else {}


def _draw_grid(figure: Any, axis: Any, grid: _Grid, metric: str) -> None:
    rates, sizes = sorted({rate for rate, _ in grid}), sorted({size for _, size in grid})
    table = [[grid.get((rate, size), float("nan")) for size in sizes] for rate in rates]
    picture = axis.imshow(table, cmap="viridis", aspect="auto")
    middle = (min(grid.values()) + max(grid.values())) / 2
    for (rate, size), value in grid.items():
        colour = "white" if value < middle else "black"
        axis.text(sizes.index(size), rates.index(rate), f"{value:.3f}", ha="center", va="center", color=colour)
    axis.set(xlabel="batch size", ylabel="learning rate", title=metric)
    axis.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    axis.set_yticks(range(len(rates)), [f"{rate:g}" for rate in rates])
    figure.colorbar(picture, ax=axis)
