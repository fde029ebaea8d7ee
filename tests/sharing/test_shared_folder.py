"""Exported folders: what they hold, and that they predict without this package."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data.normalization import Scaling
from mtneuro_ray.engine.execute import train_here
from mtneuro_ray.engine.finished import load_model
from mtneuro_ray.errors import InputError
from mtneuro_ray.models.build import build_model
from mtneuro_ray.results.query import Results
from mtneuro_ray.sharing.program import program_of
from mtneuro_ray.sharing.shared_folder import export_run, load_shared
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunRecord, checkpoint_folder
from mtneuro_ray.tasks.training.scaling import with_scaling
from tests.engine.data import data_of, run_of

# Runs a script where this package, its models' library and Ray can't be imported.
ALONE = """
import runpy, sys
for name in ("mtneuro_ray", "ray", "segmentation_models_pytorch", "timm"):
    sys.modules[name] = None
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def finished(out: Path, kind: str = "segmentation", **network: Any) -> tuple[RunRecord, Results]:
    """A run that was trained for an epoch, and its output folder."""
    settings = {"epochs": 1, **network}
    record = train_here(run_of(kind, **settings), data_of(kind), Folder(out))
    assert record.status == "done", record.error
    return record, Results(out)


def alone(folder: Path, *arguments: str) -> str:
    """Output of example.py in a process that can't import this package."""
    command = [sys.executable, "-W", "ignore", "-c", ALONE, str(folder / "example.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunRecord, Results, Path]:
    out = tmp_path_factory.mktemp("out")
    record, results = finished(out, input_norm="image")
    export_run(record, results, out / "shared")
    return record, results, out / "shared"


def test_the_example_predicts_without_this_package_what_the_model_predicts(
    exported: tuple[RunRecord, Results, Path],
) -> None:
    *counts, difference = alone(exported[2]).splitlines()
    assert [line.partition(":")[0] for line in counts] == ["bg", "vessels", "cells"]
    assert difference.startswith("largest difference from the expected logits: ")
    assert float(difference.rpartition(" ")[2]) <= 1e-5


def test_the_example_scales_grey_values_as_the_training_did(exported: tuple[RunRecord, Results, Path]) -> None:
    record, results, folder = exported
    images = np.random.default_rng(3).integers(0, 255, (1, 1, 24, 40), dtype=np.uint8)
    # Flat: its deviation is bounded.
    images[..., 20:] = 7
    run = record.load_settings()
    program = program_of(run, load_model(run, checkpoint_folder(results.out, run), torch.device("cpu")))
    with torch.inference_mode():
        classes = program.model(program.task.inputs(torch.from_numpy(images)[:, :, None])).argmax(1)
    np.save(folder.parent / "image.npy", images)
    found = alone(folder, str(folder.parent / "image.npy")).splitlines()
    names = ("bg", "vessels", "cells")
    assert found == [f"{name}: {(classes == k).sum()} of {classes.numel()}" for k, name in enumerate(names)]


def test_a_shared_folder_loads_as_the_model_of_its_run(exported: tuple[RunRecord, Results, Path]) -> None:
    record, results, folder = exported
    own, shared = results.model(record.run_id), load_shared(folder)
    assert not shared.training
    assert shared.scaling == own.scaling == Scaling.loaded(record.normalization)
    for name, tensor in own.state_dict().items():
        assert torch.equal(tensor, shared.state_dict()[name]), name


def test_the_files_name_the_run_and_no_folder_of_this_machine(exported: tuple[RunRecord, Results, Path]) -> None:
    record, _, folder = exported
    settings = json.loads((folder / "settings.json").read_text())
    assert replace(record, settings=settings).load_settings().run_id == record.run_id
    metrics = json.loads((folder / "metrics.json").read_text())
    assert (metrics["run_id"], metrics["metrics"]) == (record.run_id, json.loads(json.dumps(record.metrics)))
    texts = "".join(path.read_text() for path in folder.iterdir() if path.suffix in (".json", ".md", ".py"))
    assert str(Path.cwd()) not in texts
    assert "/tmp" not in texts


def test_who_reads_one_file_reads_all_of_them(exported: tuple[RunRecord, Results, Path]) -> None:
    *_, to = exported
    assert len({each.stat().st_mode for each in to.iterdir()}) == 1


def test_the_hub_reads_the_card(exported: tuple[RunRecord, Results, Path]) -> None:
    from huggingface_hub import ModelCard

    record, _, folder = exported
    card = ModelCard.load(folder / "README.md")
    assert card.data.pipeline_tag == "image-segmentation"
    scores = {each.metric_type: each.metric_value for each in card.data.eval_results}
    assert scores["dataset/iou_mean"] == pytest.approx(record.metrics["test"]["dataset/iou_mean"], abs=1e-4)
    assert {each.dataset_split for each in card.data.eval_results} == {"test"}
    for told in ("Seed: ", "is no task of the paper", "One seed was trained", "dataset/iou", record.run_id):
        assert told in card.text, told


def test_the_card_tells_the_spread_over_the_seeds_and_departures_of_the_papers_tasks(tmp_path: Path) -> None:
    from mtneuro_ray.sharing.card import card
    from tests.results.records import benchmark_record

    records = [benchmark_record((0.9, 0.6, value), seed=seed, epochs=3) for seed, value in ((1, 0.6), (2, 0.9))]
    text = card(records[0], Results.of(records), "", "", {})
    assert "test/dataset/iou_mean over 2 seeds (1, 2): 0.7500 +- 0.0707" in text
    assert "Search: none among these runs" in text
    assert "a phantom, computed and not measured" in text


def test_a_damaged_or_foreign_folder_is_refused_in_one_line(
    exported: tuple[RunRecord, Results, Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"settings\.json: no such file; accepted: a folder of"):
        load_shared(tmp_path)
    for path in exported[2].glob("*.json"):
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "model.safetensors").write_bytes((exported[2] / "model.safetensors").read_bytes()[:-9])
    with pytest.raises(InputError, match=r"model\.safetensors: is no whole file of weights"):
        load_shared(tmp_path)


def fitted(model: str) -> tuple[RunSettings, nn.Module]:
    """A run of PCA or NMF, and its model, whose encoder knows some images."""
    run = run_of("classification", model=model, method="decomposition", components=4)
    module = build_model(run.network)
    images = np.random.default_rng(0).random((6, 256), dtype=np.float32)
    module.get_submodule("encoder").fit(images, 0)  # type: ignore[operator]
    return run, with_scaling(module.eval(), None)


def test_components_of_images_of_one_size_take_any_number_of_them() -> None:
    program = program_of(*fitted("PCA"))
    assert program.open == "batch"
    assert program.exported.module()(program.inputs[:1]).shape == (1, 3)


def test_a_model_that_is_not_all_torch_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match=r"NMF can't be exported \(.*\); accepted: a model whose forward pass is all"):
        program_of(*fitted("NMF"))
