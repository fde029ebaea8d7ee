"""Base of self-supervised methods: an encoder learns from views of images, without labels.

A subclass defines its network and its loss; the base class makes the views, the schedule, the history and the exchange
between workers.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed.nn.functional as differentiable
from torch import Tensor, nn
from torch.nn import functional as F

from mtneuro_ray.config.owners import OptimizerSettings
from mtneuro_ray.methods.self_supervised import SelfSupervisedSettings
from mtneuro_ray.methods.training.base import Setup, SteppedMethod, build_optimizer
from mtneuro_ray.methods.training.views import NUMBERS, ViewDraws, cut_views, shade_views
from mtneuro_ray.models.build import autocast, placed
from mtneuro_ray.rng import Indices, Purpose, generator

# In 40 steps of 256 images nothing was learned. On a shorter way, the sum of the rates of all steps / (1 - momentum),
# features may be no better than random ones (docs/self_supervision.md).
_FEWEST_STEPS, _SHORTEST_WAY = 50, 5.0
# Deviation between images, as a share of that of evenly spread directions, below which features tell nothing apart.
_COLLAPSED = 0.02

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ViewBatch:
    """One step of a self-supervised method on one worker; `step` counts from the start of the run.

    This worker has views of the images `samples` (b,), those from `start` on of the global batch `indices` (B,).
    """

    samples: Indices
    indices: Indices
    start: int
    step: int
    steps_per_epoch: int


class SelfSupervised(SteppedMethod):
    """Training of the encoder of `setup.model` on V views of each image, in place.

    The history has the loss, what else `losses` returns, and `feature_std`: the deviation of the features between
    images, which falls from about 1 / sqrt(features) to 0 where the encoder collapses.
    """

    views = 2

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.settings = cast(SelfSupervisedSettings, self.network.method)
        classifier = setup.classifier
        torch.manual_seed(int(generator(self.seed, 0, Purpose.HEADS).integers(2**63)))
        self.online = self.build(classifier.encoder, classifier.head.in_features)
        self.module = placed(self.online, self.network, self.context.device).train()
        self.schedule = OptimizerSettings(
            name="SGD",
            learning_rate=self.settings.rate(self.batch_size, self.network.optimizer.momentum),
            epochs=self.epochs,
            momentum=self.network.optimizer.momentum,
            weight_decay=self.network.optimizer.weight_decay,
            lr_schedule="cosine",
            warmup_epochs=self.settings.warmup,
        )
        learned = [parameter for parameter in self.module.parameters() if parameter.requires_grad]
        # Weight decay spares biases and batch norms (Grill et al. 2020, section 3.3).
        groups: list[dict[str, Any]] = [
            {"params": [parameter for parameter in learned if parameter.dim() > 1]},
            {"params": [parameter for parameter in learned if parameter.dim() <= 1], "weight_decay": 0.0},
        ]
        self.optimizer = build_optimizer(self.schedule, groups, self.context.device)
        self._model = self.distributed(self.module)

    @classmethod
    def cautions(cls, setup: Setup, history: Sequence[Mapping[str, Any]]) -> list[str]:
        """Too few steps, too small a rate for them, or features that have collapsed."""
        network, settings = setup.run.network, cast(SelfSupervisedSettings, setup.run.network.method)
        batch_size, momentum, steps = network.training.batch_size, network.optimizer.momentum, steps_of(setup)
        where, rate = f"{network.name}: {settings.name}", settings.rate(batch_size, momentum)
        found = []
        if steps < _FEWEST_STEPS:
            found.append(f"{where}: {steps} steps are too few to learn from views; accepted: {_FEWEST_STEPS} or more")
        elif rate * steps / 2 < _SHORTEST_WAY * (1 - momentum):
            found.append(
                f"{where}: a learning rate of {rate:.2g} (method.base_learning_rate {settings.base_learning_rate} x "
                f"{batch_size} / 256) is too small for {steps} steps, so features may be no better than random ones; "
                "accepted: leave it out, or more epochs"
            )
        spread = history[-1].get("train/feature_std") if history else None
        if spread is not None and spread * math.sqrt(setup.classifier.head.in_features) < _COLLAPSED:
            found.append(f"{where}: the features have collapsed: they deviate by {spread:.2g} between images")
        return found

    @abstractmethod
    def build(self, encoder: nn.Module, features: int) -> nn.Module:
        """The trained module: `encoder`, which gives `features` numbers per image, with its heads.

        It takes views (V * b, C, y, x), all first ones before all second ones, and returns a tuple: the features of
        the encoder, then the tensors that `losses` reads. Weights are drawn from torch's generator, which is seeded.
        """

    @abstractmethod
    def losses(self, outputs: list[Tensor], targets: Any, batch: ViewBatch) -> dict[str, Tensor]:
        """Scalars summed over this worker's images, "loss" among them, which is descended.

        A loss of a whole batch (its negatives, its covariance) reads the rows of all workers through `gathered` and is
        multiplied by the number of this worker's images. `outputs` are those of the module after the features.
        """

    def targets(self, views: Tensor, batch: ViewBatch) -> Any:
        """Targets of the loss, computed without gradients before the forward pass; None by default."""

    def end_step(self, batch: ViewBatch, steps: int) -> None:
        """Hook after the optimizer step, for instance to move a target network; `steps` counts the whole run's."""

    def step(self, indices: Indices, epoch: int, step: int, steps_per_epoch: int) -> dict[str, Tensor]:
        """One optimizer step on views of a global batch."""
        start, stop = self.context.share_of(len(indices))
        batch = ViewBatch(indices[start:stop], indices, start, step, steps_per_epoch)
        numbers = generator(self.seed, step, Purpose.VIEWS).random((self.views, len(indices), NUMBERS))
        views = self.inputs(batch.samples, numbers[:, start:stop])
        with torch.no_grad():
            targets = self.targets(views, batch)
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.network, self.context.device):
            features, *outputs = self._model(views)
        sums = self.losses(outputs, targets, batch)
        self.descend(sums["loss"], len(indices))
        self.end_step(batch, self.epochs * steps_per_epoch)
        images = self.by_view(upcast(features.detach())).transpose(0, 1)
        std = feature_std(self.joined(images, start, len(indices)).flatten(0, 1))
        return {**{name: value.detach() for name, value in sums.items()}, "feature_std": std * (stop - start)}

    def inputs(self, samples: Indices, numbers: Numbers) -> Tensor:
        """Views of samples (B,) as the encoder reads them: (V * B, C, y, x), overwritten by the next as many.

        `numbers` (V, B, NUMBERS), uniform in [0, 1), decide the views.
        """
        images = self.split.gather(samples).images
        draws = ViewDraws.of(numbers, (images.shape[-2], images.shape[-1]), self.settings)
        return shade_views(self.task.inputs(cut_views(images, draws)), draws)

    def by_view(self, rows: Tensor) -> Tensor:
        """(V * B, D) -> (V, B, D)."""
        return rows.view(self.views, len(rows) // self.views, rows.shape[1])

    def joined(self, rows: Tensor, start: int, total: int) -> Tensor:
        """Rows (b, ...) of all workers, (total, ...), with gradients to all; this worker's begin at `start`."""
        if self.context.world_size == 1:
            return rows
        before, after = (rows.new_zeros(n, *rows.shape[1:]) for n in (start, total - start - len(rows)))
        joined: Tensor = differentiable.all_reduce(torch.cat([before, rows, after]))  # type: ignore[no-untyped-call]
        return joined

    def gathered(self, rows: Tensor, batch: ViewBatch) -> Tensor:
        """Rows (V * b, D) of this worker's views -> (V, B, D) of all workers', with gradients to all of them."""
        return self.joined(self.by_view(rows).transpose(0, 1), batch.start, len(batch.indices)).transpose(0, 1)

    def on_device(self, array: npt.NDArray[np.generic]) -> Tensor:
        """An array as a tensor on this worker's device."""
        return torch.from_numpy(array).to(self.context.device, non_blocking=True)


def steps_of(setup: Setup) -> int:
    """Steps of a run on its training split."""
    _, batch_size, epochs = setup.run.network.training
    return epochs * math.ceil(len(setup.split) / batch_size)


def mlp_head(inputs: int, hidden: int, outputs: int) -> nn.Module:
    """Projector or predictor (Grill et al. 2020, section 3.3): (B, inputs) -> (B, outputs)."""
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, outputs)
    )


class EncoderWithHead(nn.Module):
    """An encoder and a head on its features: images -> (features, outputs of the head)."""

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, y, x) -> (N, F), (N, D)."""
        features = self.encoder(images)
        return features, self.head(features)


def upcast(tensor: Tensor) -> Tensor:
    """The tensor in at least float32: cosines need more digits than autocast leaves."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def feature_std(features: Tensor) -> Tensor:
    """Standard deviation over images of their features (N, D) at length 1, the mean over dimensions: a scalar.

    About 1 / sqrt(D) where directions are spread evenly, 0 where the encoder has collapsed to one.
    """
    return F.normalize(upcast(features), dim=-1).std(0, correction=0).mean()
