import csv
import io
import json
import statistics
from dataclasses import replace
from typing import Any

import pytest

from mtneuro_ray.results import Results
from mtneuro_ray.results.printing import FORMATS, rows_as_table
from mtneuro_ray.results.report import run_report
from mtneuro_ray.results.tables import MISSING, Table, Value, as_objects, mean_and_deviation
from mtneuro_ray.storage.records import RunRecord
from tests.results.records import (
    benchmark_record,
    classification_record,
    readout_record,
    segmentation_record,
    with_regions,
)
from tests.settings import run_settings

SEEDS = [segmentation_record((0.5, 0.3, 0.1), seed=1), segmentation_record((0.7, 0.2, 0.3), seed=100)]


def test_means_over_seeds_and_their_sample_deviation() -> None:
    [table] = Results.of(SEEDS).table()
    assert table.title == "small, test split, phantom data"
    assert table.columns == ["Method", "lr", "Batch", "Epochs", "Seeds", "Metric", "bg", "vessels", "cells", "Avg."]
    common = ["net", "0.01", "2", "2", "2"]
    # Means of seeds 0.3 and 0.4; the sample deviation of two values is their difference over the square root of 2.
    assert table.rows == [
        [*common, "F1 (dataset)", "0.700", "0.350", "0.300", "0.450 +- 0.071"],
        [*common, "IoU (dataset)", "0.600", "0.250", "0.200", "0.350 +- 0.071"],
        [*common, "F1 (image)", "0.690", "0.340", "0.290", "0.440 +- 0.071"],
        [*common, "IoU (image)", "0.590", "0.240", "0.190", "0.340 +- 0.071"],
    ]


def test_a_classification_table_has_a_row_per_method() -> None:
    records = [classification_record(0.8, 1), classification_record(0.88, 100), classification_record(0.4, 1, epochs=9)]
    [table] = Results.of(records).table()
    assert table.columns[-3:] == ["Accuracy", "Balanced accuracy", "F1"]
    assert table.rows == [
        ["res", "0.01", "2", "2", "2", "0.840 +- 0.057", "0.420 +- 0.028", "0.210 +- 0.014"],
        ["res", "0.01", "2", "9", "1", "0.400", "0.200", "0.100"],
    ]


def test_cells_and_failed_runs_are_in_no_table() -> None:
    failed = RunRecord.failed(run_settings(network={"seed": 3}), "diverged")
    [table] = Results.of([*SEEDS, segmentation_record(role="candidate"), failed]).table()
    assert {row[4] for row in table.rows} == {"2"}
    assert Results.of([failed]).table() == []


def test_a_table_per_setting_and_kind_of_data() -> None:
    others = [
        segmentation_record(task={"name": "another"}),
        segmentation_record(data=("bossdb:image", "bossdb:labels")),
    ]
    titles = [table.title for table in Results.of([*SEEDS, *others]).table()]
    assert titles == [
        "another, test split, phantom data",
        "small, test split, bossdb data",
        "small, test split, phantom data",
    ]


def test_tasks_of_one_name_with_other_classes_have_tables_of_their_own() -> None:
    wider = segmentation_record((0.1, 0.2, 0.3, 0.4), task={"classes": ["bg", "a", "b", "c"]}, classes=4)
    tables = Results.of([*SEEDS, wider]).table()
    assert [len(table.columns) for table in tables] == [11, 10]
    assert all(len(row) == len(table.columns) for table in tables for row in table.rows)


def test_seeds_that_were_read_from_two_addresses_of_one_volume_are_one_method() -> None:
    moved = segmentation_record((0.7, 0.2, 0.3), seed=100, task={"image_chan": "zarr:///copy/image"})
    [table] = Results.of([SEEDS[0], moved]).table()
    assert {row[4] for row in table.rows} == {"2"}


@pytest.mark.parametrize("changes", [{"weight_decay": 0.5}, {"name": "other_3class"}, {"augmentations": True}])
def test_other_settings_are_another_method(changes: dict[str, Any]) -> None:
    [table] = Results.of([*SEEDS, segmentation_record(seed=1, **changes)]).table()
    assert sorted(row[4] for row in table.rows) in ([*["1"] * 4, *["2"] * 4], [*["1 of 2"] * 4, *["2"] * 4])


def test_the_deviation_is_the_sample_s() -> None:
    values = [0.1, 0.2, 0.6]
    assert mean_and_deviation(values).text == f"0.300 +- {statistics.stdev(values):.3f}" == "0.300 +- 0.265"
    assert mean_and_deviation([0.25]).text == "0.250"


TABLES = [
    Table("one & two", ["Method", "Avg."], [["a_b", "0.1 +- 0.2"], ["50% | {x}^~\\$", "1"]]),
    Table("three", ["x"], [["1,5"]]),
]


def test_markdown_is_aligned_and_keeps_bars_in_their_cells() -> None:
    lines = FORMATS["md"](TABLES).splitlines()
    assert lines[0] == "### one & two"
    assert len({len(line) for line in lines[2:6]}) == 1
    assert lines[5].startswith(r"| 50% \| {x}^~\$")
    assert lines[7] == "### three"


GROUPED = Table(
    "grouped",
    ["Method", "old a", "old b", "new a"],
    [["x", Value("0.33", 1 / 3), MISSING, Value("7", 7)]],
    groups=("old", "new"),
    notes=("One & all.",),
)


def test_groups_are_a_row_of_headings_above_the_others() -> None:
    assert FORMATS["md"]([GROUPED]).splitlines() == [
        "### grouped",
        "",
        "| Method | old  |   | new |",
        "|--------|------|---|-----|",
        "|        | a    | b | a   |",
        "| x      | 0.33 | - | 7   |",
        "",
        "- One & all.",
    ]
    assert FORMATS["latex"]([GROUPED]).splitlines() == [
        "% grouped",
        "% One & all.",
        r"\begin{tabular}{llll}",
        r"\toprule",
        r" Method & old a & old b & new a \\",
        r"\midrule",
        r" x & 0.33 & - & 7 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_programs_read_headings_that_are_all_different_and_numbers() -> None:
    assert json.loads(FORMATS["json"]([GROUPED])) == [
        {"table": "grouped", "Method": "x", "old a": 1 / 3, "old b": None, "new a": 7}
    ]
    rows, notes = FORMATS["csv"]([GROUPED, TABLES[1]]).split("\n\n")[:2]
    assert list(csv.reader(io.StringIO(rows))) == [
        ["table", "Method", "old a", "old b", "new a"],
        ["grouped", "x", "0.33", "-", "7"],
    ]
    assert list(csv.reader(io.StringIO(notes))) == [["table", "note"], ["grouped", "One & all."]]


def test_csv_parts_tables_by_a_blank_line() -> None:
    first, second = FORMATS["csv"](TABLES).split("\n\n")
    assert list(csv.reader(io.StringIO(first))) == [
        ["table", "Method", "Avg."],
        ["one & two", "a_b", "0.1 +- 0.2"],
        ["one & two", "50% | {x}^~\\$", "1"],
    ]
    assert list(csv.reader(io.StringIO(second))) == [["table", "x"], ["three", "1,5"]]


def test_json_is_an_object_per_row() -> None:
    assert json.loads(FORMATS["json"](TABLES)) == as_objects(TABLES)
    assert as_objects(TABLES)[2] == {"table": "three", "x": "1,5"}


def test_latex_is_escaped() -> None:
    text = FORMATS["latex"](TABLES)
    assert r"a\_b & 0.1 $\pm$ 0.2 \\" in text
    assert r"50\% | \{x\}\^{}\textasciitilde{}\textbackslash{}\$ & 1 \\" in text
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 2


@pytest.mark.parametrize("start", ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3", "\t=1"])
def test_a_name_that_a_spreadsheet_would_compute_is_text(start: str) -> None:
    table = Table("t", ["x", "y"], [[start, "-0.5 +- 0.1"], ["-", "-1.5e-05"]])
    rows = list(csv.reader(io.StringIO(FORMATS["csv"]([table]))))
    assert rows[1][1] in (f"'{start}", "?=1")
    assert rows[1][2:] + rows[2][1:] == ["-0.5 +- 0.1", "-", "-1.5e-05"]


def test_long_text_of_a_latex_table_is_broken_into_lines() -> None:
    text = FORMATS["latex"]([Table("ties", ["run", "ties", "n"], [["a", "learning_rate 0.001, " * 3, Value("1", 1)]])])
    assert r"\begin{tabular}{lp{6cm}l}" in text


@pytest.mark.parametrize("name", ["md", "csv", "latex"])
def test_no_control_character_of_a_name_reaches_the_output(name: str) -> None:
    table = Table("a\x1b[31m\ntitle", ["x\r"], [["b\n\\input{/etc/passwd}\x07"]], notes=("c\u2028d",))
    text = FORMATS[name]([table])
    assert text.replace("\n", "").isprintable()
    assert not any(line.startswith(("title", "\\input")) for line in text.splitlines())


@pytest.mark.parametrize("name", FORMATS)
def test_no_table_is_no_failure(name: str) -> None:
    assert FORMATS[name]([]) in ("", "[]")


def test_rows_become_text() -> None:
    table = rows_as_table("t", [{"a": 0.123456, "b": None, "c": 3}], ["a", "b", "c", "d"])
    assert table.rows == [["0.1235", "", "3", ""]]


def test_a_report_has_the_numbers_and_the_confusion_matrix() -> None:
    text = run_report(classification_record(0.875, 1))
    assert text.startswith("res on regions: lr 0.01, batch 2, 2 epochs, seed 1\n")
    assert "| test  | accuracy" in text
    assert "0.8750" in text
    assert "| A | 3 | 1 |" in text


def test_a_report_counts_in_whole_numbers() -> None:
    record = classification_record(0.875, 1)
    text = run_report(replace(record, metrics={"test": {**record.metrics["test"], "truth": [300, 14]}}))
    [row] = [line.split() for line in text.splitlines() if " truth " in line]
    assert row == ["|", "test", "|", "truth", "|", "|", "300", "|", "14", "|"]


def test_a_report_of_a_run_with_regions_has_the_numbers_of_its_splits() -> None:
    text = run_report(with_regions(benchmark_record()))
    names = [line.split()[3] for line in text.splitlines() if line.startswith("| test ")]
    ours = [
        f"{kind}/{metric}{mean}" for kind in ("dataset", "image") for metric in ("iou", "f1") for mean in ("", "_mean")
    ]
    assert names == ["loss", *ours]


def test_a_report_of_a_readout_has_its_numbers_and_no_classes() -> None:
    text = run_report(readout_record(0.9))
    assert text.startswith("SUP_ResNet-18_2D on task3: lr 0.03, batch 256, 100 epochs, seed 0\n")
    assert [line.split() for line in text.splitlines() if "cell_size" in line] == [
        ["|", split, "|", "r2/cell_size", "|", value, "|"] for split, value in (("all", "0.6000"), ("test", "0.4000"))
    ]
    assert "bg" not in text


def test_a_report_of_a_failed_run_is_its_error() -> None:
    failed = replace(RunRecord.failed(run_settings(), "diverged: the loss is nan"))
    assert run_report(failed).splitlines()[1:] == ["error: diverged: the loss is nan"]
