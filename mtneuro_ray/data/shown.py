"""Grey values of any type as bytes, for pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mtneuro_ray.data.store import Bytes

_SHARES = (0.5, 99.5)
# Voxels that the range of grey values is taken from.
_LOOKED_AT = 1_000_000


def shown(images: npt.NDArray[Any]) -> Bytes:
    """The first channel of images (N, C, Z, Y, X) as bytes (N, Z, Y, X) for a picture.

    Bytes stay as they are. Of another type, the values from the 0.5th to the 99.5th percentile of all images are spread
    over 0 to 255; what is no number is black.
    """
    first = images[:, 0]
    if first.dtype == np.uint8:
        return first
    some = first.ravel()[:: max(1, first.size // _LOOKED_AT)].astype(np.float64)
    some = some[np.isfinite(some)]
    low, high = np.percentile(some, _SHARES) if some.size else (0.0, 1.0)
    # Image by image, since the numbers in between take many times the memory.
    return np.stack([_spread(image, low, max(high - low, 1e-30)) for image in first])


def _spread(image: npt.NDArray[Any], low: float, width: float) -> Bytes:
    parts = np.nan_to_num((image.astype(np.float64) - low) / width, nan=0.0, posinf=1.0, neginf=0.0)
    spread: Bytes = np.rint(255 * parts.clip(0, 1)).astype(np.uint8)
    return spread
