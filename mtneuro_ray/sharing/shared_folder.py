"""A run as a folder for others: weights, program, settings, metrics, normalization, card and example."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import nn

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data.normalization import Scaling
from mtneuro_ray.engine.finished import load_model
from mtneuro_ray.errors import InputError, parsing
from mtneuro_ray.models.build import build_model, placed
from mtneuro_ray.results.portable import without_folders
from mtneuro_ray.results.query import Results
from mtneuro_ray.sharing.card import card
from mtneuro_ray.sharing.program import Program, program_of
from mtneuro_ray.storage.records import RunRecord, checkpoint_folder
from mtneuro_ray.tasks.training.scaling import with_scaling

WEIGHTS, PROGRAM, SETTINGS, NORMALIZATION = "model.safetensors", "program.pt2", "settings.json", "normalization.json"
ONNX = "model.onnx"
_FILES = {
    WEIGHTS: "weights",
    PROGRAM: "the architecture, a program of torch.export, without the weights",
    NORMALIZATION: "how grey values become inputs, with the numbers; classes; axes",
    SETTINGS: "all settings of the run",
    "metrics.json": "metrics by split, class and region; history by epoch",
    "example.py": "loads and predicts in plain torch",
    "test_images.npy": "random grey values",
    "test_logits.npy": "the model's logits for them",
}


def export_run(
    record: RunRecord, results: Results, to: Path, *, onnx: bool = False, bioimage: bool = False
) -> tuple[list[Path], Program]:
    """Write a finished run as a folder that needs neither this package nor the data.

    Args:
        record: A run with weights of its own.
        results: Its output folder.
        to: Folder; its files of the same names are replaced.
        onnx: Whether the model is written as ONNX, too.
        bioimage: Whether it is, and is packaged for bioimage.io.

    Returns:
        The files, and the program, which was checked against the model.

    Raises:
        InputError: the run has no weights, or its model can't be exported.
    """
    # Before the work, which takes minutes.
    if bioimage:
        from mtneuro_ray.sharing import bioimage as package

        package.require(f"run {record.run_id}: bioimage.io")
    if onnx or bioimage:
        from mtneuro_ray.sharing.onnx import require, write_onnx

        require(f"run {record.run_id}")
    run = record.load_settings()
    if run.encoder_run is not None:
        raise InputError(
            f"run {record.run_id}: is a readout, which has no model of its own; accepted: the run of its encoder, "
            f"{run.encoder_run.run_id}"
        )
    model = load_model(run, checkpoint_folder(results.out, run), torch.device("cpu"))
    program = program_of(run, model)
    to.mkdir(parents=True, exist_ok=True)
    named = dict(_FILES)
    if onnx or bioimage:
        write_onnx(program, to / ONNX, f"run {record.run_id}")
        named[ONNX] = "the model as ONNX"
    # `save_file` lets nobody else read its file.
    (to / WEIGHTS).write_bytes(save({name: tensor.contiguous() for name, tensor in model.state_dict().items()}))
    program.save(to / PROGRAM)
    np.save(to / "test_images.npy", program.images)
    np.save(to / "test_logits.npy", program.logits.numpy())
    texts = {
        SETTINGS: _as_json(without_folders(record.settings)),
        NORMALIZATION: _as_json(about_inputs(run, program)),
        "metrics.json": _as_json(
            {name: getattr(record, name) for name in ("run_id", "metrics", "class_counts", "history", "notes")}
        ),
        "example.py": (files("mtneuro_ray.sharing") / "templates" / "example.py").read_text(),
        "README.md": card(record, results, _inputs_in_words(program), _outputs_in_words(program), named),
    }
    for name, text in texts.items():
        (to / name).write_text(text)
    written = [to / name for name in ("README.md", *named)]
    if bioimage:
        written += package.write_bioimage(program, record, to, to / ONNX)
    return written, program


def load_shared(folder: Path) -> nn.Module:
    """The model of an exported folder, on the CPU in evaluation mode; its attribute `scaling` scales grey values.

    Raises:
        InputError: the folder lacks a file, or its files are not those of one model.
    """
    accepted = "accepted: a folder of `mtneuro-ray export run`"
    with parsing(folder / SETTINGS, "settings of a run", accepted.removeprefix("accepted: ")):
        run = RunSettings.load(json.loads((folder / SETTINGS).read_text()), str(folder / SETTINGS))
    with parsing(folder / NORMALIZATION, "normalization", accepted.removeprefix("accepted: ")):
        scaling = Scaling.loaded(json.loads((folder / NORMALIZATION).read_text())["scaling"])
    with parsing(folder / WEIGHTS, "file of weights", accepted.removeprefix("accepted: ")):
        weights = load_file(folder / WEIGHTS)
    model = placed(build_model(run.network), run.network, torch.device("cpu"))
    try:
        model.load_state_dict(weights)
    except RuntimeError:
        raise InputError(f"{folder / WEIGHTS}: are not the weights of {run.model}; {accepted}") from None
    return with_scaling(model.eval(), scaling)


def about_inputs(run: RunSettings, program: Program) -> dict[str, Any]:
    """Content of normalization.json."""
    return {
        "scaling": program.scaling.record(),
        "meaning": "x -> (x - shift) * factor for each channel; clipped to 0 and 1 where `clips`; NaN and infinity "
        "become `fill` first, where it is a number; where there is a `least_deviation`, each image then gets mean 0 "
        "and is divided by its standard deviation, or by this if that is larger",
        "axes": axes_of(program),
        "test_shape": list(program.inputs.shape),
        "open": program.open,
        "downsample": run.task.downsample,
        "voxel_size_um": run.task.stated_voxel_size_um,
        "classes": list(run.task.classes),
    }


def axes_of(program: Program) -> str:
    """Axes of inputs, such as `B, C, Y, X`."""
    return "B, C, Z, Y, X" if program.inputs.ndim == 5 else "B, C, Y, X"


def _inputs_in_words(program: Program) -> str:
    sizes, network = " x ".join(map(str, program.inputs.shape[2:])), program.task.network
    free = {
        "sizes": f"; it takes {network.declaration.size_rule(network.model)}",
        "batch": "; it takes no other size",
        "nothing": f"; it takes {len(program.inputs)} of this size at once",
    }
    return (
        f"({axes_of(program)}) float32, made of {program.scaling.dtype} grey values as `{NORMALIZATION}` says. Images "
        f"of the training had {sizes} pixels{free[program.open]}"
    )


def _outputs_in_words(program: Program) -> str:
    return "(B, classes)" if program.logits.ndim == 2 else f"({axes_of(program).replace('C', 'classes')})"


def _as_json(value: Any) -> str:
    return json.dumps(value, indent=1, allow_nan=True) + "\n"
