"""Task 1, supervised: the brain region of an image (paper, section 4.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtneuro_ray.data.augment import augment_images
from mtneuro_ray.metrics.confusion import Counts, Metrics, classification_metrics, image_confusions
from mtneuro_ray.roi import corners, overlapping_crops
from mtneuro_ray.tasks.base import Batch, Task


class ClassificationTask(Task):
    """One class per image; evaluation on whole images, on their four corners, or on crops of an image pooled."""

    default_metric = "accuracy"

    def augment(self, batch: Batch, ops: Tensor) -> Batch:
        """Flips and rotations of the images."""
        return Batch(augment_images(batch.images.unsqueeze(1), ops).squeeze(1), None, batch.labels)

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        """Loss of each image, (B,); of a mixture, that of both labels in their shares (mixup, Zhang et al. 2018)."""
        inputs = self.inputs(batch.images)
        if batch.partner is None:
            return self._loss(model(inputs), batch.labels)
        # A copy: the partner's inputs are written to the same memory.
        mixed = inputs.mul(batch.share).add_(self.inputs(batch.partner.images), alpha=1 - batch.share)
        logits = model(mixed)
        own, other = self._loss(logits, batch.labels), self._loss(logits, batch.partner.labels)
        return own * batch.share + other * (1 - batch.share)

    def crops(self, images: Tensor) -> list[Tensor]:
        """What is shown of each image (B, Z, Y, X), by `eval_crops`: the whole, or crops, each (B, Z, Y / 2, X / 2)."""
        kind, (height, width) = self.network.evaluation.eval_crops, images.shape[-2:]
        if kind == "whole":
            return [images]
        if kind != "dense":
            return [images[..., rows, columns] for rows, columns in corners(height, width)]
        # A quarter turn would give an oblong crop another shape.
        turns = (0, 1, 2, 3) if height == width else (0, 2)
        crops = [images[..., rows, columns] for rows, columns in overlapping_crops(height, width)]
        return [crop.rot90(turn, (-2, -1)) for crop in crops for turn in turns]

    def evaluate(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Counts]:
        """Loss and confusions of each image; with corners that are not pooled, of its four corners together."""
        crops = self.crops(batch.images)
        logits = torch.stack([model(self.inputs(crop)) for crop in crops], dim=1).float()
        if self.network.evaluation.eval_crops in ("pooled", "dense"):
            logits = logits.log_softmax(2).mean(1, keepdim=True)
        labels = batch.labels.unsqueeze(1).expand(-1, logits.shape[1])
        losses = self._loss(logits.flatten(0, 1), labels.flatten()).view(labels.shape)
        return losses.mean(1), image_confusions(logits.argmax(2), labels, self.num_classes)

    def metrics(self, confusions: Counts) -> Metrics:
        """Accuracy, balanced accuracy, recall, precision, F1 and the confusion matrix."""
        return classification_metrics(confusions.sum(0))
