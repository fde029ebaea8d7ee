"""Programs as ONNX, checked with onnxruntime."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from mtneuro_ray.errors import InputError, in_one_line
from mtneuro_ray.sharing.program import Program

TOLERANCE = 1e-4
"""Largest difference of logits from the model's, as a part of the largest logit or of 1."""
INPUT, OUTPUT = "image", "logits"


def write_onnx(program: Program, path: Path, where: str) -> None:
    """Write a program as ONNX: `image` (B, C, [Z,] Y, X) float32 -> `logits`; open axes stay open.

    Args:
        program: The program.
        path: The file.
        where: Run, for errors.

    Raises:
        InputError: a package of the extra `export` is missing, the program has an operation that ONNX lacks, or
            onnxruntime computes other logits.
    """
    require(where)
    try:
        with _quiet():
            converted = torch.onnx.export(
                program.exported, (), None, dynamo=True, input_names=[INPUT], output_names=[OUTPUT], verbose=False
            )
        assert converted is not None
        converted.save(path)
    except Exception as error:  # What the converter raises is not one type of error.
        raise InputError(
            f"{where}: {program.task.network.model.name} can't be written as ONNX ({in_one_line(error)}); accepted: "
            "without --onnx"
        ) from None
    program.check(runner(path), f"{where}: {path.name}", TOLERANCE)


def runner(path: Path) -> Callable[[Tensor], Tensor]:
    """Inputs -> logits of an ONNX file, computed by onnxruntime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda inputs: torch.from_numpy(session.run([OUTPUT], {INPUT: inputs.numpy()})[0])


def require(where: str) -> None:
    """Check that the packages of the extra `export` are installed.

    Raises:
        InputError: one is missing.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"{where}: ONNX: {error.name} is not installed; accepted: pip install 'mtneuro-ray[export]'"
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the notes of the converter on its own progress."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
