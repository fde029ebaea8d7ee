"""Settings and declarations of the benchmark's methods (paper, section 4.1, Appendix 3; PROTOCOL, Task 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mtneuro_ray.config.base import Count, Fraction, NonNegative, Positive, Probability, Rate
from mtneuro_ray.config.owners import FrozenSettings, MethodSettings, Training
from mtneuro_ray.errors import InputError
from mtneuro_ray.methods.base import MethodDeclaration

if TYPE_CHECKING:
    from mtneuro_ray.config.network import NetworkSettings


class SupervisedSettings(MethodSettings):
    """Keys of training with labels."""

    mixup_probability: Probability = 0.0
    """Probability that the images of a batch, and their labels, are mixed in pairs (Zhang et al. 2018; paper, Appendix
    3.2.4). For classification."""
    mixup_alpha: Rate = 1.0
    """Parameter of the Beta(alpha, alpha) distribution of their shares."""


class ByolSettings(FrozenSettings):
    """Keys of self-supervised pre-training on views (Grill et al. 2020; paper, Appendix 3)."""

    epochs: Positive = 100
    """Passes over the training images."""
    batch_size: Positive | None = None
    """Images of one step, over all workers together; `data.batch_size` by default."""
    projector_hidden_size: Positive = 4096
    """Hidden width of projector and predictor."""
    projector_output_size: Positive = 256
    """Output width of projector and predictor."""
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
    base_momentum: Fraction = 0.996
    """Share of the target's weights that the first step keeps; it rises to 1 by a cosine."""

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


class MyowMergedSettings(ByolSettings):
    """Keys of BYOL with mined views (Azabou et al. 2021)."""

    myow_base_weight: NonNegative = 0.1
    """Weight of the mined term against 1 for the augmented one, after the ramp."""
    byol_warmup_epochs: Count = 0
    """Epochs without the mined term."""
    myow_rampup_epochs: Count = 10
    """Epochs over which the weight of the mined term rises."""
    knn_nneighs: Positive = 1
    """Nearest neighbours of a view in the target's feature space (cosine) among which the mined view is drawn."""
    pool_ratio: Rate = 0.5
    """Crops of other images that are searched for mined views, for each image of a batch."""


class MyowSettings(MyowMergedSettings):
    """Keys of MYOW, whose mined term has a projector and predictor of its own."""

    projector_2_hidden_size: Positive = 4096
    """Hidden width of the second, cascaded projector and predictor."""
    projector_2_output_size: Positive = 256
    """Output width of the second projector and predictor."""


SUPERVISED = MethodDeclaration(
    name="supervised",
    summary="Training on labels or masks, with mixup on demand",
    build="mtneuro_ray.engine.supervised:SupervisedFit",
    settings=SupervisedSettings,
)
BYOL = MethodDeclaration(
    name="byol",
    summary="Bootstrap your own latent (Grill et al. 2020), then a linear probe",
    build="mtneuro_ray.engine.pretrain:SslFit",
    settings=ByolSettings,
    needs=("gradients", "features"),
    yields="encoder",
)
MYOW = MethodDeclaration(
    name="myow",
    summary="Mine your own view (Azabou et al. 2021), cascaded heads, then a linear probe",
    build="mtneuro_ray.engine.pretrain:SslFit",
    settings=MyowSettings,
    needs=("gradients", "features"),
    yields="encoder",
)
MYOW_MERGED = MethodDeclaration(
    name="myowmerged",
    summary="Mine your own view with one projector and predictor for both terms, then a linear probe",
    build="mtneuro_ray.engine.pretrain:SslFit",
    settings=MyowMergedSettings,
    needs=("gradients", "features"),
    yields="encoder",
)
DECOMPOSITION = MethodDeclaration(
    name="decomposition",
    summary="PCA or NMF of the training images, then a linear probe (paper, section 4.1)",
    build="mtneuro_ray.engine.linear_probe:decompose",
    settings=FrozenSettings,
    needs=("features", "fit"),
    yields="encoder",
)
