"""A split as torch tensors of the volume's type: on a device, from which batches are gathered, or as a Dataset."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mtneuro_ray.data.samples import SplitArrays, SplitData
from mtneuro_ray.rng import Indices

# Largest numbers of images and voxels of one forward pass outside of training; more is no faster.
_IMAGES = 32
_VOXELS = 32 * 256 * 256


@dataclass(frozen=True, slots=True)
class Batch:
    """Images of one step, on the device of the model.

    Attributes:
        images: (B, C, Z, Y, X) grey values in the type of the volume; unsigned integers of 16 and 32 bits as signed
            ones of the same bits, which every operation of torch takes. `Task.inputs` reads them as what they are.
        masks: (B, Z, Y, X) uint8 classes, IGNORED (255) where a voxel does not count; or None.
        labels: (B,) int64 classes of whole images.
        partner: Images to mix these with, one each, or None.
        lambda_: Share of these images in the mixture.
    """

    images: Tensor
    masks: Tensor | None
    labels: Tensor
    partner: Batch | None = None
    lambda_: float = 1.0

    def __len__(self) -> int:
        return len(self.images)

    def pick(self, chosen: Callable[[Tensor], Tensor]) -> Batch:
        """The batch of the images that `chosen` takes from each tensor."""
        return Batch(chosen(self.images), None if self.masks is None else chosen(self.masks), chosen(self.labels))


class DeviceSplit(ABC):
    """One split on one device, from which batches are taken: in the device's memory, or streamed to it.

    Attributes:
        data: The split.
        device: Where batches are wanted.
        voxels: Values of an image, those of all channels.
    """

    voxels: int

    def __init__(self, data: SplitData, device: torch.device) -> None:
        self.data, self.device = data, device

    def __len__(self) -> int:
        return len(self.data)

    @abstractmethod
    def gather(self, indices: Indices) -> Batch:
        """A copy of the images of these indices."""

    @abstractmethod
    def part(self, start: int, stop: int) -> Batch:
        """Adjacent images; nothing may be written to them."""

    def announced(self, batches: Iterable[Indices], epoch: int = 0) -> AbstractContextManager[None]:
        """Context in which batches of these indices are gathered in this order, so that they can be read ahead.

        Where images are drawn anew in every epoch (`data.streamed.PatchSplit`), they are those of this one.
        """
        return nullcontext()

    def parts(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, int]]:
        """Half-open parts of the images `start` to `stop`, each small enough for one forward pass."""
        yield from parts(start, len(self) if stop is None else stop, self.voxels)

    def walk(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[slice, Batch]]:
        """The images `start` to `stop`, a part at a time, with the place of each part in the split."""
        with self.announced(np.arange(first, last) for first, last in self.parts(start, stop)):
            for first, last in self.parts(start, stop):
                yield slice(first, last), self.part(first, last)


class ResidentSplit(DeviceSplit):
    """One split in the memory of a device, in the type of the volume.

    Args:
        arrays: The split; read-only views of shared memory are fine, nothing is written to them.
        device: Where batches are wanted.
    """

    def __init__(self, arrays: SplitArrays, device: torch.device) -> None:
        super().__init__(arrays, device)
        masks = None if arrays.masks is None else as_tensor(arrays.masks, device)
        self._whole = Batch(as_tensor(arrays.images, device), masks, as_tensor(arrays.labels, device))
        self.voxels = self._whole.images[:1].numel()

    def gather(self, indices: Indices) -> Batch:
        """A copy of the images of these indices."""
        index = torch.from_numpy(indices).to(self.device, non_blocking=True)
        return self._whole.pick(lambda tensor: tensor.index_select(0, index))

    def part(self, start: int, stop: int) -> Batch:
        """Adjacent images, as views."""
        return self._whole.pick(lambda tensor: tensor[start:stop])


class SplitDataset(Dataset[tuple[Tensor, Tensor]]):
    """One split, in the order of its cubes, then z, y, x.

    An item is the image, float32 (C, [Z,] Y, X), and its target. The range of an integer type becomes 0 to 1 (a byte is
    divided by 255); floats are as they are. The target is the classes of its voxels, int64 ([Z,] Y, X), 255 where a
    voxel does not count, where the task has masks; the attributes of its corners, float32 (4, A), where it has targets;
    the class of the image, an int64 scalar, otherwise. Z is left out where it is 1.

    Attributes:
        arrays: The split as numpy arrays.
    """

    def __init__(self, arrays: SplitArrays) -> None:
        self.arrays = arrays

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        arrays = self.arrays
        own = arrays.images[index]
        image = torch.from_numpy(own.astype(np.float32))
        if own.dtype.kind != "f":
            low, high = float(np.iinfo(own.dtype).min), float(np.iinfo(own.dtype).max)
            image = image.sub_(low).div_(high - low)
        image = image.squeeze(1) if image.shape[1] == 1 else image
        if arrays.masks is not None:
            mask = torch.tensor(arrays.masks[index], dtype=torch.int64)
            return image, mask.squeeze(0) if len(mask) == 1 else mask
        if arrays.targets is not None:
            return image, torch.tensor(arrays.targets[index], dtype=torch.float32)
        return image, torch.tensor(arrays.labels[index], dtype=torch.int64)


def parts(start: int, stop: int, voxels: int) -> Iterator[tuple[int, int]]:
    """Half-open parts of images `start` to `stop`, of `voxels` each, each small enough for one forward pass."""
    at_once = max(1, min(_IMAGES, _VOXELS // max(1, voxels)))
    for first in range(start, stop, at_once):
        yield first, min(first + at_once, stop)


def as_tensor(array: npt.NDArray[np.generic], device: torch.device) -> Tensor:
    """An array as a tensor on a device; on the CPU they share their memory."""
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        array = array.view(f"i{array.dtype.itemsize}")
    with warnings.catch_warnings():
        # Arrays from Ray's object store can't be written to; they are only ever read.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array).to(device)
