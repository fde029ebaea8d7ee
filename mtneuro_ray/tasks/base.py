"""The contract of a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.losses.functional import build_loss, class_weights
from mtneuro_ray.metrics.confusion import Counts, Metrics


@dataclass(frozen=True, slots=True)
class Batch:
    """Images of one step on the device of the model.

    Attributes:
        images: (B, Z, Y, X) uint8 grey values.
        masks: (B, Z, Y, X) uint8 classes, or None.
        labels: (B,) int64 classes of whole images.
        partner: Images that these are mixed with, one each, or None.
        share: Of these in the mixture.
    """

    images: Tensor
    masks: Tensor | None
    labels: Tensor
    partner: Batch | None = None
    share: float = 1.0

    def __len__(self) -> int:
        return len(self.images)


class Task(ABC):
    """Everything about a run that depends on what is learned.

    Attributes:
        default_metric: Validation metric that selects among cells and epochs.
        by_region: Whether each region is measured by itself, too.

    Args:
        run: What is learned.
        class_counts: Voxels, or images, of each class in the training split; they decide the weights of the classes.
    """

    default_metric: str
    by_region: bool = False

    def __init__(self, run: RunSettings, class_counts: Sequence[int] = ()) -> None:
        self.run = run
        self.network = run.network
        self.num_classes = len(run.task.classes)
        self._loss = build_loss(run.network.loss.name, class_weights(run.network.loss.class_weights, class_counts))
        self._scratches: dict[tuple[torch.Size, torch.device, torch.dtype], Tensor] = {}

    def inputs(self, images: Tensor) -> Tensor:
        """What the model reads: (B, Z, Y, X) uint8 -> (B, 1, [Z,] Y, X), scaled by the network's `input_norm`.

        Z is dropped where it is 1. The result is overwritten by the next call for as many images.
        """
        scaled = self._scratch(images, torch.float32).copy_(images).mul_(1 / 255).unsqueeze(1)
        if self.network.data.input_norm == "image" and len(images):
            std, mean = torch.std_mean(scaled.flatten(1), dim=1, correction=0)
            each = (-1, *(1 for _ in scaled.shape[1:]))
            # A flat image has no deviation to scale by: one grey level in 255 bounds the division.
            scaled.sub_(mean.view(each)).div_(std.clamp_min(1 / 255).view(each))
        return scaled.squeeze(2) if images.shape[1] == 1 else scaled

    def _scratch(self, like: Tensor, dtype: torch.dtype) -> Tensor:
        """A tensor of this shape, type and device, the same one each time.

        Fresh memory for every batch would cost more than filling it: the system hands it out page by page.
        """
        key = (like.shape, like.device, dtype)
        if key not in self._scratches:
            self._scratches[key] = torch.empty(like.shape, dtype=dtype, device=like.device)
        return self._scratches[key]

    @abstractmethod
    def augment(self, batch: Batch, ops: Tensor) -> Batch:
        """The batch under one geometric operation per image (`augment.draw_ops`)."""

    @abstractmethod
    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        """Loss of each image in training, (B,)."""

    @abstractmethod
    def evaluate(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Counts]:
        """Loss of each image (B,) and confusions of each image (B, classes, classes), rows the truth."""

    @abstractmethod
    def metrics(self, confusions: Counts) -> Metrics:
        """Metrics of a whole split from the confusions of its images (N, classes, classes)."""
