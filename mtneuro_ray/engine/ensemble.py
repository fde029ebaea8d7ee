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
        return self.values(self.outputs(images))

    @torch.inference_mode()
    def outputs(self, images: Tensor) -> list[list[Tensor]]:
        """What each model makes of each flip of the images."""
        images = images.to(self.device)
        return [
            [self._output(*member, images.flip(flip) if flip else images) for flip in self._flips(member[0])]
            for member in self.members
        ]

    def _output(self, run: RunSettings, task: Task, model: nn.Module, images: Tensor) -> Tensor:
        inputs = task.inputs(images)
        with autocast(run.network, self.device):
            made: Tensor = model.features(inputs) if self.features else model(inputs)  # type: ignore[operator]
        return made

    def _flips(self, run: RunSettings) -> list[tuple[int, ...]]:
        axes = _AXES[run.network.model.dim]
        return [each for n in range(len(axes) + 1) for each in itertools.combinations(axes, n)] if self.flips else [()]

    @torch.inference_mode()
    def values(self, outputs: list[list[Tensor]]) -> Tensor:
        """Values (B, V, Z, Y, X) from what `outputs` returned."""
        found = [
            _mean([self._share(each, flip) for each, flip in zip(own, self._flips(member[0]), strict=True)])
            for member, own in zip(self.members, outputs, strict=True)
        ]
        if len(found) == 1:
            return found[0]
        mean = _mean(found)
        apart = _mean([(own - mean).abs_().sum(1, keepdim=True).div_(2) for own in found])
        return torch.cat([mean, apart], 1)

    def _share(self, output: Tensor, flip: tuple[int, ...]) -> Tensor:
        share = output.float() if self.features else output.float().softmax(1)
        # Z is dropped where it is 1, and whole images have no place.
        axes = share.shape[2:] if share.ndim == 5 else (1, *(share.shape[2:] or (1, 1)))
        share = share.reshape(*share.shape[:2], *axes)
        return share.flip(flip) if flip else share


def _mean(parts: Sequence[Tensor]) -> Tensor:
    """The mean, summed in their order."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total / len(parts) if len(parts) > 1 else total
