"""Declaration of a model, which imports no torch: what it predicts, what it gives, which images it accepts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mtneuro_ray.config.owners import ModelSettings
from mtneuro_ray.registry import Declaration

Capability = Literal["gradients", "features", "fit"]


class Settings2D(ModelSettings):
    """Keys of models for slices."""

    dim: Literal[2] = 2
    """Spatial axes."""


class Settings3D(ModelSettings):
    """Keys of models for volumes."""

    dim: Literal[3] = 3
    """Spatial axes."""


@dataclass(frozen=True, slots=True)
class SizeRule:
    """Lengths in pixels that a network accepts along each spatial axis: multiples of `divisor`, plus `offset`.

    Attributes:
        divisor: Product of the strides along the axis.
        offset: Added to the multiple; not zero only for unpadded convolutions.
        smallest: The least accepted length.
        norm_stride: Stride of the coarsest features that a batch norm normalises; 0 where each image leaves it several
            values. One value a channel, of a batch of one image, can't be normalised.
    """

    divisor: int = 1
    offset: int = 0
    smallest: int = 1
    norm_stride: int = 0

    def accepts(self, size: int) -> bool:
        """Whether an axis of `size` pixels passes through the network."""
        return size >= self.smallest and (size - self.offset) % self.divisor == 0

    def check(self, model: str, sizes: Sequence[int]) -> None:
        """Check the spatial axes of an image.

        Raises:
            ValueError: one has a size that the network does not accept.
        """
        if not all(self.accepts(size) for size in sizes):
            raise ValueError(f"{model} cannot take an image of {tuple(sizes)} pixels; accepted: {self}")

    def __str__(self) -> str:
        first = [str(self.smallest + k * self.divisor) for k in range(3)]
        return f"every spatial axis one of {', '.join(first)}, ... (steps of {self.divisor})"


@dataclass(frozen=True, kw_only=True)
class ModelDeclaration(Declaration):
    """One model.

    `build` is called with the model's settings and the number of classes and returns a `torch.nn.Module` with random
    weights that `torch.manual_seed` alone determines. A model that gives "features" returns an
    `models.nets.resnet.EncoderClassifier`.

    Attributes:
        settings: Type of its settings.
        predicts: Subject of its logits: a whole "image", or each "voxel". It serves every kind of task with such
            labels.
        dims: Numbers of spatial axes that it comes in.
        sizes: Rule for the lengths of the spatial axes, or a function of the settings that gives it.
        gives: "gradients": it is trained by steps; "features": its encoder can be read and frozen; "fit": its encoder
            is fitted to images at once. A method names those that it needs.
        smallest_batch: Images that a training step needs: a batch norm after global pooling has one value an image.
        is_pretrained: Whether the settings name an encoder of segmentation_models_pytorch with published weights
            (`encoder_name`, `encoder_weights`).
        takes_negative: Whether images may hold negative numbers, as `image` and `zscore` normalization make them.
        parameters: Approximate number of parameters, or a function of the settings that gives it. A sweep without a
            table of costs starts runs by voxels times epochs times parameters, the largest first.
    """

    settings: type[ModelSettings]
    predicts: tuple[Literal["image", "voxel"], ...]
    dims: tuple[int, ...] = (2,)
    sizes: SizeRule | Callable[[Any], SizeRule] = SizeRule()
    gives: tuple[Capability, ...] = ("gradients",)
    smallest_batch: int = 1
    is_pretrained: bool = False
    takes_negative: bool = True
    parameters: float | Callable[[Any], float] = 1e7

    def count_parameters(self, settings: ModelSettings) -> float:
        """Approximate number of parameters."""
        return self.parameters(settings) if callable(self.parameters) else self.parameters

    def size_rule(self, settings: ModelSettings) -> SizeRule:
        """Lengths of the spatial axes that the model accepts."""
        return self.sizes if isinstance(self.sizes, SizeRule) else self.sizes(settings)
