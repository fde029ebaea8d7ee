"""ONNX and bioimage.io, checked with the readers of their own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mtneuro_ray.errors import InputError
from mtneuro_ray.models.build import build_model
from mtneuro_ray.sharing import bioimage
from mtneuro_ray.sharing.program import program_of
from mtneuro_ray.sharing.shared_folder import export_run
from mtneuro_ray.tasks.training.scaling import with_scaling
from tests.engine.data import run_of
from tests.sharing.test_shared_folder import finished

LIBRARY = {"encoder_name": "efficientnet-b0", "encoder_weights": None}
# Every model that can be exported, with an image that it accepts: depth and side. A side that a layer sees as 1 stays
# closed in a program of torch.export, so none is that small.
MODELS: list[tuple[str, str, int, int, dict[str, Any]]] = [
    ("segmentation", "UNet", 1, 16, {}),
    ("segmentation", "UNet", 4, 16, {"dim": 3}),
    ("segmentation", "VNetLight", 16, 16, {"dim": 3}),
    ("segmentation", "HighResNet", 4, 16, {"dim": 3}),
    ("classification", "ResNet-18", 1, 16, {}),
    *(("segmentation", model, 1, 128, LIBRARY) for model in ("MAnet", "FPN", "UnetPlusPlus", "PAN", "PSPNet")),
]


def test_onnx_has_open_axes_and_computes_the_same_logits(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    record, results = finished(tmp_path)
    files, program = export_run(record, results, tmp_path / "shared", onnx=True)
    assert tmp_path / "shared/model.onnx" in files
    assert "`model.onnx`" in (tmp_path / "shared/README.md").read_text()
    session = onnxruntime.InferenceSession(tmp_path / "shared/model.onnx", providers=["CPUExecutionProvider"])
    inputs = torch.rand(3, 1, 32, 24)
    [logits] = session.run(["logits"], {"image": inputs.numpy()})
    with torch.inference_mode():
        np.testing.assert_allclose(logits, program.model(inputs).numpy(), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "model", "depth", "side", "network"), MODELS)
def test_every_model_is_a_program_and_onnx(
    kind: str, model: str, depth: int, side: int, network: dict[str, Any], tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    from mtneuro_ray.sharing.onnx import write_onnx

    cubes = [
        {"region": "A", "label": 0, "split": split, "z": [z, z + 16], "y": [0, side], "x": [0, side]}
        for z, split in ((0, "train"), (20, "val"), (40, "test"))
    ]
    task = {"tile_size": [side, side], "volume_z": depth, "cubes": cubes}
    run = run_of(kind, task=task, model=model, **network)
    torch.manual_seed(0)
    program = program_of(run, with_scaling(build_model(run.network).eval(), None))
    assert program.open == "sizes"
    write_onnx(program, tmp_path / "model.onnx", model)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "norm"), [("segmentation", "image"), ("segmentation", "percentile"), ("classification", "unit")]
)
def test_a_package_passes_the_test_of_bioimageio_core(kind: str, norm: str, tmp_path: Path) -> None:
    core = pytest.importorskip("bioimageio.core", reason="bioimageio.core, of the extra bioimageio, is not installed")
    record, results = finished(tmp_path, kind, input_norm=norm)
    files, program = export_run(record, results, tmp_path / "shared", bioimage=True)
    package = tmp_path / "shared/bioimageio.zip"
    assert package in files
    assert core.test_model(package).status == "passed"
    described = core.load_model_description(package)
    classes = list(described.outputs[0].axes[1].channel_names)
    assert classes == ["bg", "vessels", "cells"]
    # The whole pipeline, from grey values to probabilities.
    sample = core.predict(model=described, inputs={"image": program.images[:1]})
    shares = np.asarray(sample.members["probabilities"].data)
    np.testing.assert_allclose(shares, program.logits[:1].softmax(1).numpy(), atol=1e-4)


def test_a_missing_package_is_one_line_with_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record, results = finished(tmp_path)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError, match=r"onnxscript is not installed; accepted: pip install 'mtneuro-ray\[export\]'"):
        export_run(record, results, tmp_path / "shared", onnx=True)
    assert not (tmp_path / "shared").exists()
    monkeypatch.setattr(bioimage, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"bioimageio.core is not installed; accepted: pip install '.*\[bioimageio\]'"):
        export_run(record, results, tmp_path / "shared", bioimage=True)
    assert not (tmp_path / "shared").exists()
