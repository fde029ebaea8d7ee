"""Arrays of NumPy, `.npy`: any numeric type, byte order and memory order, mapped."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from mtneuro_ray.errors import InputError
from mtneuro_ray.volumes.file_set import Stamp
from mtneuro_ray.volumes.formats.contents import Contents, mapped
from mtneuro_ray.volumes.source import voxel_type


def describe(path: Path, stamp: Stamp | None, part: str) -> list[Contents]:
    """The array of a file."""
    array = np.lib.format.open_memmap(path, mode="r")
    dtype = voxel_type(array.dtype, str(path))
    if array.ndim < 2 or array.size == 0:
        raise InputError(f"{path}: an array of shape {array.shape}; accepted: axes z, y, x or y, x, and channels")
    order: Literal["C", "F"] = "C" if array.flags.c_contiguous else "F"
    return [Contents(array.shape, dtype, mapped(path, array.dtype, array.offset, array.shape, order))]
