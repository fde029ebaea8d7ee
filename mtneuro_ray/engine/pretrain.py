"""Training of an encoder without labels: BYOL, MYOW and MYOW-m."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor, nn

from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.engine.batches import Indices, ResidentSplit
from mtneuro_ray.engine.checkpoint import History
from mtneuro_ray.engine.context import WorkerContext
from mtneuro_ray.engine.evaluation import autocast, placed
from mtneuro_ray.engine.fitting import Fit
from mtneuro_ray.engine.optimizer import learning_rate
from mtneuro_ray.errors import InputError
from mtneuro_ray.methods.declared import ByolSettings, MyowMergedSettings
from mtneuro_ray.methods.draws import Purpose, generator
from mtneuro_ray.methods.loss import feature_std, prediction_loss, widened
from mtneuro_ray.methods.mining import choose_neighbours, draw_pool
from mtneuro_ray.methods.network import SslNetwork
from mtneuro_ray.methods.schedule import mined_weight, scaled_rate, target_momentum
from mtneuro_ray.methods.views import NUMBERS, ViewDraws, cut_views, shade_views
from mtneuro_ray.models.nets.resnet import EncoderClassifier
from mtneuro_ray.tasks.base import Task

_VIEWS = 2

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Pool:
    """Crops that views of a step are mined from.

    Attributes:
        samples: (P,) int64, of which images.
        features: (P, F), of the target's encoder.
        choices: (V * B,) uniform in [0, 1) for this worker's views: which of the nearest.
    """

    samples: Tensor
    features: Tensor
    choices: Tensor


@dataclass(frozen=True, slots=True)
class Pretrained:
    """What the training of an encoder tells.

    Attributes:
        history: One entry per epoch.
        timings: Seconds and rates of this process.
    """

    history: History
    timings: dict[str, float]


def pretrain(
    run: RunSettings, split: ResidentSplit, task: Task, context: WorkerContext, classifier: EncoderClassifier
) -> Pretrained:
    """Train the encoder of `classifier` in place, or what is left of it. Call on every worker of the run.

    Raises:
        InputError: there is no other image to mine views from.
        TrainingError: the loss is no longer a number.
    """
    fit = SslFit(run, split, task, context, classifier)
    progress = fit.resume()
    fit.run(progress)
    return Pretrained(progress.history, fit.timings)


class SslFit(Fit):
    """The training of an encoder by the `method` settings of a run's network.

    The history tells the loss, its augmented and its mined term, and the deviation of the features between images,
    which falls from about 1 / sqrt(512) to 0 where the encoder collapses.

    Args:
        run: What is trained.
        split: The training images; every worker holds all of them.
        task: Makes inputs of images.
        context: Where this worker runs.
        classifier: Holds the encoder, on the device.
    """

    def __init__(
        self, run: RunSettings, split: ResidentSplit, task: Task, context: WorkerContext, classifier: EncoderClassifier
    ) -> None:
        settings, ssl = run.network, cast(ByolSettings, run.network.method)
        self.context = context
        self.epochs, self.batch_size, self.seed = ssl.epochs, settings.training.batch_size, settings.seed
        self.count = len(split)
        self._mining = ssl if isinstance(ssl, MyowMergedSettings) else None
        if self._mining is not None and self.count < 2:
            raise InputError(f"{run.task.name}: cubes: {self.count} training image; accepted: 2 or more to mine views")
        self._settings, self._ssl, self._split, self._task = settings, ssl, split, task
        self._schedule = _schedule(settings, ssl)
        torch.manual_seed(int(generator(self.seed, 0, Purpose.HEADS).integers(2**63)))
        self._network = SslNetwork(classifier.encoder, classifier.head.in_features, ssl)
        self.module = placed(self._network, settings, context.device).train()
        self.optimizer = _build_optimizer(self._network, self._schedule, context.device)
        # This exchanges the batch norms in place, the target's too.
        model, target = context.distribute(self.module), self._network.target.encoder
        self._model: nn.Module = torch.compile(model) if settings.compute.compile else model  # type: ignore[assignment]
        self._target: nn.Module = torch.compile(target) if settings.compute.compile else target  # type: ignore[assignment]

    def rate(self, step: int, steps_per_epoch: int) -> float:
        """A linear rise, then half a cosine to 0."""
        return learning_rate(self._schedule, step, steps_per_epoch)

    def step(self, indices: Indices, epoch: int, step: int, steps_per_epoch: int) -> dict[str, Tensor]:
        """One optimizer step on a global batch, then one of the target."""
        context = self.context
        start, stop = context.share_of(len(indices))
        # The pool comes first: inputs of as many images are written to the same memory.
        pool = self._pool(indices, step, self._mining) if self._mining is not None else None
        numbers = generator(self.seed, step, Purpose.VIEWS).random((_VIEWS, len(indices), NUMBERS))
        views = self._inputs(indices[start:stop], numbers[:, start:stop])
        targets = self._targets(views, indices[start:stop], pool)
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self._settings, context.device):
            features, *predictions = self._model(views)
        sums = _sums(
            predictions, targets, 0.0 if self._mining is None else mined_weight(self._mining, step, steps_per_epoch)
        )
        # DistributedDataParallel averages over workers; the mean wanted is over the images of the global batch.
        (sums["loss"] * (context.world_size / len(indices))).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self._network.move_target(target_momentum(self._ssl, step, self.epochs * steps_per_epoch))
        images = _by_view(widened(features.detach())).transpose(0, 1)
        std = feature_std(self._joined(images, start, len(indices)).flatten(0, 1))
        return {**{name: value.detach() for name, value in sums.items()}, "feature_std": std * (stop - start)}

    def _inputs(self, samples: Indices, numbers: Numbers) -> Tensor:
        """Views of samples, as the encoder reads them: (V * B, 1, y, x)."""
        images = self._split.gather(samples).images
        draws = ViewDraws.of(numbers, (images.shape[-2], images.shape[-1]), self._ssl)
        return shade_views(self._task.inputs(cut_views(images, draws)), draws)

    @torch.no_grad()
    def _pool(self, indices: Indices, step: int, mining: MyowMergedSettings) -> _Pool:
        """The pool of a step, of which each worker encodes a share."""
        context, random = self.context, generator(self.seed, step, Purpose.MINING)
        samples = draw_pool(random, self.count, indices, mining.pool_ratio)
        numbers, choices = random.random((1, len(samples), NUMBERS)), random.random((_VIEWS, len(indices)))
        first, last = context.share_of(len(samples))
        with autocast(self._settings, context.device):
            features = self._target(self._inputs(samples[first:last], numbers[:, first:last]))
        start, stop = context.share_of(len(indices))
        return _Pool(
            samples=self._on_device(samples),
            features=self._joined(widened(features), first, len(samples)),
            choices=self._on_device(choices[:, start:stop].ravel()),
        )

    @torch.no_grad()
    def _targets(self, views: Tensor, samples: Indices, pool: _Pool | None) -> list[Tensor]:
        """What is to be predicted of each view, 1 or 2 (V * B, D): the other view of its image, and its mined view."""
        target = self._network.target
        with autocast(self._settings, self.context.device):
            features = self._target(views)
            others = _by_view(target.projector(features)).flip(0).flatten(0, 1)
            if pool is None:
                return [others]
            return [others, target.projector_2(target.projector(self._mined(features, samples, pool)))]

    def _mined(self, features: Tensor, samples: Indices, pool: _Pool) -> Tensor:
        """The features of the mined view of each view, (V * B, F)."""
        own = self._on_device(samples).repeat(_VIEWS)
        rows = choose_neighbours(
            features,
            own,
            pool.features,
            pool.samples,
            pool.choices,
            self._mining.knn_nneighs if self._mining is not None else 1,
        )
        return pool.features[rows]

    def _joined(self, rows: Tensor, start: int, total: int) -> Tensor:
        """The rows of all workers, `total` in all, of which this one's begin at `start`."""
        if self.context.world_size == 1:
            return rows
        joined = rows.new_zeros(total, *rows.shape[1:])
        joined[start : start + len(rows)] = rows
        dist.all_reduce(joined)
        return joined

    def _on_device(self, array: npt.NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(self.context.device, non_blocking=True)


def _schedule(settings: NetworkSettings, ssl: ByolSettings) -> NetworkSettings:
    """The settings that `engine.optimizer` reads a learning rate from."""
    return settings.replace(
        f"{settings.name}: ssl",
        **{
            "optimizer.learning_rate": scaled_rate(ssl, settings.training.batch_size),
            "optimizer.lr_schedule": "cosine",
            "optimizer.warmup_epochs": ssl.lr_warmup_epochs,
            "optimizer.epochs": ssl.epochs,
        },
    )


def _build_optimizer(network: SslNetwork, settings: NetworkSettings, device: torch.device) -> torch.optim.Optimizer:
    """SGD whose weight decay spares biases and batch norms (Grill et al. 2020, section 3.3)."""
    learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in learned if parameter.dim() > 1]},
        {"params": [parameter for parameter in learned if parameter.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(
        groups,
        lr=settings.optimizer.learning_rate,
        momentum=settings.optimizer.momentum,
        weight_decay=settings.optimizer.weight_decay,
        fused=device.type == "cuda",
    )


def _by_view(rows: Tensor) -> Tensor:
    """(V * B, D) -> (V, B, D)."""
    return rows.view(_VIEWS, len(rows) // _VIEWS, rows.shape[1])


def _sums(predictions: Sequence[Tensor], targets: Sequence[Tensor], weight: float) -> dict[str, Tensor]:
    """The loss of a worker's images, summed, and its terms; the augmented one is all of it where nothing is mined."""
    augmented, *mined = (
        prediction_loss(_by_view(own), _by_view(target)).sum()
        for own, target in zip(predictions, targets, strict=False)
    )
    if not mined:
        return {"loss": augmented, "augmented": augmented}
    return {"loss": (augmented + weight * mined[0]) / (1 + weight), "augmented": augmented, "mined": mined[0]}
