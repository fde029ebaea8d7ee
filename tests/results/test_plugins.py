"""Tables of what the package does not have: kinds of task, metrics, methods and models of a plugin."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mtneuro_ray import registry
from mtneuro_ray.results import Results
from mtneuro_ray.storage.records import RunRecord
from mtneuro_ray.tasks.base import Heading, TaskDeclaration
from tests.results.records import THREE, benchmark_record, encoder_record, segmentation_record

EXAMPLE = "examples.plugin.mtneuro_example"
KIND = f"{EXAMPLE}.task:MORPHOMETRY"
TWICE = TaskDeclaration(
    name="twice",
    summary="Scored on two splits",
    build="none:none",
    labels="image",
    selection=(),
    shown="all/fit",
    headings=(Heading("fit", "Fit"),),
    splits={"all": "Fitted", "test": "Held out"},
    untabled=("aside",),
)


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry points of the example's metrics."""
    points = {
        "mtneuro_ray.metrics": {
            "volume_error": f"{EXAMPLE}.task:VOLUME_ERROR",
            "surface_distance": f"{EXAMPLE}.metric:SURFACE_DISTANCE",
        }
    }
    monkeypatch.setattr(registry, "_entry_points", lambda group: points.get(group, {}))


def of_kind(record: RunRecord, kind: str, metrics: dict[str, Any], **network: Any) -> RunRecord:
    """The record as one of another kind of task with other metrics."""
    settings = {**record.settings, "task": {**record.settings["task"], "task": kind}}
    evaluation = {**settings["network"]["evaluation"], **network}
    return replace(
        record, settings={**settings, "network": {**settings["network"], "evaluation": evaluation}}, metrics=metrics
    )


def test_a_kind_of_task_has_a_table_of_its_own_metrics_and_its_own_best() -> None:
    test = {"volume_error": [0.1, 0.2, 0.3], "volume_error_mean": 0.2, "surface_distance": [1.0, 2.0, 3.0], "loss": 1.0}
    finals = [of_kind(segmentation_record(seed=seed), KIND, {"test": test}) for seed in (1, 2)]
    candidates = [
        of_kind(segmentation_record(role="candidate", learning_rate=rate), KIND, {"val": {"volume_error_mean": value}})
        for rate, value in ((0.1, 0.4), (0.2, 0.3))
    ]
    results = Results.of([*finals, *candidates])
    [table] = results.table()
    assert table.title == "small, test split, phantom data"
    assert table.columns[5:] == ["Metric", "bg", "vessels", "cells", "Avg."]
    assert [row[5:] for row in table.rows] == [
        ["Share error", "0.100", "0.200", "0.300", "0.200 +- 0.000"],
        ["Surface distance", "1.000", "2.000", "3.000", "2.000 +- 0.000"],
    ]
    # Its metric is an error: the smallest is the best.
    [best] = results.best()
    assert (best["metric"], best["value"], best["learning_rate"]) == ("val/volume_error_mean", 0.3, 0.2)
    assert results.runs()[0]["metric"] == "val/volume_error_mean"


def test_a_kind_says_which_splits_and_metrics_its_tables_show() -> None:
    metrics = {split: {"fit": fit, "aside": 0.1, "recall": 0.3} for split, fit in (("all", 0.9), ("test", 0.5))}
    [table] = Results.of([of_kind(segmentation_record(), f"{__name__}:TWICE", metrics)]).table()
    assert table.title == "small, phantom data"
    assert table.columns[5:] == ["Metric", "Fit", "recall"]
    assert [row[5:] for row in table.rows] == [["Fitted", "0.900", "0.300"], ["Held out", "0.500", "0.300"]]


def test_a_kind_that_is_not_installed_shows_what_its_runs_have() -> None:
    metrics = {"val": {"drift": 0.5}, "test": {"drift": 0.25, "loss": 1.0, "count": 3}}
    results = Results.of([of_kind(segmentation_record(), "elsewhere", metrics)])
    [table] = results.table()
    assert table.columns[5:] == ["drift", "count"]
    assert table.rows[0][5:] == ["0.250", "3.000"]
    assert results.runs()[0]["score"] == 0.5


def test_a_metric_that_was_added_to_a_benchmark_task_has_a_table_beside_the_paper_s() -> None:
    record = benchmark_record(THREE)
    record.metrics["test"]["mtneuro_example.metric:SURFACE_DISTANCE"] = [1.5, 2.5, 3.5]
    first, second = Results.of([record]).table()[:2]
    assert first.title == "task2_2D_3class, test split, phantom data"
    assert [row[5:] for row in first.rows] == [
        ["mtneuro_example.metric:SURFACE_DISTANCE", "1.500", "2.500", "3.500", "2.500"]
    ]
    assert second.title.startswith("Table 2")


def test_a_method_that_the_paper_lacks_is_one_more_row_by_its_own_name() -> None:
    record = encoder_record(0.75, method="BYOL")
    network = {**record.settings["network"], "method": {"name": "mtneuro_example.method:SIMCLR", "epochs": 100}}
    other = replace(
        record,
        settings={**record.settings, "network": network},
        summary={**record.summary, "model": "SimCLR"},
        run_id="x",
    )
    [table] = Results.of([encoder_record(0.5), other]).table()
    assert [row[0] for row in table.rows] == [
        "Supervised",
        "Sup w/ Mixup",
        "BYOL",
        "MYOW",
        "MYOW-m",
        "PCA",
        "NMF",
        "SimCLR",
    ]
    assert table.rows[-1][1:4] == ["0.750", "0.650", "-"]
