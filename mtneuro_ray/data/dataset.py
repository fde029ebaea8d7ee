"""A split as a plain torch Dataset, for training loops of one's own."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import Dataset

from mtneuro_ray.data.samples import SplitArrays


class SplitDataset(Dataset[tuple[Tensor, Tensor]]):
    """One split, in the order of its cubes, then z, y, x.

    An item is the image, float32 (1, [Z,] Y, X), grey values as fractions of the data type's maximum, and its target:
    the classes of its voxels, int64 ([Z,] Y, X), where the task has masks; the attributes of its corners, float32
    (4, A), where it has targets; the class of the image, an int64 scalar, otherwise. Z is left out where it is 1.

    Attributes:
        arrays: The split as numpy arrays.
    """

    def __init__(self, arrays: SplitArrays) -> None:
        self.arrays = arrays

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        arrays = self.arrays
        image = torch.tensor(arrays.images[index], dtype=torch.float32).div_(255)
        image = image if len(image) == 1 else image.unsqueeze(0)
        if arrays.masks is not None:
            mask = torch.tensor(arrays.masks[index], dtype=torch.int64)
            return image, mask.squeeze(0) if len(mask) == 1 else mask
        if arrays.targets is not None:
            return image, torch.tensor(arrays.targets[index], dtype=torch.float32)
        return image, torch.tensor(arrays.labels[index], dtype=torch.int64)
