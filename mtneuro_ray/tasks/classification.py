"""Task 1, supervised: the brain region of an image (paper, section 4.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtneuro_ray.augment import augment_images
from mtneuro_ray.metrics import Counts, Metrics, classification_metrics, image_confusions
from mtneuro_ray.tasks.base import Batch, Task


class ClassificationTask(Task):
    """One class per image; evaluation on whole images or on their four corners."""

    default_metric = "accuracy"

    def augment(self, batch: Batch, ops: Tensor) -> Batch:
        """Flips and rotations of the images."""
        return Batch(augment_images(batch.images.unsqueeze(1), ops).squeeze(1), None, batch.labels)

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        """Loss of each image, (B,)."""
        return self._loss(model(self.inputs(batch.images)), batch.labels)

    def evaluate(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Counts]:
        """Loss and confusions of each image; with corners, of its four corners together."""
        crops = _corners(batch.images) if self.network.eval_crops == "corners" else [batch.images]
        logits = torch.stack([model(self.inputs(crop)) for crop in crops], dim=1).float()
        labels = batch.labels.unsqueeze(1).expand(-1, len(crops))
        losses = self._loss(logits.flatten(0, 1), labels.flatten()).view(len(batch), len(crops))
        return losses.mean(1), image_confusions(logits.argmax(2), labels, self.num_classes)

    def metrics(self, confusions: Counts) -> Metrics:
        """Accuracy, balanced accuracy, recall, precision, F1 and the confusion matrix."""
        return classification_metrics(confusions.sum(0))


def _corners(images: Tensor) -> list[Tensor]:
    """The four corners of half the side, each (B, Z, Y / 2, X / 2) (paper, Appendix 3.1.2)."""
    height, width = images.shape[-2] // 2, images.shape[-1] // 2
    return [
        images[..., rows, columns]
        for rows in (slice(None, height), slice(-height, None))
        for columns in (slice(None, width), slice(-width, None))
    ]
