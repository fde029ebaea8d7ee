"""What is known of each model without building it: what it serves, and which images pass through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

ModelName = Literal[
    "ResNet-18", "PCA", "NMF", "UNet", "MAnet", "FPN", "UnetPlusPlus", "PAN", "PSPNet", "VNetLight", "HighResNet"
]
MODEL_NAMES: tuple[ModelName, ...] = get_args(ModelName)


@dataclass(frozen=True, slots=True)
class SizeRule:
    """The lengths that a network accepts along each spatial axis: multiples of `divisor`, plus `offset`.

    Attributes:
        divisor: Product of the strides along the axis.
        offset: Added to the multiple; not zero only for unpadded convolutions.
        smallest: The least accepted length, in pixels.
    """

    divisor: int
    offset: int
    smallest: int

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


def unet_size_rule(n_blocks: int = 4, conv_mode: str = "same") -> SizeRule:
    """Which image sizes a U-Net accepts.

    In "valid" mode each block takes 4 pixels off an axis before the next pooling halves it; every pooling
    must meet an even size (Ronneberger et al. 2015, section 2), and at least one pixel must come out at the end.
    """
    divisor = 2 ** (n_blocks - 1)
    if conv_mode == "same":
        return SizeRule(divisor, offset=0, smallest=divisor)
    # Each step up makes 2n - 4 of n: walk from an output of one pixel or more to the lowest level.
    lowest = 1
    for _ in range(n_blocks - 1):
        lowest = (lowest + 5) // 2
    return SizeRule(divisor, offset=-4, smallest=divisor * (lowest + 8) - 4)


@dataclass(frozen=True, slots=True)
class Architecture:
    """One model.

    Attributes:
        task: Kind of task that it serves.
        dims: Numbers of spatial axes that it comes in.
        sizes: Sizes that it accepts, from `n_blocks` and `conv_mode` (which only the U-Net heeds).
        encoder: Whether its encoder is chosen from segmentation_models_pytorch.
        smallest_batch: Images that a training step needs: a batch norm after global pooling has one value an image.
    """

    task: Literal["classification", "segmentation"]
    dims: tuple[int, ...]
    sizes: Callable[[int, str], SizeRule]
    encoder: bool = False
    smallest_batch: int = 1


def _always(rule: SizeRule) -> Callable[[int, str], SizeRule]:
    return lambda n_blocks, conv_mode: rule


def _library(divisor: int, smallest: int, smallest_batch: int = 1) -> Architecture:
    rule = _always(SizeRule(divisor, 0, smallest))
    return Architecture("segmentation", (2,), rule, encoder=True, smallest_batch=smallest_batch)


ARCHITECTURES: dict[ModelName, Architecture] = {
    "ResNet-18": Architecture("classification", (2,), _always(SizeRule(1, 0, 1))),
    "PCA": Architecture("classification", (2,), _always(SizeRule(1, 0, 1))),
    "NMF": Architecture("classification", (2,), _always(SizeRule(1, 0, 1))),
    "UNet": Architecture("segmentation", (2, 3), unet_size_rule),
    # Half of it passes, too, but leaves one value a channel to the batch norms of a batch of one.
    "MAnet": _library(32, 64),
    "FPN": _library(32, 64),
    "UnetPlusPlus": _library(32, 64),
    # Its attention pools the features of stride 16 three times more (Li et al. 2018, figure 3).
    "PAN": _library(16, 128, smallest_batch=2),
    "PSPNet": _library(8, 32),
    "VNetLight": Architecture("segmentation", (3,), _always(SizeRule(8, 0, 8))),
    "HighResNet": Architecture("segmentation", (3,), _always(SizeRule(1, 0, 1))),
}
"""Every model that a network file can name; `models.registry` builds them."""
