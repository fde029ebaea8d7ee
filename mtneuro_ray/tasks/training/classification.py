"""Task 1: the class of an image, the brain region (paper, section 4.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtneuro_ray.data.augment import augment_images
from mtneuro_ray.data.resident import Batch
from mtneuro_ray.roi import corners, overlapping_crops
from mtneuro_ray.tasks.training.base import Judged, Task


class ClassificationTask(Task):
    """One class per image; evaluation on whole images, on their four corners, or on crops of an image pooled."""

    def augment(self, batch: Batch, ops: Tensor) -> Batch:
        """Flips and rotations of the images."""
        return Batch(augment_images(batch.images, ops), None, batch.labels)

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        """Loss of each image, (B,); of a mixture, that of both labels in their shares (mixup, Zhang et al. 2018)."""
        inputs = self.inputs(batch.images)
        if batch.partner is None:
            return self._loss(model(inputs), batch.labels)
        # A copy: the partner's inputs are written to the same memory.
        mixed = inputs.mul(batch.lambda_).add_(self.inputs(batch.partner.images), alpha=1 - batch.lambda_)
        logits = model(mixed)
        own, other = self._loss(logits, batch.labels), self._loss(logits, batch.partner.labels)
        return own * batch.lambda_ + other * (1 - batch.lambda_)

    def crops(self, images: Tensor) -> list[Tensor]:
        """The whole of images (B, C, Z, Y, X), or crops (B, C, Z, Y / 2, X / 2), as `eval_crops` says."""
        kind, (height, width) = self.network.evaluation.eval_crops, images.shape[-2:]
        if kind == "whole":
            return [images]
        if kind != "dense":
            return [images[..., rows, columns] for rows, columns in corners(height, width)]
        # A quarter turn would give an oblong crop another shape.
        turns = (0, 1, 2, 3) if height == width else (0, 2)
        crops = [images[..., rows, columns] for rows, columns in overlapping_crops(height, width)]
        return [crop.rot90(turn, (-2, -1)) for crop in crops for turn in turns]

    def judge(self, model: nn.Module, batch: Batch) -> Judged:
        """Classes (B, 1), or of four separate corners (B, 4)."""
        crops = self.crops(batch.images)
        logits = torch.stack([model(self.inputs(crop)) for crop in crops], dim=1).float()
        if self.network.evaluation.eval_crops in ("pooled", "dense"):
            logits = logits.log_softmax(2).mean(1, keepdim=True)
        labels = batch.labels.unsqueeze(1).expand(-1, logits.shape[1])
        losses = self._loss(logits.flatten(0, 1), labels.flatten()).view(labels.shape)
        return Judged(losses.mean(1), logits.argmax(2), labels)
