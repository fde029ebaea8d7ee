"""Grey values around a block of a whole volume, reflected where they leave it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mtneuro_ray.data.samples import area_average
from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Range, Roi, Shape
from mtneuro_ray.volumes.source import VolumeSource

Pixels = npt.NDArray[np.generic]


@dataclass(frozen=True)
class VolumeInput:
    """The channels of a volume as a network sees them.

    Attributes:
        channels: Volumes of one shape.
        factor: Area-averaging factor along y and x; a pixel is `factor` x `factor` voxels of a slice.
    """

    channels: tuple[VolumeSource, ...]
    factor: int = 1

    def __post_init__(self) -> None:
        first = self.channels[0]
        for other in self.channels[1:]:
            if other.shape != first.shape or other.dtype != first.dtype:
                theirs, own = (f"{each.dtype} {' x '.join(map(str, each.shape))}" for each in (other, first))
                raise InputError(f"{other.uri}: is {theirs}, {first.uri} is {own}; accepted: channels that are alike")

    @property
    def shape(self) -> Shape:
        """Pixels along z, y, x; voxels at the end that fill no pixel are left out."""
        depth, height, width = self.channels[0].shape
        return depth, height // self.factor, width // self.factor

    def read(self, start: Sequence[int], shape: Sequence[int]) -> Pixels:
        """A box of pixels, (C, Z, Y, X); beyond the volume its mirror image, without the outermost pixel twice.

        Raises:
            SourceError: a channel can't be read.
        """
        return mirrored(self._read, start, shape, self.shape)

    def _read(self, pixels: Roi) -> Pixels:
        box = Roi(pixels.z, self._voxels(pixels.y), self._voxels(pixels.x))
        return np.stack([area_average(channel.read(box), self.factor) for channel in self.channels])

    def _voxels(self, pixels: Range) -> Range:
        return pixels[0] * self.factor, pixels[1] * self.factor


def mirrored(read: Callable[[Roi], Pixels], start: Sequence[int], shape: Sequence[int], sides: Shape) -> Pixels:
    """A box of pixels (C, Z, Y, X) of an array of `sides`, by `read` of a box inside; beyond it, its mirror image."""
    places = [_mirrored(low, size, side) for low, size, side in zip(start, shape, sides, strict=True)]
    ranges = [(int(place.min()), int(place.max()) + 1) for place in places]
    found = read(Roi(*ranges))
    inner = [place - first for place, (first, _) in zip(places, ranges, strict=True)]
    if all((np.diff(place) == 1).all() for place in inner):
        return found
    return np.ascontiguousarray(found[np.ix_(np.arange(len(found)), *inner)])


def _mirrored(start: int, size: int, side: int) -> npt.NDArray[np.int64]:
    """Places of `size` pixels from `start` on, in an axis of `side` pixels that is mirrored at its ends."""
    if side == 1:
        return np.zeros(size, np.int64)
    period = 2 * (side - 1)
    place = np.arange(start, start + size) % period
    return np.where(place < side, place, period - place)
