"""Tables of final runs: accuracy as in the paper's Table 1, class-wise F1 and IoU as in its Table 2."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mtneuro_ray.results.record import RunRecord

# Heading and metric of each row of a segmentation method; both reductions always stand side by side.
_SEGMENTATION_ROWS = (
    ("F1 (dataset)", "dataset/f1"),
    ("IoU (dataset)", "dataset/iou"),
    ("F1 (image)", "image/f1"),
    ("IoU (image)", "image/iou"),
)
_CLASSIFICATION_COLUMNS = (
    ("Accuracy", "accuracy"),
    ("Balanced accuracy", "balanced_accuracy"),
    ("F1", "f1_mean"),
)


@dataclass(frozen=True, slots=True)
class Table:
    """One table.

    Attributes:
        title: Setting, kind of data and split.
        columns: Headings.
        rows: Cells as text, one list per row.
    """

    title: str
    columns: list[str]
    rows: list[list[str]]


def result_tables(records: Sequence[RunRecord]) -> list[Table]:
    """A table per setting and kind of data, from the finished final runs; a method is one line of settings."""
    groups: dict[tuple[str, str, tuple[str, ...]], dict[str, list[RunRecord]]] = {}
    for record in records:
        if record.status == "done" and record.summary["role"] == "final":
            # Tasks of one name may differ in kind or classes, and so in columns.
            task = record.settings["task"]
            key = (record.summary["setting"], _data_of(record), (task["task"], *task["classes"]))
            groups.setdefault(key, {}).setdefault(method_of(record), []).append(record)
    return [_table(setting, data, list(methods.values())) for (setting, data, _), methods in sorted(groups.items())]


def _data_of(record: RunRecord) -> str:
    identity: str = record.settings["data"][0]
    return identity.partition(":")[0]


def method_of(record: RunRecord) -> str:
    """Everything that names a run but its seed; the addresses of its channels do not."""
    network = {**record.settings["network"], "seed": None}
    task = {**record.settings["task"], "image_chan": None, "annotation_chan": None}
    return json.dumps([record.summary["model"], network, task, record.settings["data"]], sort_keys=True)


def _table(setting: str, data: str, methods: list[list[RunRecord]]) -> Table:
    task = methods[0][0].settings["task"]
    title = f"{setting}, test split, {data} data"
    common = ["Method", "lr", "Batch", "Epochs", "Seeds"]
    if task["task"] == "segmentation":
        columns = [*common, "Metric", *task["classes"], "Avg."]
        return Table(title, columns, [row for runs in methods for row in _segmentation_rows(runs)])
    columns = [*common, *(heading for heading, _ in _CLASSIFICATION_COLUMNS)]
    return Table(title, columns, [_classification_row(runs) for runs in methods])


def _common(runs: list[RunRecord]) -> list[str]:
    summary = runs[0].summary
    numbers = [f"{summary['learning_rate']:g}", str(summary["batch_size"]), str(summary["epochs"]), str(len(runs))]
    return [summary["model"], *numbers]


def _segmentation_rows(runs: list[RunRecord]) -> list[list[str]]:
    rows = []
    for heading, metric in _SEGMENTATION_ROWS:
        per_class = zip(*(run.metrics["test"][metric] for run in runs), strict=True)
        means = [f"{statistics.fmean(values):.3f}" for values in per_class]
        average = mean_and_deviation([run.metrics["test"][f"{metric}_mean"] for run in runs])
        rows.append([*_common(runs), heading, *means, average])
    return rows


def _classification_row(runs: list[RunRecord]) -> list[str]:
    cells = [mean_and_deviation([run.metrics["test"][name] for run in runs]) for _, name in _CLASSIFICATION_COLUMNS]
    return [*_common(runs), *cells]


def mean_and_deviation(values: Sequence[float]) -> str:
    """`mean +- std` with the sample standard deviation (ddof 1); of one value, the value."""
    mean = f"{statistics.fmean(values):.3f}"
    return mean if len(values) < 2 else f"{mean} +- {statistics.stdev(values):.3f}"


def as_objects(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """Tables for JSON: one object per row."""
    return [
        {"table": table.title, **dict(zip(table.columns, row, strict=True))} for table in tables for row in table.rows
    ]
