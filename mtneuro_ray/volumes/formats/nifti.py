"""NIfTI 1 and 2, `.nii` and `.nii.gz`, read with nibabel's header and seen as z, y, x of its closest anatomical axes.

Voxel (0, 0, 0) is the most inferior, posterior and left one, as in nibabel's canonical order (RAS+ in x, y, z), so
image and labels that were stored in different orientations lie on each other.
"""

from __future__ import annotations

import functools
import gzip
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mtneuro_ray.errors import InputError
from mtneuro_ray.volumes.array_metadata import ArrayMetadata
from mtneuro_ray.volumes.file_set import Stamp
from mtneuro_ray.volumes.formats.contents import Contents, Decoded, Index, mapped, needed
from mtneuro_ray.volumes.source import Voxels, voxel_type

# Unpacked .nii.gz that a process keeps: the format can't be read in part.
MOST_DECODED_BYTES = 2**31
# More than this, gzip can't pack.
_MOST_GZIP_RATIO = 1032
_UNITS_UM = {"meter": 1e6, "mm": 1e3, "micron": 1.0}
_MORE_AXES = "tcvw"

_decoded = Decoded(MOST_DECODED_BYTES)
logger = logging.getLogger(__name__)


def describe(path: Path, stamp: Stamp | None, part: str) -> list[Contents]:
    """The array of a file, of 2 to 5 axes: x, y, z in any orientation, time, channels."""
    nibabel = needed("nibabel", path)
    image = nibabel.load(path)
    header = image.header
    lengths = tuple(int(each) for each in header.get_data_shape())
    # nibabel takes offset and scaling out of the header of an image that it opened.
    stored, offset = header.get_data_dtype(), int(image.dataobj.offset)
    voxel_type(stored, str(path))
    if not 2 <= len(lengths) <= 5 or min(lengths) < 1:
        raise InputError(f"{path}: an array of shape {lengths}; accepted: x, y, z, t of length 1, channels")
    num_bytes, file_bytes = math.prod(lengths) * stored.itemsize, path.stat().st_size
    packed = path.name.lower().endswith(".gz")
    if num_bytes > (_MOST_GZIP_RATIO * file_bytes if packed else file_bytes - offset):
        raise InputError(f"{path}: {file_bytes} bytes can't hold {num_bytes}; accepted: a whole file")
    raw = (_packed if packed else _plain)(path, stamp, stored, offset, lengths)
    slope, intercept = float(image.dataobj.slope), float(image.dataobj.inter)
    scaled = (slope, intercept) != (1.0, 0.0)
    dtype = _scaled_type(stored) if scaled else stored.newbyteorder("=")
    names, flips, letters = _orientation(nibabel, image, len(lengths))
    if letters not in ("", "RAS"):
        logger.warning("%s: stored as %s; read as z, y, x towards superior, anterior, right", path, letters)
    read = functools.partial(_read, raw, lengths, flips, (dtype, slope, intercept) if scaled else None)
    scale, origin = _placed(nibabel, image, names, lengths, flips, bool(letters))
    return [Contents(lengths, dtype, read, ArrayMetadata(names, scale, origin))]


def _plain(
    path: Path, stamp: Stamp | None, stored: np.dtype[Any], offset: int, lengths: tuple[int, ...]
) -> Callable[[Index], Voxels]:
    return mapped(path, stored, offset, lengths, "F")


def _packed(
    path: Path, stamp: Stamp | None, stored: np.dtype[Any], offset: int, lengths: tuple[int, ...]
) -> Callable[[Index], Voxels]:
    num_bytes = math.prod(lengths) * stored.itemsize

    def unpack() -> Voxels:
        with gzip.open(path) as file:
            file.seek(offset)
            content = file.read(num_bytes)
        if len(content) < num_bytes:
            raise ValueError(f"ends after {len(content)} of {num_bytes} bytes")
        return np.frombuffer(content, stored).reshape(lengths, order="F")

    return lambda index: _decoded.get((path, stamp), unpack)[index]


def _scaled_type(stored: np.dtype[Any]) -> np.dtype[Any]:
    """float32, or float64 where the stored integers need more digits."""
    return np.dtype(np.float64 if stored.itemsize > 2 and stored != np.float32 else np.float32)


def _orientation(nibabel: Any, image: Any, rank: int) -> tuple[tuple[str, ...], tuple[bool, ...], str]:
    """Names of the stored axes, which of them are turned round, and the stored orientation in letters.

    A file that says no orientation keeps its order x, y, z; its letters are empty.
    """
    more = tuple(_MORE_AXES[: max(0, rank - 3)])
    if not (int(image.header["sform_code"]) or int(image.header["qform_code"])):
        return (*"xyz"[:rank][:3], *more), (False,) * rank, ""
    orientation = nibabel.io_orientation(image.affine)
    if np.isnan(orientation).any():
        raise InputError(f"{image.get_filename()}: its affine does not place each axis; accepted: an invertible affine")
    letters = "".join(nibabel.aff2axcodes(image.affine))
    names = tuple("xyz"[int(axis)] for axis, _ in orientation)
    flips = tuple(bool(direction < 0) for _, direction in orientation)
    return (*names[:rank], *more), (*flips[:rank], *(False,) * len(more)), letters


def _read(
    raw: Callable[[Index], Voxels],
    lengths: tuple[int, ...],
    flips: tuple[bool, ...],
    scaling: tuple[np.dtype[Any], float, float] | None,
    index: Index,
) -> Voxels:
    """A part in the order of the canonical axes: along a flipped axis the index counts from the end."""
    inside = tuple(
        slice(length - part.stop, length - part.start) if flip else part
        for part, length, flip in zip(index, lengths, flips, strict=True)
    )
    voxels = raw(inside)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    if scaling is None:
        return voxels
    dtype, slope, intercept = scaling
    values: Voxels = voxels.astype(dtype) * dtype.type(slope) + dtype.type(intercept)
    return values


def _placed(
    nibabel: Any,
    image: Any,
    names: tuple[str, ...],
    lengths: tuple[int, ...],
    flips: tuple[bool, ...],
    placed: bool,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Voxel size, and place of the first voxel in the canonical order, in micrometers along each axis.

    Both are empty where the header names no unit and all sizes are 1. Other sizes without a unit are millimeters. The
    sizes are those of the affine, where there is one, because it is what places the voxels.
    """
    unit = image.header.get_xyzt_units()[0]
    zooms = [float(each) for each in image.header.get_zooms()]
    space = [axis for axis, name in enumerate(names) if name in "xyz"]
    if placed:
        sizes = nibabel.affines.voxel_sizes(image.affine).tolist()
        if any(abs(sizes[axis] - zooms[axis]) > 0.001 * sizes[axis] for axis in space):
            shown = (", ".join(f"{each[axis]:g}" for axis in space) for each in (zooms, sizes))
            logger.warning("%s: pixdim is %s, the affine's sizes are %s and are taken", image.get_filename(), *shown)
        zooms = [sizes[axis] if axis in space else 0.0 for axis in range(len(names))]
    if unit not in _UNITS_UM and all(zooms[axis] == 1.0 for axis in space):
        return (), ()
    if unit not in _UNITS_UM:
        logger.warning(
            "%s: names no unit of its voxel size; millimeters are assumed, ?voxel_size= says otherwise",
            image.get_filename(),
        )
    factor = _UNITS_UM.get(unit, _UNITS_UM["mm"])
    scale = tuple(zooms[axis] * factor if axis in space else 0.0 for axis in range(len(names)))
    if not placed:
        return scale, ()
    first = np.zeros(3)
    for axis in space:
        first[axis] = lengths[axis] - 1 if flips[axis] else 0
    world = image.affine[:3, :3] @ first + image.affine[:3, 3]
    return scale, tuple(float(world["xyz".index(name)]) * factor if name in "xyz" else 0.0 for name in names)
