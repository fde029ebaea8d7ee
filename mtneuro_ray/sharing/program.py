"""The trained model of a run as a program of torch.export, which needs neither this package nor the model's library.

torch.export is the maintained way to store a model with its code; TorchScript, the older one, is deprecated. The graph
of every network of the benchmark is captured but NMF's, whose features scikit-learn solves for.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export, save

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data.normalization import Scaling
from mtneuro_ray.errors import InputError, in_one_line
from mtneuro_ray.rng import Purpose, generator
from mtneuro_ray.tasks.training.base import Task, build_task
from mtneuro_ray.tasks.training.scaling import scaling_of

Images = npt.NDArray[Any]
TOLERANCE = 1e-5
"""Largest difference of logits from the model's, as a part of the largest logit or of 1."""
_BATCH = 2
# What may differ from the test inputs: batch and spatial axes, the batch, or nothing.
Open = Literal["sizes", "batch", "nothing"]
# Some networks have sizes that torch.export can't leave open, such as components of images of one size.
_OPEN: tuple[Open, ...] = ("sizes", "batch", "nothing")


@dataclass(frozen=True)
class Program:
    """A model as a program, with what it was checked on.

    Attributes:
        exported: The program: inputs (B, C, [Z,] Y, X) float32 -> logits (B, classes, ...).
        model: The model.
        task: Task of its run, which scales grey values into inputs.
        images: Test images (B, C, [Z,] Y, X) of the type and size that the model sees: random grey values.
        inputs: The same, scaled.
        logits: Logits of the model for `inputs`.
        open: Axes that may differ from those of `inputs`: the batch and the spatial ones ("sizes"), or the batch.
    """

    exported: ExportedProgram
    model: nn.Module
    task: Task
    images: Images
    inputs: Tensor
    logits: Tensor
    open: Open

    @property
    def scaling(self) -> Scaling:
        """Scaling of grey values into inputs."""
        return self.task.scaling

    def save(self, path: Path) -> None:
        """Write the program, with a zero for each weight: the weights have a file of their own."""
        weights = self.exported.state_dict
        kept = dict(weights)
        try:
            weights.update({name: _stub(tensor) for name, tensor in kept.items()})
            with _quiet():
                save(self.exported, path)
        finally:
            weights.update(kept)

    def check(self, computed: Callable[[Tensor], Tensor], what: str, tolerance: float = TOLERANCE) -> None:
        """Compare a program with the model on `inputs`, and on others where it takes others.

        Args:
            computed: Inputs -> logits of the program.
            what: Name of the program, for errors.
            tolerance: See `TOLERANCE`.

        Raises:
            InputError: they differ.
        """
        for inputs in _inputs(self):
            with torch.inference_mode():
                expected = self.model(inputs)
            error = _difference(computed(inputs), expected)
            if error > tolerance:
                raise InputError(
                    f"{what}: differs from the model by {error:.1e} on inputs of {tuple(inputs.shape)}; accepted: at "
                    f"most {tolerance:g}"
                )


def program_of(run: RunSettings, model: nn.Module) -> Program:
    """The program of a trained model in evaluation mode, checked against it.

    Raises:
        InputError: the model can't be captured.
    """
    task = build_task(run, scaling=scaling_of(model))
    shown = task.crops(torch.from_numpy(_random_images(run, task.scaling)))[0]
    # The task gives the same memory to its next inputs.
    inputs = task.inputs(shown).clone()
    images = np.ascontiguousarray(shown.numpy()).reshape(inputs.shape)
    with torch.inference_mode():
        logits = model(inputs)
    reasons = []
    for open_ in _OPEN:
        axes = {"sizes": [axis for axis in range(inputs.ndim) if axis != 1], "batch": [0], "nothing": []}[open_]
        try:
            with _quiet(), torch.no_grad():
                exported = export(model, (inputs,), dynamic_shapes=(dict.fromkeys(axes, Dim.AUTO),))
                program = Program(exported, model, task, images, inputs, logits, open_)
                program.check(exported.module(), f"run {run.run_id}: program")
            return program
        except Exception as error:  # What capture raises is not one type of error.
            reasons.append(in_one_line(error))
    raise InputError(
        f"run {run.run_id}: {run.network.model.name} can't be exported ({reasons[-1]}); accepted: a model whose "
        "forward pass is all torch"
    )


def _stub(tensor: Tensor) -> Tensor:
    """A tensor of the same shape that takes the memory of one number."""
    one = torch.zeros((), dtype=tensor.dtype).expand(tensor.shape)
    return nn.Parameter(one) if isinstance(tensor, nn.Parameter) else one


def _random_images(run: RunSettings, scaling: Scaling) -> Images:
    """Random grey values (B, C, Z, Y, X) of the type and size of a run's images."""
    depth, *plane = run.task.image_size
    shape = (_BATCH, run.network.model.in_channels, depth, *(side // run.task.downsample for side in plane))
    random = generator(0, 0, Purpose.INSPECTION)
    dtype = np.dtype(scaling.dtype)
    if dtype.kind == "f":
        # Over the values that become 0 to 1.
        per_channel = (1, len(scaling.shift), *(1 for _ in shape[2:]))
        low, width = np.reshape(scaling.shift, per_channel), 1 / np.reshape(scaling.factor, per_channel)
        found: Images = (low + width * random.random(shape)).astype(dtype)
        return found
    limits = np.iinfo(dtype)
    return random.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def _inputs(program: Program) -> Iterator[Tensor]:
    """The test inputs; three images, where the batch is open; and one of the next larger size, where sizes are."""
    inputs = program.inputs
    yield inputs
    if program.open != "nothing":
        yield inputs[[0, 1, 0]]
    if program.open == "sizes":
        network = program.task.network
        step = network.declaration.size_rule(network.model).divisor
        larger = inputs[:1].repeat(1, 1, *(2 for _ in inputs.shape[2:]))
        for axis, side in enumerate(inputs.shape[2:], 2):
            larger = larger.narrow(axis, 0, side + step)
        yield larger


def _difference(found: Tensor, expected: Tensor) -> float:
    if found.shape != expected.shape:
        return float("inf")
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1.0))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of capture, which are about torch's own code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
