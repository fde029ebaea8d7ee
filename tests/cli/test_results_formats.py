import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mtneuro_ray.cli.main import main
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord
from tests.cli.commands import only_error
from tests.results.records import segmentation_record
from tests.settings import run_settings


@pytest.fixture
def out(tmp_path: Path) -> list[str]:
    """`--out` of a folder with two candidates, one of them best, two seed runs and a failure."""
    runs = RunFolder(Folder(tmp_path))
    for record in (
        segmentation_record(role="candidate", val=0.2, learning_rate=0.1),
        segmentation_record(role="candidate", val=0.6, learning_rate=0.01),
        segmentation_record((0.5, 0.3, 0.1), seed=1),
        segmentation_record((0.7, 0.2, 0.3), seed=100),
        RunRecord.failed(run_settings(network={"seed": 3}), "diverged"),
    ):
        runs.write(record)
    return ["--out", str(tmp_path)]


def test_the_best_cell_as_json_has_the_keys_that_scripts_read(
    out: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["results", "best", *out, "--format", "json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert set(row) == {"model", "task", "learning_rate", "batch_size", "metric", "value", "run_id"}
    assert (row["learning_rate"], row["value"]) == (0.01, 0.6)


@pytest.mark.parametrize("what", ["best", "table", "runs"])
def test_results_print_in_every_format(what: str, out: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    printed = {}
    for name in ("md", "csv", "json", "latex"):
        assert main(["results", what, *out, "--format", name]) == 0
        printed[name] = capsys.readouterr().out
    rows = {"best": 1, "table": 4, "runs": 5}[what]
    assert len(json.loads(printed["json"])) == rows
    assert len(list(csv.reader(io.StringIO(printed["csv"].split("\n\n")[0])))) == rows + 1
    assert len([line for line in printed["md"].splitlines() if line.startswith("| ")]) == rows + 1
    assert printed["latex"].count(r"\\") == rows + 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["table", "--model", "VNet"], "--model: no run of 'VNet'; accepted: net"),
        (["runs", "--task", "x"], "--task: no run of 'x'; accepted: small"),
        (
            ["best", "--metric", "val/iou"],
            "--metric: no candidate has 'val/iou'; did you mean 'val/dataset/iou_mean'?; accepted: "
            "val/dataset/iou_mean, val/loss",
        ),
    ],
)
def test_a_question_about_what_is_not_there_is_one_line(
    arguments: list[str], text: str, out: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["results", *arguments, *out]) == 2
    assert only_error(capsys) == f"error: {text}"


def test_a_reader_that_has_seen_enough_is_no_error(out: list[str]) -> None:
    code = "import sys; from mtneuro_ray.cli.main import main; sys.exit(main(sys.argv[1:]))"
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-c", code, "results", "runs", *out],
            stdout=closed,
            stderr=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            check=False,
        )
    # On a slow machine reading takes long enough to tell of itself.
    told = [line for line in done.stderr.splitlines() if not line.startswith(b"reading the runs of ")]
    assert (done.returncode, told) == (0, [])


def test_a_home_folder_is_found_behind_an_equals_sign(
    out: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(Path(out[1]).parent))
    assert main(["results", "runs", f"--out=~/{Path(out[1]).name}", "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 5
