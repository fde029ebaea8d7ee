"""Contract of a task: inputs, losses and measured predictions, or what is read from a frozen encoder.

A task knows nothing of epochs, workers or files.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.normalization import Scaling
from mtneuro_ray.data.resident import Batch, DeviceSplit
from mtneuro_ray.errors import InputError
from mtneuro_ray.losses.functions import build_loss, class_weights
from mtneuro_ray.metrics import METRICS
from mtneuro_ray.metrics.base import Metric, Metrics, without_nan
from mtneuro_ray.models.build import autocast
from mtneuro_ray.models.nets.resnet import EncoderClassifier
from mtneuro_ray.rng import Indices
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.tasks.base import TaskDeclaration
from mtneuro_ray.tasks.training.scaling import scale


@dataclass(frozen=True, slots=True)
class Judged:
    """Losses (B,), predicted classes (B, ...) and true classes (B, ...) of a batch.

    `mask`, of the same shape, is true where a voxel counts, and the truth is `data.class_labels.IGNORED` where it does
    not; None where all do. The loss of an image without a voxel that counts is 0.
    """

    losses: Tensor
    prediction: Tensor
    truth: Tensor
    mask: Tensor | None = None

    @property
    def is_counted(self) -> npt.NDArray[np.bool_]:
        """(B,) whether an image has a voxel that counts."""
        if self.mask is None:
            return np.ones(len(self.truth), np.bool_)
        found: npt.NDArray[np.bool_] = self.mask.flatten(1).any(1).cpu().numpy()
        return found

    def rows(self, indices: Indices) -> Judged:
        """Some images of the batch."""
        index = torch.from_numpy(indices).to(self.truth.device)
        mask = None if self.mask is None else self.mask[index]
        return Judged(self.losses[index.to(self.losses.device)], self.prediction[index], self.truth[index], mask)


class Task(ABC):
    """A task whose targets a model learns.

    `class_counts`, voxels or images of each class in the training split, decide the weights of the classes in the loss.
    """

    def __init__(self, run: RunSettings, class_counts: Sequence[int] = ()) -> None:
        self.run, self.network = run, run.network
        self.declaration: TaskDeclaration = run.task.declaration
        self.num_classes = len(run.task.classes)
        self.metric_names = (*self.declaration.metrics, *run.network.evaluation.metrics)
        self.metrics: list[Metric] = [
            METRICS.find(name, "evaluation.metrics").resolve()(run.task) for name in self.metric_names
        ]
        loss = run.network.loss
        self._ignores = bool(run.task.ignoring) and self.declaration.labels == "voxel"
        self._loss = build_loss(loss.name, class_weights(loss.class_weights, class_counts), masked=self._ignores)
        self._scratches: dict[tuple[torch.Size, torch.device, torch.dtype], Tensor] = {}
        self._scaling: Scaling | None = None

    @property
    def scaling(self) -> Scaling:
        """Scaling of grey values; that of bytes where none was set.

        Raises:
            InputError: the network's settings need statistics, which are not known.
        """
        if self._scaling is None:
            channels = self.network.model.in_channels
            self._scaling = Scaling.of_bytes(self.network.data, channels, f"run {self.run.run_id}")
        return self._scaling

    @scaling.setter
    def scaling(self, scaling: Scaling | None) -> None:
        self._scaling = scaling

    @property
    def selection(self) -> str:
        """Key of the validation metric that selects among epochs and candidates by default."""
        return self.declaration.selection[0].removeprefix("val/")

    def inputs(self, images: Tensor) -> Tensor:
        """Input of the model: (B, C, Z, Y, X) -> (B, C, [Z,] Y, X) float32, scaled by `scaling`.

        Z is dropped where it is 1. The result is overwritten by the next call for as many images.

        Raises:
            InputError: the images are of another type than those that the network is trained on, or hold voxels that
                are no number.
        """
        scaled = scale(images, self.scaling, self._scratch(images, torch.float32), self.run.task.name)
        return scaled.squeeze(2) if images.shape[2] == 1 else scaled

    def _scratch(self, like: Tensor, dtype: torch.dtype) -> Tensor:
        """A tensor of this shape, type and device, the same one each time.

        Fresh memory for every batch would cost more than filling it: the system hands it out page by page.
        """
        key = (like.shape, like.device, dtype)
        if key not in self._scratches:
            self._scratches[key] = torch.empty(like.shape, dtype=dtype, device=like.device)
        return self._scratches[key]

    def crops(self, images: Tensor) -> list[Tensor]:
        """Parts of images (B, C, Z, Y, X) on which predictions are made; by default the whole images."""
        return [images]

    def counted(self, model: nn.Module, split: DeviceSplit) -> Indices | None:
        """The images (N,) of a split that have a voxel to learn from; None where all have one."""
        return None

    @abstractmethod
    def augment(self, batch: Batch, ops: Tensor) -> Batch:
        """The batch under one geometric operation per image (`augment.draw_ops`)."""

    @abstractmethod
    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        """Loss of each image in training, (B,)."""

    @abstractmethod
    def judge(self, model: nn.Module, batch: Batch) -> Judged:
        """Predictions for a batch in evaluation, beside the truth."""

    def judge_shares(self, shares: Tensor, masks: Tensor) -> Judged:
        """Judge blended probabilities (B, K, Z, Y, X) against classes (B, Z, Y, X), IGNORED where they don't count.

        Raises:
            InputError: the task does not say how.
        """
        task = self.run.task
        raise InputError(f"{task.name}: sampling.kind: a {task.task} task can't judge whole cubes; accepted: tiles")

    def start(self) -> list[Any]:
        """The state of each metric before any image."""
        return [metric.init() for metric in self.metrics]

    def update(self, states: list[Any], judged: Judged) -> list[Any]:
        """The states with a batch added."""
        return [
            metric.update(state, judged.prediction, judged.truth, judged.mask)
            for metric, state in zip(self.metrics, states, strict=True)
        ]

    def merged(self, shards: Sequence[list[Any]]) -> list[Any]:
        """The states of several shards together."""
        return [reduce(metric.merge, own) for metric, own in zip(self.metrics, zip(*shards, strict=True), strict=True)]

    def compute(self, states: list[Any]) -> Metrics:
        """The values of all metrics.

        Raises:
            InputError: two metrics give different values of one name.
        """
        found: Metrics = {}
        for metric, state in zip(self.metrics, states, strict=True):
            for name, value in metric.compute(state).items():
                value = without_nan(value)
                if name in found and found[name] != value:
                    raise InputError(
                        f"evaluation.metrics: two metrics are named {name!r}; accepted: metrics with other names"
                    )
                found[name] = value
        return found


@torch.no_grad()
def features_of(
    task: Task,
    model: EncoderClassifier,
    split: DeviceSplit,
    context: WorkerContext,
    crops: Callable[[Tensor], list[Tensor]],
) -> Tensor:
    """Features (N, crops, F) of crops of each image, float32 on the CPU; each worker computes its share and has all."""
    model.eval()
    found: list[Tensor] = []
    for _, batch in split.walk(*context.share_of(len(split))):
        with autocast(task.network, context.device):
            features = [model.features(task.inputs(crop)).float() for crop in crops(batch.images)]
        found.append(torch.stack(features, dim=1).cpu())
    return torch.cat([own for each in context.gather(found) for own in each])


@dataclass(frozen=True, slots=True)
class Reading:
    """Result of a task that reads a frozen encoder: its `build` is a function that returns one, on every worker.

    The function takes the settings of the readout run, the trained model of `run.encoder_run` on the device, the splits
    (`SplitData`) and the `WorkerContext`. `metrics` are by the name of a set of samples, `timings` seconds of this
    process; `write` writes further results into an output folder, on the leader, before the run file is written.
    """

    metrics: dict[str, Metrics]
    timings: dict[str, float] = field(default_factory=dict)
    write: Callable[[Folder], None] = lambda out: None


def build_task(run: RunSettings, class_counts: Sequence[int] | None = None, scaling: Scaling | None = None) -> Task:
    """The task that a run trains; without the class counts of the training split where only predictions are needed.

    `scaling` is that of the run's training (`scaling_of` its model).

    Raises:
        InputError: this kind of task is not trained.
    """
    declaration = run.task.declaration
    if declaration.reads_encoder:
        raise InputError(f"{run.task.name}: task: {declaration.name!r} can't be trained; accepted: a task that is")
    counts = (1,) * len(run.task.classes) if class_counts is None else class_counts
    built: Task = declaration.resolve()(run, counts)
    built.scaling = scaling
    return built
