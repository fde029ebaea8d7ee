"""Reports: a self-contained HTML page of an output folder, and a text on one run."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mtneuro_ray.results.cautions import confusion_of
from mtneuro_ray.results.frame import CONFUSION, VOXELS, Run
from mtneuro_ray.results.query import Results, best_columns
from mtneuro_ray.results.render import markdown, rows_as_table
from mtneuro_ray.results.tables import Table
from mtneuro_ray.storage.records import RunRecord

if TYPE_CHECKING:
    from mtneuro_ray.results.figures.picture import Picture

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; display: block; overflow-x: auto; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid #ddd; text-align: left; white-space: nowrap; }
th { border-bottom: 2px solid #888; } svg, img { max-width: 100%; height: auto; }
.note { color: #666; }
"""
_ERRORS = ("run_id", "model", "task", "learning_rate", "batch_size", "seed", "error")


def html_page(results: Results, title: str, pictures: Iterable[Picture] = (), notes: Iterable[str] = ()) -> str:
    """The page, as text, which loads nothing from anywhere; each note becomes a paragraph below the pictures."""
    runs, best = results.runs(), results.best()
    statuses = [run["status"] for run in runs]
    failed = [run for run in runs if run["status"] == "error"]
    stopped = f", {statuses.count('stopped')} stopped early" if "stopped" in statuses else ""
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p class='note'>{statuses.count('done')} runs done{stopped}, {len(failed)} failed. Means over seeds, with "
        "the sample standard deviation; candidates are selected on validation, final runs evaluated on test.</p>",
        *([_html_table(rows_as_table("Best candidates", best, best_columns(best)))] if best else []),
        *(_html_table(table) for table in (*results.table(), *results.regions(), *results.proportions())),
        *(f"<h2>{html.escape(picture.title)}</h2>\n{picture.as_html()}" for picture in pictures),
        *(f"<p class='note'>{html.escape(note)}</p>" for note in notes),
    ]
    if failed:
        parts.append(_html_table(rows_as_table("Failed runs", failed, _ERRORS)))
    body = "\n".join(parts)
    head = f"<meta charset='utf-8'><title>{html.escape(title)}</title><style>{_STYLE}</style>"
    return f"<!doctype html>\n<html lang='en'><head>{head}</head>\n<body>\n{body}\n</body></html>\n"


def _html_table(table: Table) -> str:
    heads = "\n".join(
        "<tr>" + "".join(f"<th>{html.escape(name)}</th>" for name in row) + "</tr>" for row in table.heads
    )
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(cell).replace('+-', '&plusmn;')}</td>" for cell in row) + "</tr>"
        for row in table.rows
    )
    notes = "".join(f"\n<p class='note'>{html.escape(note)}</p>" for note in table.notes)
    return f"<h2>{html.escape(table.title)}</h2>\n<table>{heads}\n{rows}\n</table>{notes}"


def run_report(record: RunRecord) -> str:
    """Settings, metrics of each split, and the confusion matrix of the test split if there is one."""
    summary, run = record.summary, Run.of(record)
    head = (
        f"{summary['model']} on {summary['task']}: lr {summary['learning_rate']:g}, batch {summary['batch_size']}, "
        f"{summary['epochs']} epochs, seed {summary['seed']}"
    )
    if record.status == "error":
        return f"{head}\nerror: {record.error}"
    tables = [_numbers(run)]
    confusion = confusion_of(run)
    if confusion is not None:
        rows = [[name, *map(str, counts)] for name, counts in zip(run.classes, confusion, strict=True)]
        tables.append(Table("Confusion matrix of the test split (rows: truth)", ["", *run.classes], rows))
    return f"{head}\n\n{markdown(tables)}"


def _numbers(run: Run) -> Table:
    """A row per split and metric: its value, or one per class; regions and matrices are left out."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for key, place in run.keys.items():
        if not key.region and key.metric != VOXELS and not key.metric.startswith(f"{CONFUSION}/"):
            rows.setdefault((key.split, key.metric), {})[key.class_] = f"{run.values[place]:.4f}"
    # A metric without classes, such as one of a readout, has the first column alone.
    classes = [name for name in run.classes if any(name in cells for cells in rows.values())]
    cells = [[*key, *(row.get(name, "") for name in ("", *classes))] for key, row in rows.items()]
    return Table("Metrics", ["split", "metric", "value", *classes], cells)
