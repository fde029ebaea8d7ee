"""`figures` and `report` of Tasks 1 and 3, from a training in this process to files that open."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtneuro_ray.cli.main import main
from mtneuro_ray.data.embeddings import FOLDER, write
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder
from tests.results.figures.scenery import embeddings
from tests.results.page.reading import Page
from tests.results.records import encoder_record, readout_record
from tests.tiny import write_tiny

SSL = {"epochs": 1, "lr_warmup_epochs": 0, "projector_hidden_size": 8, "projector_output_size": 4}
SSL_2 = {"projector_2_hidden_size": 8, "projector_2_output_size": 4}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with an encoder that mines views; not to be written to."""
    folder = tmp_path_factory.mktemp("encoders")
    network: dict[str, Any] = {
        "method": "myow",
        "ssl": {**SSL, **SSL_2},
        "eval_crops": "corners",
        "dropout": 0.2,
        "epochs": 1,
    }
    tiny = write_tiny(folder / "tiny", kind="classification", name="t", **network)
    where = ["--task", str(tiny.task), "--network", str(tiny.network), "--store", str(folder / "out" / "store")]
    assert main(["train", *where, "--workers", "0", "--out", str(folder / "out")]) == 0
    return folder / "out"


@pytest.fixture
def out(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same with a run of Task 1 and a readout whose embeddings are projected."""
    monkeypatch.delenv("MTNEURO_STORE", raising=False)
    path = Path(shutil.copytree(trained, tmp_path / "out"))
    record = readout_record(0.5, method="MYOW")
    RunFolder(Folder(path)).write(record)
    RunFolder(Folder(path)).write(encoder_record(0.9))
    write(Folder(path), embeddings(record.run_id, network="SSL_MYOW_ResNet-18_2D"))
    np.save(path / FOLDER / f"{record.run_id}.umap.npy", np.zeros((40, 2), np.float32))
    return path


def test_figures_draws_what_encoders_left_and_mines_the_missing_views(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["figures", "--out", str(out)]) == 0
    assert capsys.readouterr().err == ""
    assert {path.stem for path in (out / "figures").iterdir()} == {
        "table_1",
        "table_3_I",
        "embeddings_SSL_MYOW_ResNet-18_2D",
        "views_t",
        "correlation",
        "curves_t_tiny_classification",
        "confusion_t_tiny_classification",
        "confusion_SUP_ResNet-18_2D_task1",
        "seeds_task1",
        "seeds_task3",
        "seeds_tiny_classification",
        "timings",
    }


def test_the_report_shows_what_is_there_and_makes_nothing(out: Path) -> None:
    [points] = (out / FOLDER).glob("*.npy")
    points.unlink()
    assert main(["report", "--out", str(out)]) == 0
    first = Page((out / "report.html").read_text())
    assert any(title.startswith("Table 1, accuracy of region classification: phantom") for title in first.text_of("h3"))
    titles = [picture["title"] for picture in first.data["pictures"]["pictures"]]
    assert any(title.startswith("Correlation of slices") for title in titles)
    assert first.data["clouds"]["clouds"] == []
    assert not (out / "views").exists()

    np.save(points, np.zeros((40, 2), np.float32))
    assert main(["figures", "--out", str(out)]) == 0
    assert main(["report", "--out", str(out)]) == 0
    second = Page((out / "report.html").read_text())
    [cloud] = second.data["clouds"]["clouds"]
    assert (cloud["regions"], len(cloud["points"])) == (["CTX", "STR"], 40)
    # The store has no images of this readout.
    assert cloud["sheet"] is None
    [note] = second.data["clouds"]["notes"]
    assert note.startswith("Embeddings are shown without their tiles: ")
    titles = [picture["title"] for picture in second.data["pictures"]["pictures"]]
    assert any("t on tiny_classification, file data: views" in title for title in titles)


def test_what_an_encoder_did_not_leave_is_one_line_and_the_others_are_drawn(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(out / "checkpoints")
    shutil.rmtree(out / FOLDER)
    assert main(["figures", "--out", str(out)]) == 1
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert len(lines) == 2
    assert "no such file; accepted: what a finished readout run has written" in lines[0]
    assert "model.pt: no such file, so t on tiny_classification can't predict" in lines[1]
    assert "correlation.png" in said.out
