"""A split on a device, as bytes, and the batches that are gathered from it there."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.rng import Indices

# Images, and voxels, of one forward pass outside of training. Larger is no faster; they bound memory.
_IMAGES = 32
_VOXELS = 32 * 256 * 256


@dataclass(frozen=True, slots=True)
class Batch:
    """Images of one step, on the device of the model.

    Attributes:
        images: (B, Z, Y, X) uint8 grey values.
        masks: (B, Z, Y, X) uint8 classes, or None.
        labels: (B,) int64 classes of whole images.
        partner: Images that these are mixed with, one each, or None.
        lambda_: Share of these images in the mixture.
    """

    images: Tensor
    masks: Tensor | None
    labels: Tensor
    partner: Batch | None = None
    lambda_: float = 1.0

    def __len__(self) -> int:
        return len(self.images)


class ResidentSplit:
    """One split on one device, as uint8.

    Args:
        arrays: The split; read-only views of shared memory are fine, nothing is written to them.
        device: Where batches are wanted.
    """

    def __init__(self, arrays: SplitArrays, device: torch.device) -> None:
        self.arrays = arrays
        self._images = _tensor(arrays.images, device)
        self._masks = None if arrays.masks is None else _tensor(arrays.masks, device)
        self._labels = _tensor(arrays.labels, device)
        self._device = device

    def __len__(self) -> int:
        return len(self._images)

    def gather(self, indices: Indices) -> Batch:
        """The images of these indices, copied out of the split."""
        index = torch.from_numpy(indices).to(self._device, non_blocking=True)
        masks = None if self._masks is None else self._masks.index_select(0, index)
        return Batch(self._images.index_select(0, index), masks, self._labels.index_select(0, index))

    def part(self, start: int, stop: int) -> Batch:
        """Adjacent images, as views."""
        masks = None if self._masks is None else self._masks[start:stop]
        return Batch(self._images[start:stop], masks, self._labels[start:stop])

    def parts(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, int]]:
        """Half-open parts of the images `start` to `stop` that pass through a model at once."""
        voxels = self._images[:1].numel()
        yield from parts(start, len(self) if stop is None else stop, voxels)


def parts(start: int, stop: int, voxels: int) -> Iterator[tuple[int, int]]:
    """Half-open parts of images `start` to `stop`, of `voxels` each, that pass through a model at once."""
    at_once = max(1, min(_IMAGES, _VOXELS // max(1, voxels)))
    for first in range(start, stop, at_once):
        yield first, min(first + at_once, stop)


def _tensor(array: npt.NDArray[np.generic], device: torch.device) -> Tensor:
    with warnings.catch_warnings():
        # Arrays from Ray's object store can't be written to; they are only ever read.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array).to(device)
