"""Task 2: the microstructure at every voxel (paper, section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from mtneuro_ray.data.augment import augment_pairs
from mtneuro_ray.data.class_labels import IGNORED
from mtneuro_ray.data.resident import Batch, DeviceSplit
from mtneuro_ray.errors import InputError
from mtneuro_ray.models.build import autocast
from mtneuro_ray.rng import Indices
from mtneuro_ray.tasks.training.base import Judged, Task


class SegmentationTask(Task):
    """One class per voxel, in 2D or 3D."""

    def augment(self, batch: Batch, ops: Tensor) -> Batch:
        """The same flips and rotations of images and masks."""
        images, masks = augment_pairs(batch.images, cast(Tensor, batch.masks), ops)
        return Batch(images, masks, batch.labels)

    def counted(self, model: nn.Module, split: DeviceSplit) -> Indices | None:
        """The images with an annotated voxel in the part that is predicted; None where nothing is ignored.

        Raises:
            InputError: no image has one.
        """
        # Every patch is drawn around such a voxel.
        if not self._ignores or self.run.task.sampling.is_patches:
            return None
        model.eval()
        with torch.no_grad(), autocast(self.network, split.device):
            shape = model(self.inputs(split.part(0, 1).images)).shape[2:]
        masks = (cast(Tensor, batch.masks) for _, batch in split.walk())
        counts = torch.cat([(_middle(_flat(each), shape) != IGNORED).flatten(1).any(1) for each in masks])
        found: Indices = np.flatnonzero(counts.cpu().numpy())
        if not len(found):
            raise InputError(
                f"{self.run.task.name}: {', '.join(self.run.task.ignoring)}: no voxel is left in the middle "
                f"{' x '.join(map(str, shape))} pixels of an image, which {self.run.model} predicts; accepted: at "
                "least one that is annotated"
            )
        return found

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        """Loss of each image, (B,)."""
        logits = model(self.inputs(batch.images))
        return self._loss(logits, *self._target(logits, cast(Tensor, batch.masks)))

    def judge(self, model: nn.Module, batch: Batch) -> Judged:
        """Classes (B, [Z,] Y, X)."""
        logits = model(self.inputs(batch.images)).float()
        return self._judged(logits, cast(Tensor, batch.masks), logits.argmax(1))

    def judge_shares(self, shares: Tensor, masks: Tensor) -> Judged:
        """Classes (B, [Z,] Y, X) of blended probabilities (B, K, Z, Y, X)."""
        shares = shares.squeeze(2) if shares.shape[2] == 1 else shares
        logits = shares.clamp_min(torch.finfo(shares.dtype).tiny).log()
        # Not of the logits: unequal numbers may have one logarithm.
        return self._judged(logits, masks, shares.argmax(1))

    def _judged(self, logits: Tensor, masks: Tensor, prediction: Tensor) -> Judged:
        target, mask = self._target(logits, masks)
        truth = target if mask is None else target.masked_fill(~mask, IGNORED)
        return Judged(self._loss(logits, target, mask), prediction, truth, mask)

    def _target(self, logits: Tensor, masks: Tensor) -> tuple[Tensor, Tensor | None]:
        """Classes (B, [Z,] Y, X) as int64, and where they count; None where all do.

        They are cut to the middle where unpadded convolutions shrink the prediction. Ignored voxels have class 0, so
        that a loss can take them for an index.
        """
        target = _middle(_flat(masks), logits.shape[2:])
        classes = self._scratch(target, torch.int64).copy_(target)
        if not self._ignores:
            return classes, None
        mask = target != IGNORED
        return classes.mul_(mask), mask


def _flat(masks: Tensor) -> Tensor:
    """Masks (B, Z, Y, X) without Z where it is 1."""
    return masks.squeeze(1) if masks.shape[1] == 1 else masks


def _middle(masks: Tensor, shape: Sequence[int]) -> Tensor:
    """The middle of masks (B, ...), of this shape along the spatial axes."""
    for axis, size in enumerate(shape, start=1):
        masks = masks.narrow(axis, (masks.shape[axis] - size) // 2, size)
    return masks
