"""MYOW and MYOW-m: BYOL with mined views, nearest neighbours among crops of other images (Azabou et al. 2021)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtneuro_ray.errors import InputError
from mtneuro_ray.methods.myow import MyowMergedSettings, MyowSettings
from mtneuro_ray.methods.training.base import Setup
from mtneuro_ray.methods.training.byol import Byol, TargetNetwork
from mtneuro_ray.methods.training.self_supervised import ViewBatch, upcast
from mtneuro_ray.methods.training.views import NUMBERS
from mtneuro_ray.models.build import autocast
from mtneuro_ray.rng import Indices, Purpose, generator


@dataclass(frozen=True, slots=True)
class _Pool:
    """Crops from which the mined views of a step are chosen: their images (P,), int64, and target features (P, F).

    `choices` (V * b,), uniform in [0, 1), decide for this worker's views which of the nearest is taken.
    """

    samples: Tensor
    features: Tensor
    choices: Tensor


class MyowMerged(Byol):
    """Mine your own view, with one projector and predictor for both terms."""

    settings: MyowMergedSettings

    def __init__(self, setup: Setup) -> None:
        if len(setup.split) < 2:
            raise InputError(
                f"{setup.run.task.name}: cubes: {len(setup.split)} training image; accepted: 2 or more to mine views"
            )
        super().__init__(setup)
        self._pool: _Pool

    def step(self, indices: Indices, epoch: int, step: int, steps_per_epoch: int) -> dict[str, Tensor]:
        """One optimizer step, for which a pool is encoded."""
        # The pool comes first: inputs of as many images are written to the same memory.
        self._pool = self._encode_pool(indices, step)
        return super().step(indices, epoch, step, steps_per_epoch)

    def reads(self, indices: Indices, step: int) -> list[Indices]:
        """This worker's share of the pool of a step, then its samples of the global batch."""
        samples = draw_pool(generator(self.seed, step, Purpose.MINING), self.count, indices, self.settings.pool_ratio)
        first, last = self.context.share_of(len(samples))
        return [samples[first:last], *super().reads(indices, step)]

    @torch.no_grad()
    def _encode_pool(self, indices: Indices, step: int) -> _Pool:
        """The pool of a step, of which each worker encodes a share."""
        context, random = self.context, generator(self.seed, step, Purpose.MINING)
        samples = draw_pool(random, self.count, indices, self.settings.pool_ratio)
        numbers, choices = random.random((1, len(samples), NUMBERS)), random.random((self.views, len(indices)))
        first, last = context.share_of(len(samples))
        with autocast(self.network, context.device):
            features = self.target_encoder(self.inputs(samples[first:last], numbers[:, first:last]))
        start, stop = context.share_of(len(indices))
        return _Pool(
            samples=self.on_device(samples),
            features=self.joined(upcast(features), first, len(samples)),
            choices=self.on_device(choices[:, start:stop].ravel()),
        )

    def targets(self, views: Tensor, batch: ViewBatch) -> list[Tensor]:
        """Projections (V * b, D) of the other view of each view's image, and of its mined view."""
        with autocast(self.network, self.context.device):
            features = self.target_encoder(views)
            others = self.other_views(features)
            mined = self.target.projector_2(self.target.projector(self._mined(features, batch)))
        return [others, cast(Tensor, mined)]

    def _mined(self, features: Tensor, batch: ViewBatch) -> Tensor:
        """Features (V * b, F) of the mined view of each view."""
        own, pool = self.on_device(batch.samples).repeat(self.views), self._pool
        rows = choose_neighbours(features, own, pool.features, pool.samples, pool.choices, self.settings.knn_nneighs)
        return pool.features[rows]

    def losses(self, outputs: list[Tensor], targets: list[Tensor], batch: ViewBatch) -> dict[str, Tensor]:
        """Both terms, and their weighted mean."""
        augmented, mined = (self.distance(*pair) for pair in zip(outputs, targets, strict=True))
        weight = mined_weight(self.settings, batch.step, batch.steps_per_epoch)
        return {"loss": (augmented + weight * mined) / (1 + weight), "augmented": augmented, "mined": mined}


class Myow(MyowMerged):
    """Mine your own view, with a second, cascaded projector and predictor for the mined term."""

    settings: MyowSettings

    def build(self, encoder: nn.Module, features: int) -> nn.Module:
        """Online network with two predictors, and target."""
        settings = self.settings
        return TargetNetwork(
            encoder,
            features,
            (settings.projector_hidden_size, settings.projector_output_size),
            (settings.projector_2_hidden_size, settings.projector_2_output_size),
        )


def mined_weight(settings: MyowMergedSettings, step: int, steps_per_epoch: int) -> float:
    """Weight of the mined term against 1 for the augmented one: 0, then a linear rise, then constant."""
    since = step - settings.byol_warmup_epochs * steps_per_epoch
    if since < 0:
        return 0.0
    rise = settings.share_of_epochs(settings.myow_rampup_epochs) * steps_per_epoch
    return settings.myow_base_weight * min(1.0, (since + 1) / rise if rise else 1.0)


def draw_pool(random: np.random.Generator, count: int, batch: Indices, ratio: float) -> Indices:
    """Distinct samples whose crops are searched: `ratio` for each image of the batch, two at least, `count` at most.

    Samples outside the batch come first; samples of the batch fill up the pool where the split has too few others.
    """
    size = min(count, max(2, math.ceil(ratio * len(batch))))
    others = np.ones(count, np.bool_)
    others[batch] = False
    outside = np.flatnonzero(others)
    pool = random.choice(outside, min(size, len(outside)), replace=False)
    return np.concatenate([pool, random.choice(batch, size - len(pool), replace=False)])


def choose_neighbours(
    queries: Tensor, query_samples: Tensor, pool: Tensor, pool_samples: Tensor, choices: Tensor, neighbours: int
) -> Tensor:
    """Row of the pool (Q,) that is each query's mined view: one of the nearest by cosine, never of its own sample.

    `queries` (Q, D) and `pool` (P, D), P > 1, represent crops of the samples (Q,) and (P,), int64; the pool
    holds no sample twice. `choices` (Q,), uniform in [0, 1), decide which of the `neighbours` nearest is taken.
    """
    # Autocast would round the cosines, and with them the order of near ones.
    with torch.autocast(queries.device.type, enabled=False):
        cosines = F.normalize(upcast(queries), dim=1) @ F.normalize(upcast(pool), dim=1).T
    own = query_samples.unsqueeze(1) == pool_samples
    nearest = cosines.masked_fill(own, -torch.inf).topk(min(neighbours, len(pool) - 1), dim=1).indices
    chosen = (choices * nearest.shape[1]).long().unsqueeze(1)
    return nearest.gather(1, chosen).squeeze(1)
