"""Settings by owner: what the model, the method, the loss, the optimizer, the data and the evaluation are set to.

A model's and a method's own settings derive from `ModelSettings` and `MethodSettings` and stand with their declaration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import Field

from mtneuro_ray.config.base import Count, Fraction, NonNegative, Positive, Rate, Settings
from mtneuro_ray.errors import InputError

if TYPE_CHECKING:
    from mtneuro_ray.config.network import NetworkSettings


class Training(NamedTuple):
    """What a training by steps is known by in tables and estimates."""

    learning_rate: float
    batch_size: int
    epochs: int


class ModelSettings(Settings):
    """Keys that every model has; a model's own type adds its own."""

    name: str
    """Name of the model, or `package.module:name` of its declaration."""
    in_channels: Literal[1] = 1
    """Channels of the image."""
    dim: Literal[2, 3] = 2
    """Spatial axes: 2 for slices, 3 for volumes."""


class MethodSettings(Settings):
    """Keys that every method has; a method's own type adds its own."""

    name: str
    """Name of the method, or `package.module:name` of its declaration."""

    def training(self, network: NetworkSettings) -> Training:
        """Learning rate, global batch size and epochs of what trains by steps."""
        optimizer = network.optimizer
        return Training(optimizer.learning_rate, network.data.batch_size, optimizer.epochs)


class FrozenSettings(MethodSettings):
    """Keys of methods that make an encoder without labels, and then train a linear probe on its frozen features."""

    probe_norm: Literal["standard", "none"] = "standard"
    """Input of the linear probe: each feature shifted and scaled to mean 0 and standard deviation 1 over the training
    split, or as the encoder gives it."""


class LossSettings(Settings):
    """The loss of training with labels, of a linear probe too."""

    name: str = "cross_entropy"
    """Name of a loss, or several joined by `+`, which adds them: `cross_entropy+dice`."""
    class_weights: Literal["none", "balanced", "median_frequency"] = "none"
    """Weights of the classes in the cross-entropy, from the training split: inverse to a class's share of the voxels,
    scaled so that the mean over voxels is 1 (balanced), or relative to the median share (Eigen & Fergus 2015)."""


class OptimizerSettings(Settings):
    """Optimizer and schedule; of methods that freeze an encoder, those of the linear probe."""

    name: Literal["SGD", "Adam"] = "Adam"
    """Adam, or stochastic gradient descent."""
    learning_rate: Rate
    """Step size after the warm-up."""
    epochs: Positive
    """Passes over the training split."""
    beta1: Fraction = 0.9
    """Decay of Adam's first moment."""
    beta2: Fraction = 0.999
    """Decay of Adam's second moment."""
    momentum: Fraction = 0.0
    """Momentum of SGD."""
    weight_decay: NonNegative = 0.0
    """L2 penalty. The paper's 0.3 destroys supervised training at its learning rate (PROTOCOL, Task 1)."""
    lr_schedule: Literal["constant", "cosine"] = "constant"
    """Learning rate after the warm-up: constant, or half a cosine to zero."""
    warmup_epochs: Count = 0
    """Epochs over which the learning rate rises linearly from zero; counted within `epochs`."""

    def check(self, where: str) -> None:
        """Check that the warm-up ends before the training does."""
        if self.warmup_epochs >= self.epochs:
            raise InputError(
                f"{where}: optimizer.warmup_epochs: {self.warmup_epochs} leaves nothing of {self.epochs} epochs; "
                f"accepted: 0 to {self.epochs - 1}"
            )


class DataSettings(Settings):
    """Batches and what is done to images before the model reads them."""

    batch_size: Positive
    """Images of one optimizer step, over all workers together."""
    input_norm: Literal["unit", "image"] = "unit"
    """Grey values as fractions of 255, or each image shifted and scaled to mean 0 and standard deviation 1, which
    removes the brightness of the place."""
    augmentations: bool = False
    """Flips and 90-degree rotations of image and mask together."""
    train_crops: Literal["whole", "random"] = "whole"
    """Training input of a supervised classifier: whole images, or one random crop of half the side per image and
    epoch, as the self-supervised methods see (paper, Appendix 3.1.2), at a quarter of the work."""


class EvaluationSettings(Settings):
    """Which weights are evaluated, on what, and by which metrics."""

    eval_crops: Literal["whole", "corners", "pooled", "dense"] = "whole"
    """Classification of whole images; of each of their four half-side corners (paper, Appendix 3.1.2); of images by
    the mean log-probability of their corners (pooled); or of nine overlapping crops in four rotations (dense), at nine
    times the work. A linear probe is trained on the same crops of the training images."""
    keep: Literal["last", "best", "average"] = "last"
    """Evaluated weights: those of the last epoch (as the paper), of the best epoch on validation, or their exponential
    moving average over the steps (Polyak & Juditsky 1992), with its batch norm statistics."""
    average_decay: Fraction = 0.99
    """With `keep = "average"`: the share of the average that a step keeps; at most (1 + s) / (10 + s) after s steps."""
    metrics: tuple[str, ...] = ()
    """Metrics beside the task's own, by name or as `package.module:name`."""

    def check(self, where: str) -> None:
        """Check that a key is not set where it has no effect."""
        if self.keep != "average" and "average_decay" in self.changed():
            raise InputError(
                f"{where}: evaluation.average_decay: has no effect with keep {self.keep!r}; accepted: leave it out, or "
                "keep 'average'"
            )
        if len(set(self.metrics)) < len(self.metrics):
            raise InputError(f"{where}: evaluation.metrics: a name stands twice; accepted: distinct names")


class ComputeSettings(Settings):
    """Arithmetic, which changes speed and the last digits."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the forward pass: auto is bf16 autocast on a GPU and fp32 on a CPU."""
    compile: bool = False
    """Whether torch.compile is applied to the model."""


Owned = Annotated[Settings, Field()]
