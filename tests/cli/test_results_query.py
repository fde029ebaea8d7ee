"""`results sql` and `results compare`, filters, order, formats and files of every listing."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pandas as pd
import pytest

from mtneuro_ray.cli.main import main
from tests.cli.commands import only_error
from tests.cli.test_results import folder_of
from tests.results.compare.scored import write_experiment
from tests.results.records import segmentation_record


@pytest.fixture
def out(tmp_path: Path) -> list[str]:
    return folder_of(
        tmp_path / "out",
        segmentation_record(role="candidate", val=0.2, learning_rate=0.1),
        segmentation_record(role="candidate", val=0.6, learning_rate=0.01),
        segmentation_record((0.5, 0.3, 0.1), seed=1),
        segmentation_record((0.7, 0.2, 0.3), seed=100),
    )


@pytest.fixture
def compared(tmp_path: Path) -> list[str]:
    write_experiment(tmp_path / "out", 0.10)
    write_experiment(tmp_path / "out", 0.14, first=50, name="other_3class", start_filters=8)
    return ["results", "compare", "--out", str(tmp_path / "out")]


def printed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 0
    return capsys.readouterr().out


def test_an_answer_is_markdown_csv_json_or_parquet(
    out: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    query = ["results", "sql", "SELECT seed, score / 3 AS third FROM runs WHERE role = 'final' ORDER BY seed", *out]
    assert printed(query, capsys).startswith("### Answer\n\n| seed | third  |\n|------|--------|\n| 1 ")
    rows = json.loads(printed([*query, "--format", "json"], capsys))
    assert [row["seed"] for row in rows] == [1, 100]
    lines = list(csv.reader(printed([*query, "--format", "csv"], capsys).splitlines()))
    assert lines[0] == ["seed", "third"]
    # Numbers are whole in files for programs.
    assert [float(line[1]) for line in lines[1:]] == [row["third"] for row in rows]
    for name in ("a.parquet", "a.json", "a.csv"):
        assert printed([*query, "--to", str(tmp_path / name)], capsys) == ""
    assert pd.read_parquet(tmp_path / "a.parquet").to_dict("records") == rows
    assert json.loads((tmp_path / "a.json").read_text()) == rows
    assert pd.read_csv(tmp_path / "a.csv").to_dict("records") == rows


def test_the_whole_frame_is_written_as_parquet(
    out: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "frame.parquet"
    printed(["results", "sql", "FROM frame", *out, "--to", str(file)], capsys)
    assert {"run_id", "metric", "class", "value", "optimizer.learning_rate"} <= {*pd.read_parquet(file).columns}


def test_runs_are_filtered_and_sorted(out: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    listed = ["results", "runs", *out, "--format", "json"]
    rows = json.loads(printed([*listed, "--sort", "score:desc"], capsys))
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    rows = json.loads(printed([*listed, "--where", "role = 'final'", "--sort", "test/dataset/iou_mean"], capsys))
    assert [row["seed"] for row in rows] == [1, 100]
    shown = printed(["results", "runs", *out, "--sort", "val/loss"], capsys)
    assert "| val/loss |" in shown


def test_tables_are_filtered_too_and_written_to_a_file(
    out: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "table.tex"
    printed(["results", "table", *out, "--where", "seed = 1", "--to", str(file)], capsys)
    assert file.read_text().count(r"\begin{tabular}") == 1


def test_a_comparison_prints_its_sentence_and_its_numbers(
    compared: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(compared, capsys)
    assert "\n- net is better than other by 0." in text
    [row] = json.loads(printed([*compared, "--format", "json"], capsys))
    assert (row["first"], row["second"], row["is_told_apart"], row["seeds"]) == ("net", "other", True, 3)
    [longer] = json.loads(printed([*compared, "--format", "json", "--block", "12"], capsys))
    assert (longer["block"], longer["blocks"]) == (12, 8)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["runs", "--format", "parquet"], "--format: parquet is no text; accepted: with --to FILE"),
        (["table", "--to", "a.parquet"], "--format: parquet, of results table; accepted: for best, runs, sql and com"),
        (["runs", "--sort", "x"], "--sort: no column 'x'; accepted: run_id, "),
        (["table", "--sort", "x"], "--sort: results table; accepted: for best and runs"),
        (["runs", "--sort", "sed:desc"], "--sort: no column 'sed'; did you mean 'seed'?; accepted: run_id, "),
        (["runs", "--where", "modle = 'net'"], "not found in FROM clause!; did you mean 'model'?; accepted: a query"),
        (["sql", "SELECT * FROM run"], "Table with name run does not exist!; did you mean 'runs'?; accepted: a query"),
        (["sql", 'SELECT "optimizer.learning_rte" FROM frame'], "; did you mean 'optimizer.learning_rate'?; accepted"),
        (["best", "--metric", "iou_maen"], "no candidate has 'iou_maen'; did you mean 'val/dataset/iou_mean'?"),
        (["table", "--metric", "val/loss"], "--metric: results table; accepted: for best and compare"),
        (["runs", "--mode", "min"], "--mode: results runs; accepted: for best"),
        (["runs", "--where", "x"], '--where: Binder Error: Referenced column "x" not found'),
        (["sql"], "results sql: accepted: results sql QUERY"),
        (["best", "--pairs"], "--pairs, --paper, --block: results best; accepted: for compare"),
        (["runs", "--out", "other"], "--out: stands twice; accepted: once, or several times for compare"),
        (["compare"], "there is nothing to compare; accepted: two experiments"),
    ],
)
def test_a_wrong_option_is_one_line(
    arguments: list[str], text: str, out: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["results", *arguments, *out]) == 2
    assert text in only_error(capsys)
