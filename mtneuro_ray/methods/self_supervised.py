"""Settings that self-supervised methods share: views and schedule (paper, Appendix 3; PROTOCOL, Task 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mtneuro_ray.config.base import Count, Fraction, Positive, Probability, Rate
from mtneuro_ray.config.owners import FrozenSettings, Training
from mtneuro_ray.errors import InputError

if TYPE_CHECKING:
    from mtneuro_ray.config.network import NetworkSettings


class SelfSupervisedSettings(FrozenSettings):
    """Keys of a method that learns from views of images; a method's own type adds its own."""

    epochs: Positive = 100
    """Passes over the training images."""
    batch_size: Positive | None = None
    """Images of one step, over all workers together; `data.batch_size` by default."""
    transform: tuple[Literal["random_crop", "flip_rotate", "grey"], ...] = ("random_crop",)
    """How views are made: crops of half the side, the paper's only transform (Appendix 3.1.2), then flips and
    90-degree rotations, and a random contrast and brightness."""
    trans_prob: Probability = 0.5
    """Probability of every transform but the crop, for each view."""
    grey_strength: Fraction = 0.4
    """Maximum contrast factor and brightness shift (in standard deviations) of the "grey" transform."""
    lr_warmup_epochs: Count = 10
    """Epochs over which the learning rate rises linearly; half a cosine to zero follows."""
    base_learning_rate: Rate = 0.03
    """Learning rate at batch size 256; it is scaled in proportion to the batch size."""

    def training(self, network: NetworkSettings) -> Training:
        """Learning rate, global batch size and epochs of the pre-training."""
        return Training(self.base_learning_rate, self.batch_size or network.data.batch_size, self.epochs)

    def check(self, where: str) -> None:
        """Check views and warm-up."""
        if "random_crop" not in self.transform or len(set(self.transform)) < len(self.transform):
            raise InputError(
                f"{where}: method.transform: is {', '.join(self.transform) or 'empty'}; accepted: random_crop, and "
                "each other once"
            )
        if self.lr_warmup_epochs >= self.epochs:
            raise InputError(
                f"{where}: method.lr_warmup_epochs: {self.lr_warmup_epochs} leaves nothing of {self.epochs} epochs; "
                f"accepted: 0 to {self.epochs - 1}"
            )
