"""Reports: a self-contained HTML page of an output folder, and a text on one run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mtneuro_ray.results.cautions import confusion_of
from mtneuro_ray.results.frame import CONFUSION, VOXELS, Run
from mtneuro_ray.results.methods import candidate_text
from mtneuro_ray.results.page.content import Content
from mtneuro_ray.results.page.document import page
from mtneuro_ray.results.printing import markdown
from mtneuro_ray.results.query import Results
from mtneuro_ray.results.tables import Table
from mtneuro_ray.results.tasks import COUNTS
from mtneuro_ray.storage.records import RunRecord

if TYPE_CHECKING:
    from mtneuro_ray.results.page.stored_results import StoredResults


def html_page(
    results: Results, title: str, stored: StoredResults | None = None, price_per_node_hour: float | None = None
) -> str:
    """The page of an output folder, as text, which loads nothing from anywhere.

    Args:
        results: The runs.
        title: Heading of the page.
        stored: Predictions and embeddings of the folder; without it they are left out.
        price_per_node_hour: Price of a host for each hour in which it had a run; without it no cost is shown.
    """
    by_id = {record.run_id: record for record in results.records}

    def records(run_ids: Sequence[str]) -> dict[str, RunRecord]:
        return {run_id: by_id[run_id] for run_id in run_ids if run_id in by_id}

    content = Content(results, records, stored, price_per_node_hour)
    return page({name: content.make(name) for name in content.names}, title=title, **content.context())


def run_report(record: RunRecord) -> str:
    """Settings, metrics of each split, and the confusion matrix of the test split if there is one."""
    summary, run = record.summary, Run.of(record)
    head = (
        f"{summary['model']} on {summary['task']}: {candidate_text(summary)}, {summary['epochs']} epochs, "
        f"seed {summary['seed']}"
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
            digits = 0 if key.metric in COUNTS else 4
            rows.setdefault((key.split, key.metric), {})[key.class_] = f"{run.values[place]:.{digits}f}"
    # A metric without classes, such as one of a readout, has the first column alone.
    classes = [name for name in run.classes if any(name in cells for cells in rows.values())]
    cells = [[*key, *(row.get(name, "") for name in ("", *classes))] for key, row in rows.items()]
    return Table("Metrics", ["split", "metric", "value", *classes], cells)
