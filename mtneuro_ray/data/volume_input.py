"""Grey values around a block of a whole volume, reflected where they leave it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.data.samples import area_average
from mtneuro_ray.data.voxel_size import before_resampling_um
from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Range, Roi
from mtneuro_ray.volumes.resampled import resampled
from mtneuro_ray.volumes.source import VolumeSource

logger = logging.getLogger(__name__)

Pixels = npt.NDArray[np.generic]
# Share of a pixel below which an edge of a box is an edge of a pixel.
_SAME = 1e-6


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
    def bounds(self) -> tuple[Range, Range, Range]:
        """Ranges of the volume's pixels along z, y, x; voxels at the ends that fill no pixel are left out."""
        z, *plane = self.channels[0].domain.ranges
        y, x = ((-(-low // self.factor), high // self.factor) for low, high in plane)
        return z, y, x

    def read(self, start: Sequence[int], shape: Sequence[int]) -> Pixels:
        """A box of pixels, (C, Z, Y, X); beyond the volume its mirror image, without the outermost pixel twice.

        Raises:
            SourceError: a channel can't be read.
        """
        return mirrored(self._read, start, shape, self.bounds)

    def _read(self, pixels: Roi) -> Pixels:
        box = Roi(pixels.z, self._voxels(pixels.y), self._voxels(pixels.x))
        return np.stack([area_average(channel.read(box), self.factor) for channel in self.channels])

    def _voxels(self, pixels: Range) -> Range:
        return pixels[0] * self.factor, pixels[1] * self.factor


def mirrored(
    read: Callable[[Roi], Pixels], start: Sequence[int], shape: Sequence[int], bounds: Sequence[Range]
) -> Pixels:
    """A box of pixels (C, Z, Y, X) of an array within `bounds`, by `read` of a box inside; beyond, its mirror image."""
    places = [
        first + _mirrored(low - first, size, last - first)
        for low, size, (first, last) in zip(start, shape, bounds, strict=True)
    ]
    ranges = [(int(place.min()), int(place.max()) + 1) for place in places]
    found = read(Roi(*ranges))
    inner = [place - first for place, (first, _) in zip(places, ranges, strict=True)]
    if all((np.diff(place) == 1).all() for place in inner):
        return found
    return np.ascontiguousarray(found[np.ix_(np.arange(len(found)), *inner)])


def at_voxel_size(channels: Sequence[VolumeSource], task: TaskSettings) -> list[VolumeSource]:
    """Channels of an image at the voxel size that a task resamples to; as they are where it does not.

    Raises:
        InputError: neither the volume nor the task says the volume's own voxel size.
    """
    target, assumed = task.target_voxel_size_um, before_resampling_um(task)
    if target is None:
        return list(channels)
    found = []
    for channel in channels:
        source = copy(channel)
        # The place of the resampled voxels is known relative to the volume.
        source.origin_um = channel.origin_um or (0.0, 0.0, 0.0)
        if source.voxel_size_um is None and assumed is not None:
            source.voxel_size_um = assumed
            logger.warning("%s: says no voxel size; that of the task, %s um, is assumed", channel.uri, assumed)
        at_target = resampled(source, target, nearest=False)
        found.append(channel if at_target is source else at_target)
    return found


def pixels_of(box: Roi | None, image: VolumeInput, given: VolumeSource) -> Roi:
    """A box of voxels of a volume as pixels of its image; of one that is resampled the smallest box that covers it.

    Raises:
        InputError: it leaves the volume, or cuts pixels.
    """
    source, factor = image.channels[0], image.factor
    if box is None:
        z, y, x = image.bounds
        if min(y[1] - y[0], x[1] - x[0]) < 1:
            raise InputError(f"{source.uri}: is smaller than {factor} voxels, one pixel of the run; accepted: a larger")
        return Roi(z, y, x)
    if box.intersection(given.domain) != box:
        raise InputError(f"--box: {_text(box)} leaves {given.uri}; accepted: within {_text(given.domain)}")
    if source is not given:
        box = _covering(box, given, image)
    if any(edge % factor for edges in box.ranges[1:] for edge in edges):
        raise InputError(f"--box: {_text(box)} cuts the run's pixels; accepted: multiples of {factor} along y and x")
    y, x = ((low // factor, high // factor) for low, high in box.ranges[1:])
    return Roi(box.z, y, x)


def _text(box: Roi) -> str:
    return ",".join(f"{low}:{high}" for low, high in box.ranges)


def _covering(box: Roi, given: VolumeSource, image: VolumeInput) -> Roi:
    """The smallest box of whole pixels of a resampled image, in its voxels, that covers a box of the volume's own."""
    source, ranges = image.channels[0], []
    assert source.voxel_size_um is not None
    sizes = given.voxel_size_um or source.voxel_size_um
    for axis, (low, high) in enumerate(box.ranges):
        factor, pixel = source.voxel_size_um[axis] / sizes[axis], image.factor if axis else 1
        first, last = source.domain.ranges[axis]
        first, last = -(-first // pixel), last // pixel
        start = min(max(math.floor(low / factor / pixel + _SAME), first), last - 1)
        stop = min(max(math.ceil(high / factor / pixel - _SAME), start + 1), last)
        ranges.append((start * pixel, stop * pixel))
    return Roi(*ranges)


def _mirrored(start: int, size: int, side: int) -> npt.NDArray[np.int64]:
    """Places of `size` pixels from `start` on, in an axis of `side` pixels that is mirrored at its ends."""
    if side == 1:
        return np.zeros(size, np.int64)
    period = 2 * (side - 1)
    place = np.arange(start, start + size) % period
    return np.where(place < side, place, period - place)
