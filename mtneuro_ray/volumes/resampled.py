"""A volume at another voxel size: interpolated where it is read, every box the same voxels whatever the cutting."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Range, Roi, Shape
from mtneuro_ray.volumes.source import Micrometers, VolumeSource, Voxels

# Voxels of the source that are held at once for one box.
MOST_SOURCE_VOXELS = 2**25
_SAME = 1e-6

Floats = npt.NDArray[np.float64]


class ResampledSource(VolumeSource):
    """A virtual volume whose voxels cover the source's space from the same corner, at another size.

    Voxel i of an axis has its middle at (i + 1/2) f - 1/2 of the source, f being the ratio of the voxel sizes. Grey
    values are linear between the two nearest voxels of each axis (order 1, computed in float64, integers rounded to
    even); labels are those of the voxel that holds the middle. Beyond the outermost middles the outermost voxel counts.
    No average is taken over a coarse voxel: start from the level of a pyramid that is near the target.

    Args:
        source: The volume; its voxel size is known.
        voxel_size_um: Voxel size z, y, x in micrometers.
        nearest: Whether values are labels.
    """

    def __init__(self, source: VolumeSource, voxel_size_um: Micrometers, nearest: bool) -> None:
        if source.voxel_size_um is None:
            raise InputError(f"{source.uri}: voxel_size: is not known; accepted: ?voxel_size=Z,Y,X in micrometers")
        if not all(0 < size < math.inf for size in voxel_size_um):
            raise InputError(f"{source.uri}: target voxel size {voxel_size_um}; accepted: micrometers above 0")
        size = ",".join(map(repr, voxel_size_um))
        how = f"{'nearest' if nearest else 'linear'} at {size} um of {','.join(map(repr, source.voxel_size_um))}"
        self.uri = f"{source.uri} ({how})"
        self.identity = f"{source.identity} ({how})"
        self._source, self._nearest, self.voxel_size_um = source, nearest, voxel_size_um
        self._factors = _ratios(voxel_size_um, source.voxel_size_um)
        depth, height, width = map(_length, source.shape, self._factors)
        self.shape = (depth, height, width)
        self.dtype, self.indexed, self.num_channels = source.dtype, source.indexed, source.num_channels
        self.parallel_reads = source.parallel_reads
        if source.origin_um is not None:
            z, y, x = (
                start + own * (factor - 1) / 2
                for start, own, factor in zip(source.origin_um, source.voxel_size_um, self._factors, strict=True)
            )
            self.origin_um = (z, y, x)

    @property
    def domain(self) -> Roi:
        """The voxels whose middles lie in the domain of the source."""
        starts = (
            max(0, math.ceil(start / factor - 0.5))
            for (start, _), factor in zip(self._source.domain.ranges, self._factors, strict=True)
        )
        z, y, x = ((min(start, stop - 1), stop) for start, stop in zip(starts, self.shape, strict=True))
        return Roi(z, y, x)

    def channel(self, index: int) -> VolumeSource:
        """One channel at the same voxel size; errors as of the source."""
        assert self.voxel_size_um is not None
        return ResampledSource(self._source.channel(index), self.voxel_size_um, self._nearest)

    def _read(self, roi: Roi) -> Voxels:
        if roi.intersection(self.domain) != roi:
            raise InputError(f"{self.uri}: box {roi} leaves the volume's domain; accepted: within {self.domain}")
        out = np.empty(roi.shape, self.dtype)
        for part in roi.split(_part_shape(roi.shape, self._factors)):
            out[part.slices_within(roi)] = self._read_part(part)
        return out

    def _read_part(self, roi: Roi) -> Voxels:
        places = [
            _nearest(span, factor, limits) if self._nearest else _neighbours(span, factor, limits)
            for span, factor, limits in zip(roi.ranges, self._factors, self._source.domain.ranges, strict=True)
        ]
        z, y, x = ((int(low.min()), int(high.max()) + 1) for low, high, _ in places)
        box = Roi(z, y, x)
        voxels = self._source.read(box)
        if self._nearest:
            return voxels[np.ix_(*(low - start for (low, _, _), start in zip(places, box.origin, strict=True)))]
        values = voxels.astype(np.float64)
        for axis, ((low, high, weight), start) in enumerate(zip(places, box.origin, strict=True)):
            values = _between(values.take(low - start, axis), values.take(high - start, axis), weight, axis)
        if self.dtype.kind == "f":
            return values.astype(self.dtype)
        return np.rint(values).astype(self.dtype)


def resampled(source: VolumeSource, voxel_size_um: Micrometers, nearest: bool) -> VolumeSource:
    """A volume at another voxel size; the source itself where it has that size.

    Args:
        source: The volume.
        voxel_size_um: Voxel size z, y, x in micrometers.
        nearest: Whether values are labels; else they are interpolated linearly.

    Raises:
        InputError: the voxel size of the source is not known, or the target is no size.
    """
    if source.voxel_size_um is not None and np.allclose(voxel_size_um, source.voxel_size_um, rtol=_SAME, atol=0):
        return source
    return ResampledSource(source, voxel_size_um, nearest)


def _ratios(target: Micrometers, source: Micrometers) -> tuple[float, float, float]:
    z, y, x = (wanted / own for wanted, own in zip(target, source, strict=True))
    return z, y, x


def _length(length: int, factor: float) -> int:
    return max(1, math.floor(length / factor + 0.5))


def _part_shape(shape: Shape, factors: tuple[float, float, float]) -> Shape:
    """Shape of parts of a box that need at most `MOST_SOURCE_VOXELS` of the source, a voxel at least."""
    sides = list(shape)

    def needed() -> float:
        return math.prod(side * max(1.0, factor) + 2 for side, factor in zip(sides, factors, strict=True))

    while needed() > MOST_SOURCE_VOXELS and max(sides) > 1:
        longest = max(range(3), key=lambda axis: sides[axis] * max(1.0, factors[axis]) if sides[axis] > 1 else 0)
        sides[longest] = -(-sides[longest] // 2)
    return sides[0], sides[1], sides[2]


def _nearest(span: Range, factor: float, limits: Range) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats]:
    """The voxel of the source that holds the middle of each voxel, twice, and weights 0."""
    middles = (np.arange(*span) + 0.5) * factor
    found = np.clip(np.floor(middles).astype(np.int64), limits[0], limits[1] - 1)
    return found, found, np.zeros(len(found))


def _neighbours(
    span: Range, factor: float, limits: Range
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats]:
    """The two voxels of the source around the middle of each voxel, and the weight of the second."""
    middles = np.clip((np.arange(*span) + 0.5) * factor - 0.5, limits[0], limits[1] - 1)
    low = np.floor(middles).astype(np.int64)
    return low, np.minimum(low + 1, limits[1] - 1), middles - low


def _between(low: Floats, high: Floats, weight: Floats, axis: int) -> Floats:
    """Values between two neighbours; a neighbour without weight has no part, be it NaN or infinite."""
    weights = weight.reshape([-1 if each == axis else 1 for each in range(3)])
    with np.errstate(invalid="ignore"):
        mixed = low * (1 - weights) + high * weights
    return np.where(weights == 0, low, mixed)
