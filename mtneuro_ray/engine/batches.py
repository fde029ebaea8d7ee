"""Order and residence of the images: the split lies on the device as bytes and batches are gathered there."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.tasks.base import Batch

Indices = npt.NDArray[np.int64]


def epoch_order(count: int, seed: int, epoch: int) -> Indices:
    """The order of `count` images in an epoch. Depends on nothing else, so any worker count trains the same steps."""
    key = np.array([seed, epoch], np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).permutation(count)


def global_batches(order: Indices, batch_size: int) -> list[Indices]:
    """The order cut into batches; the last holds what is left, and a single image that is left joins the one before.

    A batch norm after global pooling has one value of an image, so a batch of one would end the run.
    """
    cuts = list(range(batch_size, len(order), batch_size))
    if cuts and len(order) - cuts[-1] == 1 < batch_size:
        cuts.pop()
    return np.split(order, cuts)


class ResidentSplit:
    """One split on one device, as uint8.

    Args:
        arrays: The split; read-only views of shared memory are fine, nothing is written to them.
        device: Where batches are wanted.
    """

    def __init__(self, arrays: SplitArrays, device: torch.device) -> None:
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


def _tensor(array: npt.NDArray[np.generic], device: torch.device) -> Tensor:
    with warnings.catch_warnings():
        # Arrays from Ray's object store can't be written to; they are only ever read.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array).to(device)
