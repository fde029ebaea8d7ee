"""The network format: a model, how it is trained and how it is evaluated.

It is the public benchmark's flat JSON with its own additions, so that one format serves both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from mtneuro_ray.config.base import Settings
from mtneuro_ray.errors import InputError
from mtneuro_ray.models.architectures import ARCHITECTURES, Architecture, ModelName, SizeRule

Method = Literal["supervised", "byol", "myow", "myowmerged", "decomposition"]
SSL_METHODS: tuple[Method, ...] = ("byol", "myow", "myowmerged")
DECOMPOSITIONS: tuple[ModelName, ...] = ("PCA", "NMF")
Positive = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class SslSettings(Settings):
    """Self-supervised pre-training (paper, Appendix 3; PROTOCOL, Task 1)."""

    optimizer: Literal["sgd"] = "sgd"
    epochs: Positive = 100
    batch_size: Positive | None = None
    """Images of one step, over all workers together; the network's `batch_size` by default."""
    projector_hidden_size: Positive = 4096
    projector_output_size: Positive = 256
    projector_2_hidden_size: Positive = 4096
    projector_2_output_size: Positive = 256
    myow_layout: Literal["cascaded"] = "cascaded"
    transform: tuple[Literal["random_crop", "flip_rotate", "grey"], ...] = ("random_crop",)
    """How views are made: crops of half the side, which are all that the paper uses (Appendix 3.1.2), then flips and
    90-degree rotations, and a random contrast and brightness."""
    trans_prob: Probability = 0.5
    """Probability of every transform but the crop, for each view."""
    grey_strength: Fraction = 0.4
    """Most that "grey" changes the contrast, as a factor, and the brightness, as a part of the deviation."""
    lr_warmup_epochs: Annotated[int, Field(ge=0)] = 10
    base_learning_rate: Rate = 0.03
    base_momentum: Fraction = 0.996
    myow_base_weight: NonNegative = 0.1
    lr_decay: Literal["cosine"] = "cosine"
    mm_decay: Literal["cosine"] = "cosine"
    byol_warmup_epochs: Annotated[int, Field(ge=0)] = 0
    myow_rampup_epochs: Annotated[int, Field(ge=0)] = 10
    miner: Literal["knn"] = "knn"
    miner_candidate_repr: Literal["target"] = "target"
    miner_distance: Literal["cosine"] = "cosine"
    knn_select: Literal["random"] = "random"
    knn_nneighs: Positive = 1
    pool_ratio: Rate = 0.5
    """Crops of other images that are searched for mined views, for each image of a batch."""

    def check(self, where: str) -> None:
        """Check what concerns several keys at once."""
        if "random_crop" not in self.transform or len(set(self.transform)) < len(self.transform):
            raise InputError(
                f"{where}: ssl.transform: is {', '.join(self.transform) or 'empty'}; accepted: random_crop, and each "
                "other once"
            )
        if self.lr_warmup_epochs >= self.epochs:
            raise InputError(
                f"{where}: ssl.lr_warmup_epochs: {self.lr_warmup_epochs} leaves nothing of {self.epochs} epochs; "
                f"accepted: 0 to {self.epochs - 1}"
            )


class NetworkSettings(Settings):
    """One model with its training and evaluation settings."""

    name: str = ""
    model: ModelName
    method: Method = "supervised"
    in_channels: Literal[1] = 1
    classes: Annotated[int, Field(ge=2)]

    dim: Literal[2, 3] = 2
    n_blocks: Annotated[int, Field(ge=2, le=8)] = 4
    start_filters: Positive = 32
    activation: Literal["relu", "leaky", "elu"] = "relu"
    normalization: str = Field(default="batch", pattern=r"^(batch|instance|none|group[1-9]\d*)$")
    conv_mode: Literal["same", "valid"] = "same"
    """Convolutions of the U-Net: "valid" shrinks the prediction, which is then scored on its centre."""
    encoder_name: str = "efficientnet-b7"
    """Encoder of MAnet, FPN, UnetPlusPlus, PAN and PSPNet: any of segmentation_models_pytorch (paper, Appendix
    4.2.2)."""
    encoder_weights: str | None = "imagenet"
    """Weights that the encoder starts from: a name that the library has for it, fetched once for all trials of a sweep;
    `file:` and the path of a state dict (.safetensors, .pt, .pth), relative to the JSON that names it; or null for
    random ones."""
    dropout: Fraction = 0.2
    """Probability of dropping a feature before the classifier (ResNet-18; paper, section 4.1)."""
    latent_dim: Positive | None = None
    """Width of a linear layer between the 512 encoder features and the classifier; none by default."""
    components: Positive = 256
    """Of PCA and NMF (paper, section 4.1); of fewer images or pixels than that, as many as there are."""
    readout_norm: Literal["standard", "none"] = "standard"
    """What the linear layer on frozen features reads: each feature shifted and scaled to mean 0 and deviation 1 over
    the training split, or as the encoder gives it."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    optimizer: Literal["SGD", "Adam"] = "Adam"
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    opt_momentum: Fraction = 0.0
    """Momentum of SGD."""
    weight_decay: NonNegative = 0.0
    """L2 penalty. The paper's 0.3 destroys supervised training at its learning rate (PROTOCOL, Task 1)."""
    learning_rate: Rate
    lr_schedule: Literal["constant", "cosine"] = "constant"
    warmup_epochs: Annotated[int, Field(ge=0)] = 0
    """Epochs over which the learning rate rises linearly from zero; counted within `epochs`."""
    epochs: Positive
    batch_size: Positive
    """Images of one optimizer step, over all workers together."""
    augmentations: bool = False
    """Flips and 90-degree rotations of image and mask together."""
    train_crops: Literal["whole", "random"] = "whole"
    """What a supervised classifier learns from: whole images, or of each a random crop of half the side, another in
    every epoch: what the self-supervised methods are shown (paper, Appendix 3.1.2), at a quarter of the work."""
    mixup_probability: Probability = 0.0
    """Probability that the images of a batch, and their labels, are mixed in pairs (Zhang et al. 2018; paper, Appendix
    3.2.4)."""
    mixup_alpha: Rate = 1.0
    """Of the Beta(alpha, alpha) distribution of their shares."""
    input_norm: Literal["unit", "image"] = "unit"
    """Grey values as fractions of 255, or each image shifted and scaled to mean 0 and deviation 1, which takes away
    the brightness of the place."""
    loss: Literal["cross_entropy", "dice", "focal", "cross_entropy+dice", "focal+dice"] = "cross_entropy"
    class_weights: Literal["none", "balanced", "median_frequency"] = "none"
    """Weights of the classes in the cross-entropy, from the training split: inverse to a class's share of the voxels,
    scaled so that the mean over voxels is 1 (balanced), or relative to the median share (Eigen & Fergus 2015)."""
    keep: Literal["last", "best", "average"] = "last"
    """Which weights are evaluated: those of the last epoch (as the paper), of the best on validation, or the
    exponential moving average over the steps (Polyak & Juditsky 1992), batch norm statistics with them."""
    average_decay: Fraction = 0.99
    """Of `keep = "average"`: the part of the average that a step leaves as it was; less in early steps, (1 + s) /
    (10 + s) after s of them."""
    eval_crops: Literal["whole", "corners", "pooled", "dense"] = "whole"
    """Task 1: classify whole images; each of their four half-side corners (paper, Appendix 3.1.2); images by the mean
    of the log-probabilities of their corners (pooled), for models that learn from crops: of a larger image the borders
    are a smaller part, which changes features; or by that of nine overlapping crops in four rotations (dense), at nine
    times the work. The linear layer on frozen features is trained on the same crops of the training images."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the forward pass: auto is bf16 autocast on a GPU and fp32 on a CPU."""
    compile: bool = False
    """Whether torch.compile is applied to the model."""
    ssl: SslSettings | None = None

    @property
    def table_name(self) -> str:
        """The name in tables, which the 3-class and the 4-class form of a model share."""
        return (self.name or self.model).removesuffix(f"_{self.classes}class")

    @property
    def starts_pretrained(self) -> bool:
        """Whether the model has an encoder that starts from weights made elsewhere."""
        return self.architecture.encoder and self.encoder_weights is not None

    @property
    def encoder_file(self) -> str | None:
        """Path of the file of weights that the encoder starts from, where `encoder_weights` names one."""
        weights = self.encoder_weights
        return weights.removeprefix("file:") if weights is not None and weights.startswith("file:") else None

    @property
    def architecture(self) -> Architecture:
        """What is known of the model without building it."""
        return ARCHITECTURES[self.model]

    @property
    def size_rule(self) -> SizeRule:
        """Lengths of the spatial axes that the model accepts."""
        return self.architecture.sizes(self.n_blocks, self.conv_mode)

    @property
    def is_frozen(self) -> bool:
        """Whether the encoder is made without labels, and only a linear layer on it learns from them."""
        return self.method != "supervised"

    @property
    def ssl_settings(self) -> SslSettings:
        """The self-supervised pre-training, with the defaults of what is not named."""
        return self.ssl or SslSettings()

    @property
    def ssl_batch_size(self) -> int:
        """Images of one step of the self-supervised pre-training."""
        return self.ssl_settings.batch_size or self.batch_size

    @property
    def encoder_training(self) -> dict[str, int | float]:
        """Learning rate, batch size and epochs of what trains the encoder, where anything does by steps."""
        if self.method in SSL_METHODS:
            ssl = self.ssl_settings
            return {
                "learning_rate": ssl.base_learning_rate,
                "batch_size": self.ssl_batch_size,
                "epochs": ssl.epochs,
            }
        return {"learning_rate": self.learning_rate, "batch_size": self.batch_size, "epochs": self.epochs}

    def replace(self, where: str, /, **changes: Any) -> Self:
        """A checked copy with some keys changed; `ssl.epochs` is a key of the table `ssl`."""
        return super().replace(where, **_unfolded(changes, self.ssl, where))

    def check(self, where: str) -> None:
        """Check what concerns several keys at once."""
        self._check_method(where)
        if self.warmup_epochs >= self.epochs:
            raise InputError(
                f"{where}: warmup_epochs: {self.warmup_epochs} leaves nothing of {self.epochs} epochs; "
                f"accepted: 0 to {self.epochs - 1}"
            )
        groups = self.normalization.removeprefix("group")
        if self.model == "UNet" and groups.isdecimal() and self.start_filters % int(groups):
            raise InputError(
                f"{where}: normalization: {groups} groups do not divide {self.start_filters} start_filters; "
                "accepted: a divisor"
            )
        if self.dim not in self.architecture.dims:
            accepted = ", ".join(map(str, self.architecture.dims))
            raise InputError(f"{where}: dim: {self.model} does not come in {self.dim}; accepted: {accepted}")
        if not self.architecture.encoder:
            for key in ("encoder_name", "encoder_weights"):
                if getattr(self, key) != NetworkSettings.model_fields[key].default:
                    with_encoder = ", ".join(name for name, other in ARCHITECTURES.items() if other.encoder)
                    raise InputError(
                        f"{where}: {key}: {self.model} has no such encoder; accepted: leave it out, or a model of "
                        f"{with_encoder}"
                    )
        if self.batch_size < self.architecture.smallest_batch:
            raise InputError(
                f"{where}: batch_size: {self.model} normalises over the images of a batch and can't be trained on "
                f"{self.batch_size}; accepted: {self.architecture.smallest_batch} or more"
            )
        if self.class_weights != "none" and "cross_entropy" not in self.loss:
            raise InputError(
                f"{where}: class_weights: the loss {self.loss} takes none; accepted: 'none', or "
                "a loss with cross_entropy in it"
            )

    def _check_method(self, where: str) -> None:
        """Check the keys that only some methods have."""
        if (self.model in DECOMPOSITIONS) != (self.method == "decomposition"):
            accepted = "'decomposition'" if self.model in DECOMPOSITIONS else "another method"
            raise InputError(f"{where}: method: {self.method!r} is not for {self.model}; accepted: {accepted}")
        if self.method in SSL_METHODS:
            if self.model != "ResNet-18":
                raise InputError(f"{where}: model: {self.model} has no self-supervised form; accepted: ResNet-18")
            self.ssl_settings.check(where)
        elif self.ssl is not None:
            raise InputError(
                f"{where}: ssl: belongs to {', '.join(SSL_METHODS)}, not {self.method}; accepted: leave it out"
            )
        if self.mixup_probability and (self.is_frozen or self.architecture.task != "classification"):
            raise InputError(f"{where}: mixup_probability: is for supervised classifiers; accepted: leave it out")
        if self.model == "NMF" and self.input_norm == "image":
            raise InputError(
                f"{where}: input_norm: 'image' gives negative numbers, which NMF can't take; accepted: 'unit'"
            )
        if self.keep != "average" and self.average_decay != NetworkSettings.model_fields["average_decay"].default:
            raise InputError(
                f"{where}: average_decay: belongs to keep 'average', not {self.keep!r}; accepted: leave it out"
            )
        if self.train_crops != "whole" and self.architecture.task != "classification":
            raise InputError(f"{where}: train_crops: is for classifiers; accepted: leave it out")
        if self.is_frozen:
            for key in ("latent_dim", "train_crops", "keep", "augmentations", "dropout"):
                if getattr(self, key) != NetworkSettings.model_fields[key].default:
                    raise InputError(
                        f"{where}: {key}: has no meaning for a frozen encoder ({self.method}); accepted: leave it out"
                    )


def _unfolded(changes: Mapping[str, Any], ssl: SslSettings | None, where: str) -> dict[str, Any]:
    """Changes with those of `ssl.KEY` joined into one of `ssl`."""
    flat = {key: value for key, value in changes.items() if not key.startswith("ssl.")}
    inner = {key.removeprefix("ssl."): value for key, value in changes.items() if key.startswith("ssl.")}
    if not inner:
        return flat
    if ssl is None:
        raise InputError(f"{where}: ssl.{next(iter(inner))}: the network has no table ssl; accepted: leave it out")
    return {**flat, "ssl": {**ssl.model_dump(mode="json"), **inner}}
