"""Flips and rotations of image and mask together, crops of images, and mixup.

Written by hand because the transforms of torchvision, MONAI or albumentations draw from running generators. Here the
symmetry and the crop of a sample are functions of (seed, epoch, sample), and mixup of (seed, step), so they are equal
to the bit for any number of workers, any batching and after any restart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mtneuro_ray.rng import Indices, Purpose, generator, sample_words

FLIP_Y, FLIP_X, TRANSPOSE, FLIP_Z = 1, 2, 4, 8
"""Bits of an operation. The first three give the 8 symmetries of the square: transpose first, then flip."""

OPS = 16
"""Operations of a volume; the first 8 leave z alone."""


def draw_ops(seed: int, epoch: int, samples: Sequence[int] | Indices) -> Tensor:
    """A symmetry (bits FLIP_Y, FLIP_X, TRANSPOSE, FLIP_Z) for each sample, uniform in [0, 16).

    Args:
        seed: Seed of the run.
        epoch: Epoch, from 0.
        samples: (B,) indices of the samples within the split.

    Returns:
        (B,) int64 on the CPU.
    """
    return torch.from_numpy((sample_words(seed, epoch, samples)[0] % np.uint64(OPS)).astype(np.int64))


def draw_crops(seed: int, epoch: int, samples: Sequence[int] | Indices, shape: tuple[int, int]) -> Tensor:
    """First row and column of a crop of half the side of each sample, uniform over those that fit.

    Args:
        seed: Seed of the run.
        epoch: Epoch, from 0.
        samples: (B,) indices of the samples within the split.
        shape: Pixels of a sample along y and x.

    Returns:
        (B, 2) int64 on the CPU.
    """
    # The first word decides the symmetry.
    words = sample_words(seed, epoch, samples, 3)[1:]
    corners = [word % np.uint64(side - side // 2 + 1) for word, side in zip(words, shape, strict=True)]
    return torch.from_numpy(np.stack(corners, axis=-1).astype(np.int64))


def cut_crops(images: Tensor, corners: Tensor) -> Tensor:
    """Crops of half the side, V of each image: (V * B, C, [Z,] Y // 2, X // 2), ordered by view, then by image.

    Args:
        images: (B, C, [Z,] Y, X), any dtype and device.
        corners: (V, B, 2) int64, first row and column of each crop, the same in all channels and slices.
    """
    count, *planes, height, width = images.shape
    rows, columns = corners.to(images.device, non_blocking=True)[..., None, None, None, :].unbind(-1)
    rows = rows + torch.arange(height // 2, device=images.device).unsqueeze(1)
    columns = columns + torch.arange(width // 2, device=images.device)
    each = math.prod(planes)
    own = torch.arange(count * each, device=images.device).view(count, each, 1, 1)
    cut = images.reshape(-1, height, width)[own, rows, columns]
    return cut.view(-1, *planes, height // 2, width // 2)


def augment_pairs(image: Tensor, mask: Tensor, ops: Tensor) -> tuple[Tensor, Tensor]:
    """Image and mask with the operation of each sample applied to both; values are moved, never changed.

    Tiles that are not square in y,x are flipped, but not transposed.

    Args:
        image: (B, C, Y, X) or (B, C, Z, Y, X), any dtype and device.
        mask: (B, Y, X) or (B, Z, Y, X).
        ops: (B,) operations of `draw_ops`; FLIP_Z does nothing in 2D.

    Raises:
        ValueError: the spatial axes of image and mask differ.
    """
    if image.shape[2:] != mask.shape[1:] or not len(image) == len(mask) == len(ops):
        raise ValueError(
            f"image {tuple(image.shape)}, mask {tuple(mask.shape)} and {len(ops)} operations do not fit together"
        )
    return augment_images(image, ops), augment_images(mask.unsqueeze(1), ops).squeeze(1)


def augment_images(image: Tensor, ops: Tensor) -> Tensor:
    """Images (B, C, [Z,] Y, X) with the operation of each sample applied."""
    ops = ops.to(image.device).view(-1, *(1 for _ in image.shape[1:]))
    if image.shape[-1] == image.shape[-2]:
        image = torch.where((ops & TRANSPOSE) != 0, image.transpose(-1, -2), image)
    image = torch.where((ops & FLIP_Y) != 0, image.flip(-2), image)
    image = torch.where((ops & FLIP_X) != 0, image.flip(-1), image)
    if image.dim() == 5 and image.shape[-3] > 1:
        image = torch.where((ops & FLIP_Z) != 0, image.flip(-3), image)
    return image


@dataclass(frozen=True, slots=True)
class Mixup:
    """Mixture of a batch: image i becomes `lambda_` of itself and `1 - lambda_` of its partner; so does its label.

    Attributes:
        lambda_: In [0, 1].
        partners: (B,) position of each image's partner within the batch.
    """

    lambda_: float
    partners: Indices


def draw_mixup(seed: int, step: int, count: int, probability: float, alpha: float) -> Mixup | None:
    """Partners and share of mixup for the batch of a step; None for an unmixed batch (Zhang et al. 2018, section 2).

    Args:
        seed: Seed of the run.
        step: Number of optimizer steps before this one.
        count: Number of images in the batch.
        probability: Probability that the batch is mixed at all (MTNeuro paper, Appendix 3.2.4).
        alpha: Parameter of Beta(alpha, alpha), the distribution of `lambda_`.
    """
    if not probability:
        return None
    random = generator(seed, step, Purpose.MIXUP)
    if random.random() >= probability:
        return None
    return Mixup(float(random.beta(alpha, alpha)), random.permutation(count))
