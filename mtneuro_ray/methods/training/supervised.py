"""Training of a whole model on labels or masks."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from mtneuro_ray.data.augment import Mixup, cut_crops, draw_crops, draw_mixup, draw_ops
from mtneuro_ray.data.resident import Batch
from mtneuro_ray.methods.supervised import SupervisedSettings
from mtneuro_ray.methods.training.base import Setup, SteppedMethod, build_optimizer
from mtneuro_ray.models.build import autocast
from mtneuro_ray.models.dropout import DropoutKey, set_dropout_key
from mtneuro_ray.rng import Indices, layer_seed


class Supervised(SteppedMethod):
    """Training on labels or masks, with mixup, augmentation and crops as the settings say."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.settings = cast(SupervisedSettings, self.network.method)
        self.module = self.signal = setup.model
        self.optimizer = build_optimizer(self.schedule, self.module.parameters(), self.context.device)
        # An image without a voxel to learn from is in no batch.
        self._counted = self.task.counted(setup.model, setup.split)
        self.count = self.count if self._counted is None else len(self._counted)
        self._model = self.distributed(self.module)

    def step(self, indices: Indices, epoch: int, step: int, steps_per_epoch: int) -> dict[str, Tensor]:
        """One optimizer step; the loss summed over this worker's samples."""
        context, indices = self.context, self._counting(indices)
        start, stop = context.share_of(len(indices))
        batch = self._batch(indices[start:stop], epoch)
        mixup = self._mixup(indices, step)
        if mixup is not None:
            # The partner may be another worker's image; every worker can take any.
            partner = self._batch(indices[mixup.partners[start:stop]], epoch)
            batch = replace(batch, partner=partner, lambda_=mixup.lambda_)
        set_dropout_key(self.module, DropoutKey(self.seed, step, start, len(indices)))
        # The stochastic depth of library encoders draws from torch's own generator: only its masks depend on the number
        # of workers. A resumed run draws the same ones.
        torch.manual_seed(layer_seed(self.seed, step, -1 - context.rank))
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.network, context.device):
            losses = self.task.losses(self._model, batch)
        total = losses.sum(dtype=torch.float32)
        self.descend(total, len(indices))
        return {"loss": total.detach()}

    def reads(self, indices: Indices, step: int) -> list[Indices]:
        """This worker's samples of a global batch, and those that they are mixed with."""
        indices = self._counting(indices)
        own, mixup = super().reads(indices, step), self._mixup(indices, step)
        start, stop = self.context.share_of(len(indices))
        return own if mixup is None else [*own, indices[mixup.partners[start:stop]]]

    def _counting(self, indices: Indices) -> Indices:
        return indices if self._counted is None else self._counted[indices]

    def _mixup(self, indices: Indices, step: int) -> Mixup | None:
        settings = self.settings
        return draw_mixup(self.seed, step, len(indices), settings.mixup_probability, settings.mixup_alpha)

    def _batch(self, indices: Indices, epoch: int) -> Batch:
        """Samples of the training split, cropped and augmented."""
        batch, data = self.split.gather(indices), self.network.data
        if data.train_crops == "random":
            height, width = batch.images.shape[-2:]
            corners = draw_crops(self.seed, epoch, indices, (height, width))
            batch = replace(batch, images=cut_crops(batch.images, corners.unsqueeze(0)))
        if not data.augmentations:
            return batch
        return self.task.augment(batch, draw_ops(self.seed, epoch, indices).to(self.context.device))
