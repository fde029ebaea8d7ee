"""Task 2: the microstructure at every voxel (paper, section 4.2)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from mtneuro_ray.data.augment import augment_pairs
from mtneuro_ray.data.resident import Batch
from mtneuro_ray.tasks.training.base import Judged, Task


class SegmentationTask(Task):
    """One class per voxel, in 2D or 3D."""

    def augment(self, batch: Batch, ops: Tensor) -> Batch:
        """The same flips and rotations of images and masks."""
        images, masks = augment_pairs(batch.images, cast(Tensor, batch.masks), ops)
        return Batch(images, masks, batch.labels)

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        """Loss of each image, (B,)."""
        logits = model(self.inputs(batch.images))
        return self._loss(logits, self._target(logits, batch))

    def judge(self, model: nn.Module, batch: Batch) -> Judged:
        """Classes (B, [Z,] Y, X)."""
        logits = model(self.inputs(batch.images)).float()
        target = self._target(logits, batch)
        return Judged(self._loss(logits, target), logits.argmax(1), target)

    def _target(self, logits: Tensor, batch: Batch) -> Tensor:
        """Classes (B, [Z,] Y, X) as int64, cut to the middle where unpadded convolutions shrink the prediction."""
        masks = cast(Tensor, batch.masks)
        target = masks.squeeze(1) if masks.shape[1] == 1 else masks
        for axis, size in enumerate(logits.shape[2:], start=1):
            target = target.narrow(axis, (target.shape[axis] - size) // 2, size)
        return self._scratch(target, torch.int64).copy_(target)
