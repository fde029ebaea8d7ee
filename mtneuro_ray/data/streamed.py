"""A stored split on a device: batches that were announced come from a reader ahead of the training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from itertools import tee
from typing import Any

import numpy as np
import torch

from mtneuro_ray.data.ahead import Stored, Voxels
from mtneuro_ray.data.cubes import Cubes
from mtneuro_ray.data.normalization import STATISTICS_IMAGES, STATISTICS_VOXELS, evenly, sampled
from mtneuro_ray.data.patches import PatchPlan
from mtneuro_ray.data.resident import Batch, DeviceSplit, ResidentSplit, as_tensor
from mtneuro_ray.data.samples import Images, SplitArrays, SplitData
from mtneuro_ray.data.stored import StoredSplit
from mtneuro_ray.data.stored_cubes import StoredCubes, StoredPatches
from mtneuro_ray.errors import InputError
from mtneuro_ray.rng import Indices

# Images that are read at once for statistics.
_AT_ONCE = 16


def on_device(data: SplitData, device: torch.device, seed: int = 0) -> DeviceSplit:
    """A split on a device, copied there, or read from the store where that is where its voxels are.

    `seed` decides where patches lie.
    """
    if isinstance(data, Cubes):
        return PatchSplit(data, device, seed)
    if isinstance(data, StoredSplit):
        return StreamedSplit(data, device)
    assert isinstance(data, SplitArrays)
    return ResidentSplit(data, device)


def statistics_images(data: SplitData) -> Sequence[Images]:
    """The images of a training split that the statistics of its scaling come from; see `normalization.Scaling.of`."""
    return sampled(data.images) if isinstance(data, SplitArrays) else _Sampled(data)


class _Sampled(Sequence[Images]):
    """The same images of a split that is not in memory: (C, V), only those voxels that statistics look at.

    The first is read by itself, for its type; the others when they are asked for, a few at a time.
    """

    def __init__(self, data: SplitData) -> None:
        self._data, self._numbers = data, np.array(evenly(len(data), STATISTICS_IMAGES), np.int64)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, number: Any) -> Any:
        return self._first if number == 0 else self._all[number]

    @cached_property
    def _first(self) -> Images:
        return self._thinned(self._numbers[:1])[0]

    @cached_property
    def _all(self) -> list[Images]:
        parts = [self._numbers[start : start + _AT_ONCE] for start in range(0, len(self), _AT_ONCE)]
        return [image for part in parts for image in self._thinned(part)]

    def _thinned(self, numbers: Indices) -> list[Images]:
        flat = [image.reshape(len(image), -1) for image in self._data.read(numbers)[0]]
        return [image[:, evenly(image.shape[1], STATISTICS_VOXELS)] for image in flat]


class _Ahead:
    """Voxels of samples in the store: those of announced batches are read ahead, others when they are asked for."""

    def __init__(self, stored: Stored) -> None:
        self._stored = stored
        self._expected: Iterator[Indices] = iter(())
        self._voxels: Iterator[Voxels] = iter(())
        self._next: Indices | None = None

    @contextmanager
    def announced(self, batches: Iterable[Indices]) -> Iterator[None]:
        """Read these batches ahead, while they are taken by `read` in their order."""
        before = self._expected, self._voxels, self._next
        self._expected, theirs = tee(batch for batch in batches if len(batch))
        voxels = self._stored.reader(self._stored, theirs)
        self._voxels, self._next = voxels, next(self._expected, None)
        try:
            yield
        finally:
            self._expected, self._voxels, self._next = before
            close = getattr(voxels, "close", None)
            if close is not None:
                close()

    def read(self, indices: Indices) -> Voxels:
        """Images and masks of samples."""
        if self._next is None or not np.array_equal(indices, self._next):
            return self._stored.read(indices)
        found = next(self._voxels)
        self._next = next(self._expected, None)
        return found


class StreamedSplit(DeviceSplit):
    """One split in the cutout store, from which batches are read as they are asked for.

    Batches that were announced are read ahead. Any others are read when they are asked for, which takes longer and
    gives the same.
    """

    def __init__(self, data: StoredSplit, device: torch.device) -> None:
        super().__init__(data, device)
        self._ahead, self.voxels = _Ahead(data), data.num_voxels

    def announced(self, batches: Iterable[Indices], epoch: int = 0) -> AbstractContextManager[None]:
        """Read these batches ahead, while they are taken by `gather` in their order."""
        return self._ahead.announced(batches)

    def gather(self, indices: Indices) -> Batch:
        """The images of these indices."""
        images, masks = self._ahead.read(indices)
        labels = as_tensor(self.data.labels[indices], self.device)
        return Batch(as_tensor(images, self.device), None if masks is None else as_tensor(masks, self.device), labels)

    def part(self, start: int, stop: int) -> Batch:
        """Adjacent images."""
        return self.gather(np.arange(start, stop))


class PatchSplit(DeviceSplit):
    """Patches of cubes, drawn anew in every epoch. They are gathered in a context of `announced`, which names it.

    Args:
        data: The cubes.
        device: Where batches are wanted.
        seed: Seed of the run.
    """

    def __init__(self, data: Cubes, device: torch.device, seed: int) -> None:
        super().__init__(data, device)
        self._cubes, self._seed = data, seed
        self._epoch: int | None = None

    def __len__(self) -> int:
        return self._plan.count

    @cached_property
    def _plan(self) -> PatchPlan:
        return PatchPlan(self._cubes, self._seed)

    @cached_property
    def _ahead(self) -> _Ahead | None:
        return _Ahead(StoredPatches(self._cubes, self._plan)) if isinstance(self._cubes, StoredCubes) else None

    @contextmanager
    def announced(self, batches: Iterable[Indices], epoch: int = 0) -> Iterator[None]:
        """Take the patches of this epoch; those in the store are read ahead."""
        before, self._epoch = self._epoch, epoch
        try:
            with self._ahead.announced(self._numbers(own) for own in batches) if self._ahead else nullcontext():
                yield
        finally:
            self._epoch = before

    def _numbers(self, indices: Indices) -> Indices:
        if self._epoch is None:
            raise InputError("sampling: patches are drawn in an epoch of `SteppedMethod`; accepted: tiles")
        return indices + self._epoch * len(self)

    def gather(self, indices: Indices) -> Batch:
        """The patches of these indices in the epoch."""
        # The arrays of no patch have the shape and type of one.
        numbers = self._numbers(indices if len(indices) else np.zeros(1, np.int64))
        read = self._ahead.read(numbers) if self._ahead else self._cubes.voxels(self._plan.places(numbers))
        images, masks = (as_tensor(each, self.device) for each in read if each is not None)
        labels = torch.zeros(len(numbers), dtype=torch.int64, device=self.device)
        return Batch(images, masks, labels).pick(lambda tensor: tensor[: len(indices)])

    def part(self, start: int, stop: int) -> Batch:
        """There are no fixed images to take a part of."""
        raise InputError("sampling: the method reads the training images in their order; accepted: tiles")
