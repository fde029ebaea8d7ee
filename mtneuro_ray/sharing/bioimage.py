"""An exported folder as a package of bioimage.io: rdf.yaml with the ONNX model, and a zip file, which was tested.

The weights are the ONNX file: of the formats of the specification it alone needs neither code of ours nor TorchScript.
Preprocessing and softmax are operations of the specification, so inputs are grey values and outputs probabilities.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from packaging.version import Version

from mtneuro_ray.errors import InputError, in_one_line
from mtneuro_ray.sharing.onnx import INPUT, runner
from mtneuro_ray.sharing.program import Program
from mtneuro_ray.storage.records import RunRecord

RDF, PACKAGE, PROBABILITIES, IMAGE = "rdf.yaml", "bioimageio.zip", "test_probabilities.npy", "test_image.npy"
_OUTPUT = "probabilities"
# Added to a standard deviation before the division; the specification can't bound it from below, as training does.
_EPSILON = 1e-6
# The last version that passes an argument which this version of pydantic refuses.
_SPECIFICATION, _PYDANTIC = Version("0.5.12.0"), Version("2.14")
_AS_FLOAT = {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}
_UNNAMEABLE = re.compile(r"[^A-Za-z0-9_+\- ()]")


def write_bioimage(program: Program, record: RunRecord, folder: Path, onnx: Path) -> list[Path]:
    """Write rdf.yaml, test tensors and the package beside an exported model, and test the package.

    Args:
        program: The program.
        record: Its run.
        folder: Exported folder with README.md.
        onnx: Its ONNX file.

    Returns:
        The files.

    Raises:
        InputError: bioimageio.core is missing, the model takes a fixed number of images or fills voxels, which the
            specification can't say, or bioimageio.core finds the package wrong.
    """
    where = f"run {record.run_id}: bioimage.io"
    require(where)
    _check(program, where)
    np.save(folder / IMAGE, program.images[:1])
    shares = runner(onnx)(program.inputs[:1]).softmax(1)
    np.save(folder / PROBABILITIES, shares.numpy())
    with _quiet():
        # Not at the top: they take seconds, and are an extra.
        from bioimageio.core import test_model
        from bioimageio.spec import (
            ValidationContext,
            build_description,
            save_bioimageio_package,
            save_bioimageio_yaml_only,
        )
        from bioimageio.spec.model.v0_5 import ModelDescr

        content = _description(program, record, onnx, ModelDescr.implemented_format_version)
        try:
            described = build_description(content, context=ValidationContext(root=folder))
            if not isinstance(described, ModelDescr):
                raise InputError(
                    f"{where}: {_first_error(described.validation_summary)}; accepted: without --bioimageio"
                )
            save_bioimageio_yaml_only(described, folder / RDF)
            (folder / PACKAGE).unlink(missing_ok=True)
            save_bioimageio_package(described, output_path=folder / PACKAGE)
            summary = test_model(folder / PACKAGE)
        except InputError:
            raise
        except Exception as error:  # Validators of foreign formats raise anything.
            raise InputError(f"{where}: {in_one_line(error)}; accepted: without --bioimageio") from None
    if summary.status != "passed":
        raise InputError(f"{where}: {_first_error(summary)}; accepted: a package that passes bioimageio.core's test")
    return [folder / name for name in (RDF, IMAGE, PROBABILITIES, PACKAGE)]


def require(where: str) -> None:
    """Check that the packages of the extra `bioimageio` are installed, in versions that work together.

    Raises:
        InputError: they are not.
    """
    remedy = "pip install 'mtneuro-ray[bioimageio]'"
    if find_spec("bioimageio") is None or find_spec("bioimageio.core") is None:
        raise InputError(f"{where}: bioimageio.core is not installed; accepted: {remedy}")
    specification, pydantic = version("bioimageio.spec"), version("pydantic")
    if Version(specification) <= _SPECIFICATION and Version(pydantic) >= _PYDANTIC:
        raise InputError(
            f"{where}: bioimageio.spec {specification} does not work with pydantic {pydantic}; accepted: {remedy}"
        )


def _check(program: Program, where: str) -> None:
    if program.open == "nothing":
        raise InputError(f"{where}: the model takes {len(program.inputs)} images at once; accepted: any number")
    if program.scaling.fill is not None:
        raise InputError(
            f"{where}: data.nonfinite replaces voxels, which the specification can't say; accepted: a run without"
        )


def _description(program: Program, record: RunRecord, onnx: Path, format_version: str) -> dict[str, Any]:
    """Content of rdf.yaml."""
    summary, task = record.summary, program.task.run.task
    name = _UNNAMEABLE.sub(" ", f"{summary['model']} on {summary['task']} seed {summary['seed']}")
    told = f"{summary['model']}: {task.task} of {', '.join(task.classes)}; run {record.run_id} of mtneuro_ray."
    if _is_per_image(program):
        told += " Images without contrast are divided by a larger deviation in training than here."
    return {
        "type": "model",
        "format_version": format_version,
        "name": name[:64],
        "description": told[:1024],
        "documentation": {"source": "README.md"},
        "tags": ["segmentation" if program.logits.ndim > 2 else "classification", "mtneuro", "x-ray"],
        "inputs": [_input(program)],
        "outputs": [_output(program)],
        "weights": {"onnx": {"source": onnx.name, "opset_version": _opset(onnx)}},
    }


def _is_per_image(program: Program) -> bool:
    return program.scaling.least_deviation is not None


def _axes(program: Program) -> str:
    """Names of the spatial axes."""
    return "zyx"[5 - program.inputs.ndim :]


def _input(program: Program) -> dict[str, Any]:
    network = program.task.network
    step = network.declaration.size_rule(network.model).divisor
    space = [
        # Smaller images than those of the training may pass, too, but nobody has tried them.
        {"type": "space", "id": axis, "size": {"min": side, "step": step} if program.open == "sizes" else side}
        for axis, side in zip(_axes(program), program.inputs.shape[2:], strict=True)
    ]
    channels = {"type": "channel", "channel_names": [f"channel{number}" for number in range(program.inputs.shape[1])]}
    return {
        "id": INPUT,
        "axes": [{"type": "batch"}, channels, *space],
        "test_tensor": {"source": IMAGE},
        "data": {"type": program.scaling.dtype},
        "preprocessing": list(_preprocessing(program)),
    }


def _preprocessing(program: Program) -> Iterator[dict[str, Any]]:
    """The scaling as operations of the specification."""
    scaling, spatial = program.scaling, list(_axes(program))
    yield _AS_FLOAT
    if _is_per_image(program):
        # A linear scaling before it changes nothing; bioimageio.core would take the statistics from before that.
        yield {"id": "zero_mean_unit_variance", "kwargs": {"axes": spatial, "eps": _EPSILON}}
    else:
        offset = [-low * factor for low, factor in zip(scaling.shift, scaling.factor, strict=True)]
        yield {"id": "scale_linear", "kwargs": {"axis": "channel", "gain": list(scaling.factor), "offset": offset}}
    if scaling.clips:
        yield {"id": "clip", "kwargs": {"min": 0.0, "max": 1.0}}
    # Without a type at the end, the specification goes back to that of the grey values.
    yield _AS_FLOAT


def _output(program: Program) -> dict[str, Any]:
    classes = [str(name) for name in program.task.run.task.classes]
    space = [
        {"type": "space", "id": axis, "size": {"tensor_id": INPUT, "axis_id": axis, "offset": after - before}}
        for axis, before, after in zip(
            _axes(program), program.inputs.shape[2:], program.logits.shape[2:], strict=program.logits.ndim > 2
        )
    ]
    return {
        "id": _OUTPUT,
        "axes": [{"type": "batch"}, {"type": "channel", "channel_names": classes}, *space],
        "test_tensor": {"source": PROBABILITIES},
        "data": {"type": "float32"},
        "postprocessing": [{"id": "softmax", "kwargs": {"axis": "channel"}}],
    }


def _opset(path: Path) -> int:
    import onnx

    versions = {each.domain: each.version for each in onnx.load(path, load_external_data=False).opset_import}
    return int(versions[""])


def _first_error(summary: Any) -> str:
    """The first error of a summary, in one line."""
    errors = [error for detail in summary.details for error in detail.errors]
    if not errors:
        return f"bioimageio.core says {summary.status!r}"
    return " ".join(f"{'.'.join(map(str, errors[0].loc))}: {errors[0].msg}".split())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the log of bioimageio, which is on stderr and about itself."""
    os.environ.setdefault("LOGURU_LEVEL", "ERROR")
    from loguru import logger

    logging.getLogger("bioimageio").setLevel(logging.ERROR)
    logger.disable("bioimageio")
    try:
        yield
    finally:
        logger.enable("bioimageio")
