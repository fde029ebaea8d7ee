import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mtneuro_ray.cli.main import main
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder
from tests.cli.commands import tiny
from tests.settings import cube, network_values, task_values, write_json


def run_files(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (out / "runs").iterdir()}


def test_training_in_this_process_from_files_to_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    arguments = ["train", *tiny(tmp_path), "--workers", "0", "--out", str(out), "--set", "epochs=1", "--seed", "5"]
    assert main(arguments) == 0
    first = capsys.readouterr()
    [record] = RunFolder(Folder(out)).all()
    assert first.out.startswith("net on small: lr 0.01, batch 2, 1 epochs, seed 5\n")
    assert first.out.endswith(f"run file: {out}/runs/{record.run_id}.json\n")
    assert "epoch 1: train/loss" in first.err
    assert (record.status, record.summary["seed"], record.summary["role"]) == ("done", 5, "final")
    assert np.sum(record.metrics["test"]["confusion"]) == 4 * 256

    before = run_files(out)
    assert main(arguments) == 0
    second = capsys.readouterr()
    assert run_files(out) == before
    assert second.out == first.out
    assert "epoch" not in second.err

    assert main([*arguments[:-1], "6"]) == 0
    after = run_files(out)
    assert len(after) == 2
    assert before.items() <= after.items()


def test_regions_are_classified_from_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grey = np.zeros((16, 96), np.uint8)
    grey[:, 48:] = 200
    Image.fromarray(grey).save(tmp_path / "image.png")
    cubes = [
        cube(region, split, (0, 1), x=[x, x + 16], label=label)
        for label, (region, first) in enumerate((("dark", 0), ("bright", 48)))
        for split, x in (("train", first), ("val", first + 16), ("test", first + 32))
    ]
    values = task_values("classification", image_chan="file:image.png", classes=["dark", "bright"], cubes=cubes)
    task = write_json(tmp_path / "task.json", {**values, "annotation_chan": None, "downsample": 2})
    network = write_json(tmp_path / "res.json", network_values(model="ResNet-18", classes=2, epochs=1))
    assert main(["train", "--task", task, "--network", network, "--workers", "0", "--out", str(tmp_path / "out")]) == 0
    assert "Confusion matrix of the test split" in capsys.readouterr().out
    [record] = RunFolder(Folder(tmp_path / "out")).all()
    assert np.sum(record.metrics["test"]["confusion"], axis=1).tolist() == [1, 1]


def test_a_run_that_fails_is_status_1_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "out")]
    wild = ["--set", "optimizer=SGD", "--set", "learning_rate=1e11", "--set", "normalization=none"]
    assert main(["train", *tiny(tmp_path), "--workers", "0", *out, *wild]) == 1
    assert "error: diverged: the loss is" in capsys.readouterr().out
    assert main(["results", "runs", *out, "--format", "json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert row["status"] == "error"
    assert row["error"].startswith("diverged")


def test_a_store_of_its_own_is_shared_by_outputs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["train", *tiny(tmp_path), "--workers", "0", "--set", "epochs=1"]
    assert main([*arguments, "--out", str(tmp_path / "a"), "--store", str(tmp_path / "store")]) == 0
    assert "ingest small: 12 cutouts" in capsys.readouterr().err
    monkeypatch.setenv("MTNEURO_STORE", str(tmp_path / "store"))
    assert main([*arguments, "--out", str(tmp_path / "b")]) == 0
    assert "ingest" not in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["checkpoints", "image_scores", "logs", "runs"]
