"""Tables of a network: model, method, loss, optimizer, data, evaluation and compute.

A model's and a method's own settings derive from `ModelSettings` and `MethodSettings`, beside their declarations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import AliasChoices, Field

from mtneuro_ray.config.base import Count, Fraction, NonNegative, Positive, Rate, Settings
from mtneuro_ray.errors import InputError

if TYPE_CHECKING:
    from mtneuro_ray.config.network import NetworkSettings


Finite = Annotated[float, Field(allow_inf_nan=False)]
Percentage = Annotated[float, Field(ge=0.0, le=100.0)]


class Training(NamedTuple):
    """Settings of a training by steps, as tables and estimates show them."""

    learning_rate: float
    batch_size: int
    epochs: int


class ModelSettings(Settings):
    """Keys of every model; the settings type of a model adds its own."""

    name: str
    """Name of the model, or `package.module:name` of its declaration."""
    in_channels: Annotated[int, Field(ge=1, le=1024)] = 1
    """Channels of the image; those of the task's volumes where it is 1."""
    dim: Literal[2, 3] = 2
    """Spatial axes: 2 for slices, 3 for volumes."""


class MethodSettings(Settings):
    """Keys of every method; the settings type of a method adds its own."""

    name: str
    """Name of the method, or `package.module:name` of its declaration."""

    def training(self, network: NetworkSettings) -> Training:
        """Learning rate, global batch size and epochs of the training by steps."""
        optimizer = network.optimizer
        return Training(optimizer.learning_rate, network.data.batch_size, optimizer.epochs)


class FrozenSettings(MethodSettings):
    """Keys of methods that learn an encoder without labels, and then train a linear probe on its frozen features."""

    probe_norm: Literal["standard", "none"] = "standard"
    """Input of the linear probe: each feature standardised to mean 0 and standard deviation 1 over the training split,
    or as the encoder outputs it, the paper's plain linear layer (measured in docs/benchmark.md)."""


class LossSettings(Settings):
    """Loss of a training with labels, or of a linear probe."""

    name: str = "cross_entropy"
    """Name of a loss, or a sum of losses such as `cross_entropy+dice`."""
    class_weights: Literal["none", "balanced", "median_frequency"] = "none"
    """Weights of the classes in the cross-entropy, from the training split: inverse to a class's share of the voxels,
    scaled so that the mean over voxels is 1 (balanced), or relative to the median share (Eigen & Fergus 2015)."""


class OptimizerSettings(Settings):
    """Optimizer and schedule of the training, or of the linear probe on a frozen encoder."""

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
    """Batches and preprocessing of images."""

    batch_size: Positive
    """Images of one optimizer step, over all workers together."""
    normalization: Literal["unit", "image", "window", "percentile", "zscore"] = Field(
        default="unit", validation_alias=AliasChoices("normalization", "input_norm")
    )
    """Scaling of the grey values of each channel. `unit`: the range of the integer type becomes 0 to 1 (bytes by
    255; of signed types the lowest value becomes 0). `window`: `low` to `high` become 0 to 1, values outside are
    clipped. `percentile`: likewise the `percentiles` of the training split. `zscore`: mean 0 and deviation 1 over the
    training split. `image`: the same over each image, which removes the brightness of the place."""
    low: Finite | None = None
    """Grey value that `window` makes 0."""
    high: Finite | None = None
    """Grey value that `window` makes 1."""
    percentiles: tuple[Percentage, Percentage] = (0.5, 99.5)
    """Percentiles of the grey values of the training split that `percentile` makes 0 and 1."""
    nonfinite: Finite | None = None
    """Grey value that replaces NaN and infinity; images that have such voxels are refused by default."""
    augmentations: bool = False
    """Flips and 90-degree rotations of image and mask together."""
    train_crops: Literal["whole", "random"] = "whole"
    """Training input of a supervised classifier: whole images, or one random crop of half the side per image and
    epoch, as the self-supervised methods see (paper, Appendix 3.1.2), at a quarter of the work."""

    def check(self, where: str) -> None:
        """Check that the parameters of the normalization are there and have an effect."""
        name = self.normalization
        for key, owner in (("low", "window"), ("high", "window"), ("percentiles", "percentile")):
            if key in self.changed() and name != owner:
                raise InputError(f"{where}: data.{key}: belongs to normalization {owner!r}; accepted: leave it out")
            if name == owner == "window" and getattr(self, key) is None:
                raise InputError(f"{where}: data.{key}: is missing; normalization 'window' requires it")
        first, last = (self.low, self.high) if name == "window" else self.percentiles
        if first is not None and last is not None and first >= last:
            key = "high" if name == "window" else "percentiles"
            raise InputError(f"{where}: data.{key}: {last:g} is not above {first:g}; accepted: more than {first:g}")


class EvaluationSettings(Settings):
    """Evaluated weights, input and metrics."""

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
    """Metrics in addition to the task's own, by name or as `package.module:name`."""

    def check(self, where: str) -> None:
        """Check that `average_decay` has an effect and that metrics are distinct."""
        if self.keep != "average" and "average_decay" in self.changed():
            raise InputError(
                f"{where}: evaluation.average_decay: has no effect with keep {self.keep!r}; accepted: leave it out, or "
                "keep 'average'"
            )
        if len(set(self.metrics)) < len(self.metrics):
            raise InputError(f"{where}: evaluation.metrics: a name stands twice; accepted: distinct names")


class ComputeSettings(Settings):
    """Arithmetic: it changes speed and the last digits."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the forward pass: auto is bf16 autocast on a GPU and fp32 on a CPU."""
    compile: bool = False
    """Whether torch.compile is applied to the model."""
