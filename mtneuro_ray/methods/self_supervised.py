"""Settings that self-supervised methods share: views and schedule (paper, Appendix 3; PROTOCOL, Task 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mtneuro_ray.config.base import Count, Fraction, Positive, Probability, Rate
from mtneuro_ray.config.owners import FrozenSettings, Training
from mtneuro_ray.errors import InputError

if TYPE_CHECKING:
    from mtneuro_ray.config.network import NetworkSettings


# Batch size that a stated base learning rate is for (Grill et al. 2020).
_REFERENCE_BATCH = 256
# Learning rate divided by 1 - momentum, which is what a gradient moves a weight by in the end.
_REACH = 0.5
_WARMUP_EPOCHS = 10


class SelfSupervisedSettings(FrozenSettings):
    """Keys of a method that learns from views of images; a method's own type adds its own."""

    before_rules: ClassVar[dict[str, Any]] = {"lr_warmup_epochs": 10, "base_learning_rate": 0.03}
    """Defaults of keys that now follow a rule where they are not stated; they stay out of run ids."""

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
    lr_warmup_epochs: Count | None = None
    """Epochs over which the learning rate rises linearly; half a cosine to zero follows. By default 10, or a tenth of
    `epochs` where that is less."""
    base_learning_rate: Rate | None = None
    """Learning rate at batch size 256, scaled in proportion to the batch size. By default the rate is
    0.5 x (1 - `optimizer.momentum`) at any batch size."""

    @property
    def warmup(self) -> int:
        """Epochs of the warm-up."""
        return self.share_of_epochs(self.lr_warmup_epochs)

    def share_of_epochs(self, stated: int | None) -> int:
        """Epochs as stated, or else 10 of 100 and more, a tenth of fewer, and none of one."""
        return min(_WARMUP_EPOCHS, -(-self.epochs // 10), self.epochs - 1) if stated is None else stated

    def rate(self, batch_size: int, momentum: float) -> float:
        """Learning rate after the warm-up."""
        if self.base_learning_rate is None:
            return round(_REACH * (1 - momentum), 12)
        return self.base_learning_rate * batch_size / _REFERENCE_BATCH

    def training(self, network: NetworkSettings) -> Training:
        """Learning rate at batch size 256 or, by rule, at any; global batch size and epochs of the pre-training."""
        batch_size = self.batch_size or network.data.batch_size
        rate = self.base_learning_rate or self.rate(batch_size, network.optimizer.momentum)
        return Training(rate, batch_size, self.epochs)

    def check(self, where: str) -> None:
        """Check views and warm-up."""
        if "random_crop" not in self.transform or len(set(self.transform)) < len(self.transform):
            raise InputError(
                f"{where}: method.transform: is {', '.join(self.transform) or 'empty'}; accepted: random_crop, and "
                "each other once"
            )
        if self.warmup >= self.epochs:
            raise InputError(
                f"{where}: method.lr_warmup_epochs: {self.warmup} leaves nothing of {self.epochs} epochs; "
                f"accepted: 0 to {self.epochs - 1}"
            )
