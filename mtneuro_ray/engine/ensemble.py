"""Mean prediction of several runs and of flipped images, with the runs' disagreement."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.models.build import autocast
from mtneuro_ray.tasks.training.base import Task

# Spatial axes of images (B, C, Z, Y, X).
_AXES = {2: (-2, -1), 3: (-3, -2, -1)}


@dataclass(frozen=True)
class Ensemble:
    """Models of one task and one kind of network.

    Called with images (B, C, Z, Y, X) in the volume's type, it returns the probabilities of the classes (B, K, Z, Y,
    X), those of whole images (B, K, 1, 1, 1), or the features of an encoder; their mean over models and flips. With
    several models the last of K + 1 values is their disagreement: the mean over models of half the absolute difference
    between a model's probabilities and the mean, summed over classes. It is 0 where all agree, and at most 1 - 1 /
    models.
    """

    members: tuple[tuple[RunSettings, Task, nn.Module], ...]
    context: WorkerContext
    flips: bool
    features: bool

    @property
    def device(self) -> torch.device:
        """Device that computes."""
        return self.context.device

    def __call__(self, images: Tensor) -> Tensor:
        """Values (B, V, Z, Y, X) on the ensemble's device."""
        with torch.inference_mode():
            images = images.to(self.device)
            found = [self._shares(*member, images) for member in self.members]
            if len(found) == 1:
                return found[0]
            mean = _mean(found)
            apart = _mean([(own - mean).abs_().sum(1, keepdim=True).div_(2) for own in found])
            return torch.cat([mean, apart], 1)

    def _shares(self, run: RunSettings, task: Task, model: nn.Module, images: Tensor) -> Tensor:
        axes = _AXES[run.network.model.dim]
        flips = [each for n in range(len(axes) + 1) for each in itertools.combinations(axes, n)] if self.flips else [()]
        found = []
        for flip in flips:
            inputs = task.inputs(images.flip(flip) if flip else images)
            with autocast(run.network, self.device):
                values = model.features(inputs) if self.features else model(inputs)  # type: ignore[operator]
            shares = values.float() if self.features else values.float().softmax(1)
            # Z is dropped where it is 1, and whole images have no place.
            axes_of = shares.shape[2:] if shares.ndim == 5 else (1, *(shares.shape[2:] or (1, 1)))
            shares = shares.reshape(*shares.shape[:2], *axes_of)
            found.append(shares.flip(flip) if flip else shares)
        return _mean(found)


def _mean(parts: Sequence[Tensor]) -> Tensor:
    """The mean, summed in their order."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total / len(parts) if len(parts) > 1 else total
