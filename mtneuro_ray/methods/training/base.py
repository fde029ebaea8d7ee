"""Contract between methods and the engine; optimizers and learning rates of trainings by gradient steps."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from mtneuro_ray.config.owners import OptimizerSettings
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.resident import DeviceSplit
from mtneuro_ray.errors import TrainingError
from mtneuro_ray.models.nets.resnet import EncoderClassifier
from mtneuro_ray.rng import Indices
from mtneuro_ray.tasks.training.base import Task


@dataclass(frozen=True, slots=True)
class Setup:
    """One worker of a run, ready to train: the task, the model with its initial weights, the splits, and its context.

    Model and splits lie on the device, where every worker can take any images of the splits.
    """

    task: Task
    model: nn.Module
    splits: Mapping[Split, DeviceSplit]
    context: WorkerContext

    @property
    def run(self) -> RunSettings:
        """Settings of the run; a method's own are `run.network.method`."""
        return self.task.run

    @property
    def split(self) -> DeviceSplit:
        """The training images."""
        return self.splits["train"]

    @property
    def classifier(self) -> EncoderClassifier:
        """The model, as an encoder with a linear layer on its features.

        Raises:
            TrainingError: it has no such parts.
        """
        if not isinstance(self.model, EncoderClassifier):
            raise TrainingError(
                f"{self.run.model} is no EncoderClassifier, so {self.run.network.method.name} can't train its encoder"
            )
        return self.model


def build_optimizer(
    settings: OptimizerSettings, parameters: Iterable[nn.Parameter] | list[dict[str, Any]], device: torch.device
) -> torch.optim.Optimizer:
    """SGD or Adam with these settings, of parameters or groups of them, fused into one kernel on a GPU."""
    rate, decay, fused = settings.learning_rate, settings.weight_decay, device.type == "cuda"
    if settings.name == "SGD":
        return torch.optim.SGD(parameters, lr=rate, momentum=settings.momentum, weight_decay=decay, fused=fused)
    betas = (settings.beta1, settings.beta2)
    return torch.optim.Adam(parameters, lr=rate, betas=betas, weight_decay=decay, fused=fused)


def learning_rate(settings: OptimizerSettings, step: int, steps_per_epoch: int) -> float:
    """Learning rate of a step: a linear rise over the warm-up epochs, then constant or half a cosine to zero."""
    warmup = settings.warmup_epochs * steps_per_epoch
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    if settings.lr_schedule == "constant":
        return settings.learning_rate
    progress = (step - warmup) / (settings.epochs * steps_per_epoch - warmup)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


class Steps(ABC):
    """A training by gradient steps, whose epochs the engine runs.

    Attributes:
        context: This worker.
        module: All weights that a checkpoint has to hold.
        optimizer: The engine sets the learning rate of its parameter groups before each step.
        schedule: Settings of the learning rate.
        epochs: Epochs of the whole training.
        batch_size: Samples of one step, over all workers.
        count: Samples of an epoch.
        seed: Seed of their order.
        signal: Module that is evaluated on the validation split after each epoch; None where the weights of an epoch
            can't be judged before a linear probe is trained on them.
    """

    context: WorkerContext
    module: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: OptimizerSettings
    epochs: int
    batch_size: int
    count: int
    seed: int
    signal: nn.Module | None = None

    def rate(self, step: int, steps_per_epoch: int) -> float:
        """Learning rate of a step, counted from the start of the run."""
        return learning_rate(self.schedule, step, steps_per_epoch)

    def announced(self, batches: Sequence[Indices], first_step: int) -> AbstractContextManager[None]:
        """Context in which steps are taken on these global batches, the first of them being `first_step` of the run."""
        return nullcontext()

    @abstractmethod
    def step(self, indices: Indices, epoch: int, step: int, steps_per_epoch: int) -> dict[str, Tensor]:
        """Take one optimizer step on a global batch.

        Args:
            indices: (B,) samples of the batch; this worker's are `context.share_of(B)`.
            epoch: Epoch, from 0.
            step: Step of the whole run, from 0.
            steps_per_epoch: Steps of an epoch.

        Returns:
            Scalars summed over this worker's samples, "loss" among them. The history has their means over an epoch.
        """


class Method:
    """One way to learn; this class itself leaves the model at its initial weights.

    It trains `setup.model`, or only its encoder, in place, and draws from `mtneuro_ray.rng`. A method that trains by
    gradient steps derives from `SteppedMethod`.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.context, self.task, self.split = setup.context, setup.task, setup.split
        self.network = setup.run.network
        self.seed = self.network.seed

    def fit(self) -> None:
        """Train without gradient steps. Every worker repeats the whole of it."""

    @classmethod
    def cautions(cls, setup: Setup, history: Sequence[Mapping[str, Any]]) -> list[str]:
        """Reasons why a run with this history, empty before its first epoch, may have learned nothing; a line each."""
        return []


class SteppedMethod(Method, Steps):
    """A method that trains by gradient steps. Its constructor sets `module` and `optimizer`."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.schedule = self.network.optimizer
        _, self.batch_size, self.epochs = self.network.training
        self.count = len(setup.split)

    def announced(self, batches: Sequence[Indices], first_step: int) -> AbstractContextManager[None]:
        """Context in which steps are taken on these global batches; their samples are read ahead."""
        reads = (self.reads(indices, first_step + number) for number, indices in enumerate(batches))
        return self.split.announced(chain.from_iterable(reads), first_step // len(batches))

    def reads(self, indices: Indices, step: int) -> list[Indices]:
        """The samples that a step on a global batch gathers from the training split, in the order of its calls.

        Samples that a method gathers without saying so are read when it does, which is slower where data are streamed.
        """
        start, stop = self.context.share_of(len(indices))
        return [indices[start:stop]]

    def distributed(self, module: nn.Module) -> nn.Module:
        """The module wrapped for its forward pass in training: gradients shared by all workers, compiled on demand.

        With several workers this replaces the batch norms of `module` in place.
        """
        return self.compiled(self.context.distribute(module))

    def compiled(self, module: nn.Module) -> nn.Module:
        """The module under torch.compile where the settings ask for it."""
        return torch.compile(module) if self.network.compute.compile else module  # type: ignore[return-value]

    def descend(self, total: Tensor, count: int) -> None:
        """Take one optimizer step on the mean loss of a global batch of `count`; `total` sums this worker's share."""
        # DistributedDataParallel averages over workers; the mean wanted is over the images of the global batch.
        (total * (self.context.world_size / count)).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
