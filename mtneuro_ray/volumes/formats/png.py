"""PNG pictures, decoded by Pillow, with the 2 and 4 bit grey values that it stretches undone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from mtneuro_ray.errors import InputError
from mtneuro_ray.volumes.array_metadata import ArrayMetadata
from mtneuro_ray.volumes.file_set import Stamp
from mtneuro_ray.volumes.formats.contents import Contents, Decoded, Index
from mtneuro_ray.volumes.source import Voxels

ACCEPTED = "greyscale or palette pictures, or stacks and channels of them"
MOST_DECODED_BYTES = 2**28

_decoded = Decoded(MOST_DECODED_BYTES)


def describe(path: Path, stamp: Stamp | None, part: str) -> list[Contents]:
    """The one plane of a picture."""
    with Image.open(path, formats=["PNG"]) as picture:
        grey16, mode = picture.mode.startswith("I"), picture.mode
        if mode not in ("1", "L", "P") and not grey16:
            raise InputError(f"{path}: colour or transparent PNG; accepted: {ACCEPTED}")
        palette = np.array(picture.getpalette("RGB") if mode == "P" else [], np.int64).reshape(-1, 3).T
        width, height = picture.size
    dtype = np.dtype(np.uint16 if grey16 else np.uint8)

    def read(index: Index) -> Voxels:
        return _decoded.get((path, stamp), lambda: _plane(path).astype(dtype))[index]

    metadata = ArrayMetadata(("y", "x"))
    return [Contents((height, width), dtype, read, metadata, indexed=not is_grey_ramp(palette))]


def is_grey_ramp(palette: npt.NDArray[np.integer]) -> bool:
    """Whether a palette (3, N) of 8-bit red, green and blue is the grey ramp 0, 1, 2, ..."""
    return bool((palette == np.arange(palette.shape[1])).all())


def _plane(path: Path) -> Voxels:
    with Image.open(path, formats=["PNG"]) as picture:
        stored_as = str(picture.tile[0][3])
        pixels: Voxels = np.asarray(picture)
    if stored_as in ("L;2", "L;4"):
        # Pillow stretches these to 0..255, which is no use for labels.
        pixels = pixels // np.uint8(255 // (2 ** int(stored_as[-1]) - 1))
    return pixels
