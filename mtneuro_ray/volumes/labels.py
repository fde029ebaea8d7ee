"""Label volumes: whole numbers, whatever type they are stored in."""

from __future__ import annotations

import numpy as np

from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.source import VolumeSource, Voxels


class WholeSource(VolumeSource):
    """A volume of floats, read as int64; a value that is no whole number is an error.

    Some programs write labels so, NIfTI's above all. So are numbers that the type can't tell from their neighbours.
    """

    def __init__(self, source: VolumeSource) -> None:
        for key in VolumeSource.__annotations__.keys() - {"identity", "dtype"}:
            setattr(self, key, getattr(source, key))
        self.dtype = np.dtype(np.int64)
        self._source = source

    @property
    def identity(self) -> str:  # type: ignore[override]
        """Not that of the floats: the store keeps the voxels of an identity in one type."""
        return f"{self._source.identity} (whole numbers)"

    @property
    def domain(self) -> Roi:
        """The box that has voxels."""
        return self._source.domain

    def channel(self, index: int) -> VolumeSource:
        """One channel; errors as of the source."""
        return WholeSource(self._source.channel(index))

    def _read(self, roi: Roi) -> Voxels:
        values = self._source.read(roi)
        digits = np.finfo(values.dtype).nmant + 1
        wrong = ~np.isfinite(values) | (np.abs(values) >= 2**digits) | (np.trunc(values) != values)
        if wrong.any():
            raise InputError(
                f"{self.uri}: box {roi}: holds the value {float(values[wrong][0])}; accepted: labels, which are whole "
                f"numbers, stored as {values.dtype} below 2^{digits}"
            )
        return values.astype(np.int64)


def as_labels(source: VolumeSource) -> VolumeSource:
    """A volume as labels: integers as they are, floats checked to be whole numbers where they are read."""
    return WholeSource(source) if source.dtype.kind == "f" else source
