"""Contract between methods and the engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.resident import ResidentSplit
from mtneuro_ray.errors import TrainingError
from mtneuro_ray.models.nets.resnet import EncoderClassifier
from mtneuro_ray.rng import Indices
from mtneuro_ray.tasks.training.base import Task


@dataclass(frozen=True, slots=True)
class Setup:
    """Arguments of a method on one worker.

    Attributes:
        run: Settings; the method's own are `run.network.method`.
        task: Inputs and losses.
        model: The model, on the device, with its initial weights.
        split: The training images, on the device; every worker holds all of them.
        context: This worker.
    """

    run: RunSettings
    task: Task
    model: nn.Module
    split: ResidentSplit
    context: WorkerContext

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


class Steps(ABC):
    """A training by gradient steps, whose epochs the engine runs.

    Attributes:
        context: This worker.
        module: All weights that a checkpoint has to hold.
        optimizer: The engine sets the learning rate of its parameter groups before each step.
        epochs: Epochs of the whole training.
        batch_size: Samples of one step, over all workers.
        count: Samples of an epoch.
        seed: Decides their order.
        signal: Module that is evaluated on the validation split after each epoch; None where the weights of an epoch
            can't be judged before a linear probe is trained on them.
    """

    context: WorkerContext
    module: nn.Module
    optimizer: torch.optim.Optimizer
    epochs: int
    batch_size: int
    count: int
    seed: int
    signal: nn.Module | None = None

    @abstractmethod
    def rate(self, step: int, steps_per_epoch: int) -> float:
        """Learning rate of a step, counted from the start of the run."""

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

    It trains `setup.model`, or only its encoder, in place, and draws from `mtneuro_ray.rng`.

    A method that trains by gradient steps derives from `SteppedMethod`.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.context, self.task, self.split = setup.context, setup.task, setup.split
        self.network = setup.run.network
        self.seed = self.network.seed

    def fit(self) -> None:
        """Train without gradient steps. Every worker repeats the whole of it."""


class SteppedMethod(Method, Steps):
    """A method that trains by gradient steps. Its constructor sets `module` and `optimizer`."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        _, self.batch_size, self.epochs = self.network.training
        self.count = len(setup.split)

    def distributed(self, module: nn.Module) -> nn.Module:
        """The module wrapped for its forward pass in training: gradients shared by all workers, compiled on demand.

        With several workers this replaces the batch norms of `module` in place.
        """
        return self.compiled(self.context.distribute(module))

    def compiled(self, module: nn.Module) -> nn.Module:
        """The module under torch.compile where the settings ask for it."""
        return torch.compile(module) if self.network.compute.compile else module  # type: ignore[return-value]

    def descend(self, total: Tensor, count: int) -> None:
        """One optimizer step down the gradient of the mean loss of a global batch.

        Args:
            total: Loss summed over this worker's samples.
            count: Samples of the global batch.
        """
        # DistributedDataParallel averages over workers; the mean wanted is over the images of the global batch.
        (total * (self.context.world_size / count)).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
