"""`predict` and `figures`, from a training in this process to files that open."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mtneuro_ray.cli.main import main
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord
from tests.results.page.reading import Page
from tests.settings import run_settings
from tests.tiny import write_tiny

KINDS = (
    "slices_t",
    "volume_t_left",
    "volume_t_right",
    "curves_t_tiny_segmentation",
    "confusion_t_tiny_segmentation",
    "seeds_tiny_segmentation",
    "classes_tiny_segmentation",
    "timings",
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with two seeds of one method; not to be written to."""
    folder = tmp_path_factory.mktemp("trained")
    tiny = write_tiny(folder / "tiny", name="t")
    for seed in ("3", "2"):
        where = ["--task", str(tiny.task), "--network", str(tiny.network), "--store", str(folder / "out" / "store")]
        assert main(["train", *where, "--workers", "0", "--seed", seed, "--out", str(folder / "out")]) == 0
    return folder / "out"


@pytest.fixture
def out(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MTNEURO_STORE", raising=False)
    return Path(shutil.copytree(trained, tmp_path / "out"))


def run_ids(out: Path) -> dict[int, str]:
    return {record.summary["seed"]: record.run_id for record in RunFolder(Folder(out)).all()}


def train_ids(out: Path) -> dict[int, str]:
    runs = [RunSettings.load(record.settings, record.run_id) for record in RunFolder(Folder(out)).all()]
    return {run.network.seed: run.train_id for run in runs}


def test_predict_takes_the_first_seed_and_says_that_the_numbers_are_the_runs(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "--out", str(out)]) == 0
    said = capsys.readouterr()
    ids = run_ids(out)
    assert [path.name for path in (out / "predictions").iterdir()] == [f"{ids[2]}.zarr"]
    assert f"{ids[2]}.zarr: read back from there; equal to the test metrics in the run's file" in said.out
    metrics = RunFolder(Folder(out)).read(ids[2])
    assert metrics is not None
    assert f"{metrics.metrics['test']['dataset/iou_mean']:.4f}" in said.out
    assert said.err == ""

    chosen = [argument for seed in (3, 2) for argument in ("--run", ids[seed])]
    assert main(["predict", "--out", str(out), "--split", "val", "--threads", "1", *chosen]) == 0
    assert {path.name for path in (out / "predictions").glob("*-val.zarr")} == {f"{ids[n]}-val.zarr" for n in (2, 3)}


def test_numbers_that_are_not_the_runs_are_an_error_of_one_line(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = out / "runs" / f"{run_ids(out)[2]}.json"
    text = file.read_text()
    value = RunFolder(Folder(out)).read(file.stem)
    assert value is not None
    right = str(value.metrics["test"]["dataset/iou_mean"])
    file.write_text(text.replace(right, "0.123"))
    assert main(["predict", "--out", str(out)]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {out}/predictions/")
    assert "not the test metrics in the run's file" in line


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--run", "none"], "--run: 'none' is no finished final segmentation run"),
        (["--model", "none"], "--model: no run of 'none'; accepted: t"),
        (["--trained-on", "none"], "--trained-on: no run of 'none'; accepted: tiny_segmentation"),
        (["--threads", "-1"], "--threads: is '-1'; accepted: a whole number from 0"),
        (["--split", "all"], "--split: is 'all'; did you mean 'val'?; accepted: train, val, test"),
    ],
)
def test_bad_options_of_predict(out: Path, arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "--out", str(out), *arguments]) == 2
    captured = capsys.readouterr()
    [line] = captured.err.splitlines()
    assert line.startswith("error: ")
    assert text in line
    assert captured.out == ""


def test_without_weights_or_without_runs_there_is_one_line(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(out / "checkpoints")
    assert main(["predict", "--out", str(out)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert f"checkpoints/{train_ids(out)[2]}/model.pt: no such file, so t on tiny_segmentation can't predict" in line

    shutil.rmtree(out / "runs")
    failed = run_settings()
    RunFolder(Folder(out)).write(RunRecord.failed(failed, "diverged"))
    for command, end in (("predict", "a final run of Task 2"), ("figures", "finished runs")):
        assert main([command, "--out", str(out)]) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert line.endswith(f"; accepted: {end}")


def test_figures_predicts_what_is_missing_and_draws_everything(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["figures", "--out", str(out)]) == 0
    said = capsys.readouterr()
    files = sorted(path.name for path in (out / "figures").iterdir())
    assert files == sorted(f"{name}.png" for name in KINDS)
    assert sorted(said.out.splitlines()) == [f"{out}/figures/{name}" for name in files]
    for name in files:
        with Image.open(out / "figures" / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 5

    # Predictions are there now, and neither weights nor volumes are asked for again.
    shutil.rmtree(out / "checkpoints")
    shutil.rmtree(out / "figures")
    assert main(["figures", "--out", str(out), "--region", "right", "--format", "svg"]) == 0
    assert "predicting" not in capsys.readouterr().err
    names = [name for name in KINDS if name != "volume_t_left"]
    assert sorted(path.name for path in (out / "figures").iterdir()) == sorted(f"{name}.svg" for name in names)
    assert main(["figures", "--out", str(out), "--region", "up"]) == 2
    assert capsys.readouterr().err == "error: --region: 'up' was not predicted; accepted: left, right\n"


def test_figures_of_all_seeds_show_where_they_disagree(out: Path) -> None:
    assert main(["figures", "--out", str(out), "--seeds"]) == 0
    assert {path.name for path in (out / "predictions").iterdir()} == {
        f"{run_id}.zarr" for run_id in run_ids(out).values()
    }
    assert main(["report", "--out", str(out)]) == 0
    [overlay] = Page((out / "report.html").read_text()).data["box-0"]["overlays"]
    assert overlay["seeds"] == 2
    assert len(overlay["disagreement"]) == len(overlay["predicted"])


def test_figures_without_weights_draws_the_rest_and_says_why(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(out / "checkpoints")
    assert main(["figures", "--out", str(out)]) == 1
    assert {path.stem for path in (out / "figures").iterdir()} == set(KINDS[3:])
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "model.pt: no such file" in line


def test_the_report_shows_predictions_where_they_and_their_cutouts_are_there(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def page() -> Page:
        assert main(["report", "--out", str(out)]) == 0
        return Page((out / "report.html").read_text())

    assert "slices" not in page().text_of("a")
    assert main(["predict", "--out", str(out)]) == 0
    shown = page()
    titles = shown.data["boxes"]["titles"]
    assert [title.partition(",")[0] for title in titles] == ["left", "right"]
    first = shown.data["box-0"]
    assert first["overlays"][0]["seeds"] == 1
    assert len(first["z"]) == len(first["images"]) == len(first["overlays"][0]["predicted"]) > 0
    assert [picture["title"] for picture in shown.data["pictures"]["pictures"]] == [
        "t, left: truth and prediction in 3D",
        "t, right: truth and prediction in 3D",
    ]

    shutil.rmtree(out / "store")
    without = page()
    assert without.data["boxes"]["titles"] == []
    [note] = without.data["boxes"]["notes"]
    assert note.startswith("Predictions are left out: ")
    assert "error" not in capsys.readouterr().err
