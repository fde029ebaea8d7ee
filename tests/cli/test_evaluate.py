"""`evaluate`: weights of a training in this process, on splits, tasks and volumes that they were not trained for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtneuro_ray.cli.main import main
from mtneuro_ray.config.base import read_json
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.engine.finished import evaluate_run
from mtneuro_ray.errors import InputError
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.image_scores import read_image_scores
from mtneuro_ray.storage.records import RunFolder, RunRecord
from tests.settings import write_json
from tests.tiny import Tiny, write_tiny

KINDS = ("segmentation", "classification")


def trained(folder: Path, kind: str) -> tuple[Tiny, RunRecord]:
    tiny = write_tiny(folder / kind, kind=kind, name=kind)
    where = ["--task", str(tiny.task), "--network", str(tiny.network), "--out", str(folder / "out")]
    assert main(["train", *where, "--workers", "0"]) == 0
    [record] = [r for r in RunFolder(Folder(folder / "out")).all() if r.summary["model"] == kind]
    return tiny, record


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Tiny], dict[str, RunRecord]]:
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MTNEURO_STORE", raising=False)
        made = {kind: trained(folder, kind) for kind in KINDS}
    return (
        folder,
        {kind: tiny for kind, (tiny, _) in made.items()},
        {kind: record for kind, (_, record) in made.items()},
    )


@pytest.fixture
def out(once: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MTNEURO_STORE", raising=False)
    return Path(shutil.copytree(once[0] / "out", tmp_path / "out"))


@pytest.fixture
def tinies(once: Any) -> dict[str, Tiny]:
    found: dict[str, Tiny] = once[1]
    return found


@pytest.fixture
def records(once: Any) -> dict[str, RunRecord]:
    found: dict[str, RunRecord] = once[2]
    return found


def evaluations(out: Path) -> dict[str, dict[str, Any]]:
    """Run id -> content of its only evaluation."""
    contents = [json.loads(file.read_text()) for file in (out / "evaluations").glob("*.json")]
    assert len({content["run_id"] for content in contents}) == len(contents)
    return {content["run_id"]: content for content in contents}


def without_loss(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if name != "loss"}


@pytest.mark.parametrize("split", ["test", "val"])
def test_on_their_own_data_weights_score_what_their_run_says(
    out: Path, records: dict[str, RunRecord], split: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {file.name: file.read_bytes() for file in (out / "runs").iterdir()}
    assert main(["evaluate", "--out", str(out), "--split", split]) == 0
    said = capsys.readouterr()
    found = evaluations(out)
    for kind, record in records.items():
        assert found[record.run_id]["metrics"] == without_loss(record.metrics[split])
        assert f"{kind} on tiny_{kind}: " in said.out
    assert {file.name: file.read_bytes() for file in (out / "runs").iterdir()} == before


def test_the_scores_of_single_images_that_a_run_lacks_are_measured_again_to_the_bit(
    out: Path, records: dict[str, RunRecord]
) -> None:
    before = {file.name: file.read_bytes() for file in (out / "image_scores").iterdir()}
    assert before.keys() == {f"{record.run_id}.parquet" for record in records.values()}
    for kind, record in records.items():
        scores = read_image_scores(Folder(out), record.run_id)
        assert scores is not None
        assert scores.rows[kind].sum(0).tolist() == record.metrics["test"]["confusion"]
    shutil.rmtree(out / "image_scores")
    assert main(["evaluate", "--out", str(out)]) == 0
    assert {file.name: file.read_bytes() for file in (out / "image_scores").iterdir()} == before


@pytest.mark.parametrize("kind", KINDS)
def test_another_task_scores_as_a_run_that_is_trained_alike(
    out: Path, tmp_path: Path, tinies: dict[str, Tiny], records: dict[str, RunRecord], kind: str
) -> None:
    """A final run with another test split takes the weights that are there: what it finds must be found here."""
    values = read_json(tinies[kind].task)
    for key in ("image_chan", "annotation_chan"):
        values[key] = f"file:{tinies[kind].task.parent}/{values[key].removeprefix('file:')}"
    other = [cube | ({"z": [18, 22]} if cube["split"] == "test" else {}) for cube in values["cubes"]]
    task = write_json(tmp_path / "other.json", values | {"name": "other", "cubes": other})
    assert main(["evaluate", "--out", str(out), "--task", task, "--model", kind]) == 0
    network = ["--network", str(tinies[kind].network), "--workers", "0"]
    assert main(["train", "--task", task, *network, "--out", str(out)]) == 0
    [run] = [r for r in RunFolder(Folder(out)).all() if r.summary["task"] == "other"]
    [content] = evaluations(out).values()
    assert content["run_id"] == records[kind].run_id
    assert content["settings"] == json.loads(json.dumps(run.settings))
    assert content["metrics"] == without_loss(run.metrics["test"])
    assert content["metrics"] != without_loss(records[kind].metrics["test"])


def test_another_volume_is_another_score(out: Path, tmp_path: Path, tinies: dict[str, Tiny]) -> None:
    tiny = tinies["segmentation"]
    copy = tmp_path / "copy"
    copy.mkdir()
    np.save(copy / "image.npy", 255 - np.load(tiny.image))
    shutil.copy(tiny.labels, copy)
    task = ["--task", str(tiny.task), "--model", "segmentation"]
    scores = []
    for volume in ([], ["--volume", f"file:{copy}"]):
        shutil.rmtree(out / "evaluations", ignore_errors=True)
        assert main(["evaluate", "--out", str(out), *task, *volume]) == 0
        [content] = evaluations(out).values()
        scores.append(content["metrics"]["dataset/iou_mean"])
    assert scores[0] > scores[1]


def test_other_crops_are_another_measure_of_the_same_weights(
    out: Path, records: dict[str, RunRecord], capsys: pytest.CaptureFixture[str]
) -> None:
    record = records["classification"]
    own = record.settings["network"]["evaluation"]["eval_crops"]
    scores = {}
    for crops in (own, "dense"):
        shutil.rmtree(out / "evaluations", ignore_errors=True)
        assert main(["evaluate", "--out", str(out), "--model", "classification", "--eval-crops", crops]) == 0
        content = evaluations(out)[record.run_id]
        network = record.settings["network"]
        changed = {**network, "evaluation": {**network["evaluation"], "eval_crops": crops}}
        assert content["settings"]["network"] == changed
        scores[crops] = content["metrics"]
    assert scores[own] == without_loss(record.metrics["test"])
    assert scores["dense"].keys() == scores[own].keys()
    # Without a model the runs of both kinds are asked, and one of them shows no crops.
    assert main(["evaluate", "--out", str(out), "--eval-crops", "dense"]) == 2
    assert "--eval-crops: is for classifiers, the run " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["--model", "classification", "--eval-crops", "some"],
            "--eval-crops: evaluation.eval_crops: is 'some'",
        ),
        (["--run", "none"], "--run: 'none' is no finished final run of"),
        (["--model", "none"], "--model: no run of 'none'"),
        (["--threads", "-1"], "--threads: is '-1'; accepted: a whole number from 0"),
        (["--volume", "phantom"], "--volume, --preset: change a task, and there is none; accepted: with --task"),
        (["--task", "task9"], "task9: no such file and no such name"),
        (["--model", "segmentation", "--task", "task1"], "task: is classification, the run "),
        (
            ["--model", "segmentation", "--task", "task2_2D_4class"],
            "classes: the network has 3 classes, the task ",
        ),
        (["--model", "segmentation", "--task", "task2_2D_3class"], "classes: are "),
    ],
)
def test_bad_options_are_one_line(
    out: Path, arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--out", str(out), *arguments]) == 2
    captured = capsys.readouterr()
    [line] = captured.err.splitlines()
    assert line.startswith("error: ")
    assert text in line
    assert captured.out == ""
    assert not (out / "evaluations").exists()


def test_weights_that_are_gone_leave_the_others(
    out: Path, records: dict[str, RunRecord], capsys: pytest.CaptureFixture[str]
) -> None:
    gone = records["segmentation"]
    train_id = RunSettings.load(gone.settings, "test").train_id
    (out / "checkpoints" / train_id / "model.pt").unlink()
    assert main(["evaluate", "--out", str(out)]) == 2
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: run {gone.run_id}: ")
    assert "model.pt: no such file" in line
    assert list(evaluations(out)) == [records["classification"].run_id]


def test_a_split_that_the_task_lacks_is_refused(out: Path, records: dict[str, RunRecord]) -> None:
    record = records["segmentation"]
    run = RunSettings.load(record.settings, "test")
    cubes = tuple(cube for cube in run.task.cubes if cube.split != "val")
    target = run.model_copy(update={"task": run.task.model_copy(update={"cubes": cubes})})
    with pytest.raises(InputError, match="tiny_segmentation has no val split"):
        evaluate_run(record, target, Folder(out), CutoutStore(Folder(out) / "store"), "val")
