"""A volume scheme: balls on a lattice, computed where they are read; `balls://image` and `balls://labels`."""

from pathlib import Path

import numpy as np

from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.schemes import VolumeDeclaration, always
from mtneuro_ray.volumes.source import VolumeSource, Voxels


class BallsSource(VolumeSource):
    """Balls of radius 6 in cells of 16 voxels, with exact labels."""

    shape, dtype = (64, 256, 256), np.dtype(np.uint8)

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.identity = f"{uri}?version=1"  # names the voxels: raise it with every change of any of them

    def _read(self, roi: Roi) -> Voxels:
        z, y, x = np.ogrid[tuple(slice(*span) for span in roi.ranges)]
        inside = sum((axis % 16 - 8) ** 2 for axis in (z, y, x)) < 36
        if self.uri.endswith("labels"):
            return inside.astype(np.uint8)
        grain = (z * 7919 + y * 104729 + x * 1299709) % 61
        return (60 * inside + 80 + grain).astype(np.uint8)


def open_balls(uri: str, base: Path) -> BallsSource:
    if uri not in ("balls://image", "balls://labels"):
        raise InputError(f"{uri}: no such channel; accepted: balls://image, balls://labels")
    return BallsSource(uri)


BALLS = VolumeDeclaration(
    name="balls", summary="Balls on a lattice", build=open_balls, form="balls://image|labels", offline=always
)
