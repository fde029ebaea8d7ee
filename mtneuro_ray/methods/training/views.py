"""Views of images: random crops of half the side, turned or shaded on demand (paper, Appendix 3.1.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mtneuro_ray.data.augment import augment_images, cut_crops
from mtneuro_ray.methods.self_supervised import SelfSupervisedSettings

NUMBERS = 7
"""Uniform numbers that decide one view: row, column; whether turned, and how; whether shaded, contrast, brightness."""

_SYMMETRIES = 8


@dataclass(frozen=True, slots=True)
class ViewDraws:
    """Random choices behind V views of each of B images.

    Attributes:
        corners: (V, B, 2) int64, first row and column of the crop.
        symmetries: (V, B) int64 for `augment.augment_images`; None where no view is turned.
        greys: (V, B, 2) float32, the factor on a view's contrast and the shift of its brightness in deviations; None
            where no view is shaded.
    """

    corners: Tensor
    symmetries: Tensor | None
    greys: Tensor | None

    @classmethod
    def of(
        cls, numbers: npt.NDArray[np.float64], shape: tuple[int, int], settings: SelfSupervisedSettings
    ) -> ViewDraws:
        """Choices from uniform numbers in [0, 1), (V, B, NUMBERS), for images of this shape (y, x).

        A transform has its own numbers, used or not: with another one switched on, the crops stay where they are.
        """
        free = np.array([side - side // 2 + 1 for side in shape])
        corners = torch.from_numpy((numbers[..., :2] * free).astype(np.int64))
        turned = numbers[..., 2] < settings.trans_prob
        symmetries = np.where(turned, (numbers[..., 3] * _SYMMETRIES).astype(np.int64), 0)
        shaded = numbers[..., 4:5] < settings.trans_prob
        greys = np.where(shaded, (2 * numbers[..., 5:] - 1) * settings.grey_strength, 0.0).astype(np.float32)
        greys[..., 0] += 1
        return cls(
            corners,
            torch.from_numpy(symmetries) if "flip_rotate" in settings.transform else None,
            torch.from_numpy(greys) if "grey" in settings.transform else None,
        )


def cut_views(images: Tensor, draws: ViewDraws) -> Tensor:
    """The crops, turned: (B, C, [Z,] Y, X) -> (V * B, C, [Z,] Y // 2, X // 2), ordered by view, then by image."""
    views = cut_crops(images, draws.corners)
    if draws.symmetries is None:
        return views
    return augment_images(views, draws.symmetries.flatten().to(images.device, non_blocking=True))


def shade_views(inputs: Tensor, draws: ViewDraws) -> Tensor:
    """Model inputs (V * B, C, y, x) with changed contrast and brightness, alike in all channels of a view."""
    if draws.greys is None or not len(inputs):
        return inputs
    contrast, shift = draws.greys.to(inputs.device, non_blocking=True).view(-1, 2, 1, 1, 1).unbind(1)
    std, mean = torch.std_mean(inputs, dim=(2, 3), keepdim=True, correction=0)
    return torch.addcmul(mean + shift * std, inputs - mean, contrast)
