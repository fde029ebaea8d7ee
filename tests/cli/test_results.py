import csv
import io
import json
from pathlib import Path

import pytest

from mtneuro_ray.cli.main import main
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord
from tests.results.records import FOUR, THREE, benchmark_record, classification_record, with_regions


def folder_of(path: Path, *records: RunRecord) -> list[str]:
    """`--out` of a folder with these runs."""
    runs = RunFolder(Folder(path))
    for record in records:
        runs.write(record)
    return ["--out", str(path)]


@pytest.fixture
def out(tmp_path: Path) -> list[str]:
    finals = [with_regions(benchmark_record(iou, seed=seed)) for iou in (THREE, FOUR) for seed in (1, 100)]
    return folder_of(tmp_path, *finals, benchmark_record(role="candidate", val=0.6))


@pytest.mark.parametrize(
    ("what", "sizes"),
    [("table", [6, 1, 1]), ("proportions", [15, 15]), ("regions", [8, 8]), ("confusion", [3, 4])],
)
def test_tables_of_task_2_print_in_every_format(
    what: str, sizes: list[int], out: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    printed = {}
    for name in ("md", "csv", "json", "latex"):
        assert main(["results", what, *out, "--format", name]) == 0
        printed[name] = capsys.readouterr().out
    rows = sum(sizes)
    assert len(json.loads(printed["json"])) == rows
    titles = [line.removeprefix("### ") for line in printed["md"].splitlines() if line.startswith("### ")]
    assert len(titles) == len(sizes)
    blocks = [list(csv.reader(io.StringIO(block))) for block in printed["csv"].split("\n\n")]
    tables = [block for block in blocks if block[0] != ["table", "note"]]
    assert [len(block) - 1 for block in tables] == sizes
    assert [block[1][0] for block in tables] == titles
    assert printed["latex"].count(r"\begin{tabular}") == len(sizes)
    # Every table has at least a row of headings.
    assert rows + len(sizes) <= printed["latex"].count(r" \\") <= rows + 2 * len(sizes)
    for title in titles:
        assert f"% {title}\n" in printed["latex"]


def test_markdown_says_what_the_data_are(out: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", "table", *out]) == 0
    text = capsys.readouterr().out
    assert text.startswith("### Table 2, I. 2D pixel-level segmentation: phantom data (rows paper: prasad2020)\n")
    assert "- Data: phantom://thalamocortical/image?seed=0&version=1\n" in text
    widths = {len(line) for line in text.split("\n\n")[1].splitlines()}
    assert len(widths) == 1


@pytest.mark.parametrize("what", ["proportions", "regions"])
@pytest.mark.parametrize("record", [benchmark_record(), classification_record(0.9, 1)], ids=["old file", "task 1"])
def test_a_breakdown_that_no_run_has_is_one_line(
    what: str, record: RunRecord, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder_of(tmp_path, record)
    assert main(["results", what, *out]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f"error: {tmp_path}: {what}: no run has them; accepted: finished final runs of a segmentation task\n"
    )


def test_cells_alone_have_no_confusion_matrix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder_of(tmp_path, benchmark_record(role="candidate"))
    assert main(["results", "confusion", *out]) == 2
    assert capsys.readouterr().err.endswith("no run has them; accepted: finished final runs of a task with classes\n")


@pytest.mark.parametrize("what", ["proportions", "regions", "confusion"])
def test_a_model_that_is_not_there_is_one_line(what: str, out: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", what, *out, "--model", "MA-Net"]) == 2
    assert capsys.readouterr().err == "error: --model: no run of 'MA-Net'; accepted: UNet_2D\n"
