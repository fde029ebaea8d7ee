"""One run for a person to read."""

from __future__ import annotations

from typing import Any

from mtneuro_ray.results.render import markdown
from mtneuro_ray.results.tables import Table
from mtneuro_ray.storage.records import RunRecord


def run_report(record: RunRecord) -> str:
    """Settings, numbers of each split, and the confusion matrix of the test split where there is one."""
    summary = record.summary
    head = (
        f"{summary['model']} on {summary['task']}: lr {summary['learning_rate']:g}, batch {summary['batch_size']}, "
        f"{summary['epochs']} epochs, seed {summary['seed']}"
    )
    if record.status == "error":
        return f"{head}\nerror: {record.error}"
    task = record.settings["task"]
    # A readout's numbers are of no class.
    classes = [] if task["task"] == "readout" else task["classes"]
    tables = [_numbers(record.metrics, classes)]
    confusion = record.metrics.get("test", {}).get("confusion")
    if confusion is not None:
        tables.append(_confusion(confusion, classes))
    return f"{head}\n\n{markdown(tables)}"


def _numbers(metrics: dict[str, Any], classes: list[str]) -> Table:
    rows = []
    for split, values in metrics.items():
        for name, value in values.items():
            if isinstance(value, float):
                rows.append([split, name, f"{value:.4f}", *("" for _ in classes)])
            elif isinstance(value, list) and isinstance(value[0], float):
                rows.append([split, name, "", *(f"{part:.4f}" for part in value)])
    return Table("Metrics", ["split", "metric", "value", *classes], rows)


def _confusion(confusion: list[list[int]], classes: list[str]) -> Table:
    rows = [[name, *map(str, counts)] for name, counts in zip(classes, confusion, strict=True)]
    return Table("Confusion matrix of the test split (rows: truth)", ["", *classes], rows)
