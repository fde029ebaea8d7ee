"""The distance over which grey values resemble each other, which a gap between splits has to exceed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mtneuro_ray.onboarding.sampled_boxes import read_boxes, spread_boxes
from mtneuro_ray.volumes.source import VolumeSource

# Extent of a box along the axis that is measured, across it, and the voxels of all boxes of an axis.
_ALONG, _ACROSS = 96, 24
_VOXELS = 2**19
# Two places that resemble each other less than this are taken for independent: 1 / e.
_THRESHOLD = math.exp(-1)


@dataclass(frozen=True, slots=True)
class Texture:
    """Correlation length of the grey values along one axis.

    Attributes:
        length: Least distance in voxels at which the autocorrelation is below 1 / e.
        is_bound: The autocorrelation stayed above it at every measured distance; `length` is the longest.
    """

    length: int
    is_bound: bool = False

    @property
    def gap(self) -> int:
        """Voxels to leave between splits: twice the length, where an exponential decay has come to 0.14."""
        return 2 * self.length

    def __str__(self) -> str:
        return f"{'at least ' if self.is_bound else ''}{self.length}"


def correlation_lengths(source: VolumeSource, seed: int = 0) -> tuple[Texture, Texture, Texture]:
    """Correlation length along z, y and x, from boxes spread over the volume.

    Raises:
        SourceError: the volume can't be read.
    """
    z, y, x = (_along(source, axis, seed) for axis in range(3))
    return z, y, x


def _along(source: VolumeSource, axis: int, seed: int) -> Texture:
    domain = source.domain
    shape = [_ALONG if other == axis else _ACROSS for other in range(3)]
    rois = spread_boxes(domain, min(_VOXELS, domain.num_voxels - 1), shape, seed)
    products: npt.NDArray[np.float64] = np.zeros(_ALONG)
    for roi, voxels in read_boxes(source, rois, f"measuring the texture of {source.uri}"):
        if roi.shape[axis] > 1:
            products[: roi.shape[axis] // 2] += autocovariance(voxels, axis)[: roi.shape[axis] // 2]
    longest = max(1, min(domain.shape[axis], _ALONG) // 2 - 1)
    if products[0] <= 0:  # one value everywhere, or one plane: nothing to resemble
        return Texture(1)
    below = np.flatnonzero(products[: longest + 1] < _THRESHOLD * products[0])
    return Texture(int(below[0])) if len(below) else Texture(longest, is_bound=True)


def autocovariance(voxels: npt.NDArray[Any], axis: int) -> npt.NDArray[np.float64]:
    """Mean product of the deviations of two voxels of a box, for each distance along an axis: (extent,).

    NaN and infinity count as the mean.
    """
    lines = np.moveaxis(voxels.astype(np.float64), axis, 0).reshape(voxels.shape[axis], -1)
    finite = np.isfinite(lines)
    mean = lines[finite].mean() if finite.any() else 0.0
    lines = np.where(finite, lines - mean, 0.0)
    extent = len(lines)
    # By the theorem of Wiener and Khinchin, padded so that the ends do not meet.
    spectrum = np.fft.rfft(lines, 2 * extent, axis=0)
    products = np.fft.irfft((spectrum * spectrum.conj()).sum(axis=1), 2 * extent)[:extent]
    return np.asarray(products / (np.arange(extent, 0, -1) * lines.shape[1]), np.float64)
