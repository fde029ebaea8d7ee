"""Files of the formats .npy, PNG and TIFF as boxes of unsigned integers, their values untouched.

Pillow and tifffile decode; what stands here is what they leave open: 2 and 4 bit grey values that Pillow stretches,
palettes, and files that tifffile reads in part with no more than a log entry.
"""

from __future__ import annotations

import functools
import logging
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from mtneuro_ray.errors import InputError, SourceError
from mtneuro_ray.roi import Roi, Shape
from mtneuro_ray.volumes.file_set import Stamp, stamp_of
from mtneuro_ray.volumes.source import Voxels

ACCEPTED = "greyscale or palette pictures of 8, 16, 32 or 64 bit unsigned integers"
# A few planes, so that the many boxes of one picture decode it once a process.
_DECODED_PLANES = 8


@dataclass(frozen=True, slots=True)
class Description:
    """Contents of one file, from its header.

    Attributes:
        shape: Voxels along z, y, x.
        stored: Type in the file, of any byte order.
        indexed: Values are palette indices. A palette that leaves every grey value as it is counts as none.
        offset: Byte at which the voxels begin where they are stored plainly and can be mapped; None elsewhere.
        order: Memory order of mapped voxels.
    """

    shape: Shape
    stored: np.dtype[np.unsignedinteger]
    indexed: bool = False
    offset: int | None = None
    order: Literal["C", "F"] = "C"

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        """Type in native byte order."""
        return self.stored.newbyteorder("=")


def describe(path: Path) -> Description:
    """The contents of a file, by its suffix.

    Raises:
        InputError: it is damaged, or holds no greyscale plane or stack of unsigned integers.
        SourceError: it cannot be read.
    """
    return _describe(path, stamp_of(path))


def read_box(path: Path, roi: Roi) -> Voxels:
    """The voxels of a box: by memory map where they are stored plainly, else plane by plane.

    A damaged file makes its decoder raise nearly anything.
    """
    stamp = stamp_of(path)
    found = _describe(path, stamp)
    if found.offset is None:
        return np.stack([_decoded(path, stamp, z)[roi.slices[1:]] for z in range(*roi.z)])
    mapped = np.memmap(path, found.stored, "r", found.offset, found.shape, found.order)
    return np.array(mapped[roi.slices], found.dtype, order="C")


@functools.lru_cache(maxsize=4096)
def _describe(path: Path, stamp: Stamp | None) -> Description:
    kind, describe_kind = FORMATS[path.suffix.lower()]
    try:
        return describe_kind(path)
    except InputError:
        raise
    except Exception as error:  # a damaged file makes its decoder raise nearly anything
        if isinstance(error, OSError) and error.errno:
            raise SourceError(f"{path}: cannot be read: {error.strerror}") from None
        raise InputError(f"{path}: no readable {kind} ({type(error).__name__}: {error})") from None


def _describe_npy(path: Path) -> Description:
    array = np.lib.format.open_memmap(path, mode="r")
    if array.dtype.kind != "u" or array.ndim not in (2, 3) or array.size == 0:
        raise InputError(
            f"{path}: {array.dtype} array of shape {array.shape}; accepted: uint8, uint16, uint32 or uint64, "
            "axes z, y, x or y, x"
        )
    depth, height, width = (1, *array.shape)[-3:]
    order: Literal["C", "F"] = "C" if array.flags.c_contiguous else "F"
    return Description((depth, height, width), array.dtype, offset=array.offset, order=order)


def _describe_png(path: Path) -> Description:
    with Image.open(path, formats=["PNG"]) as picture:
        grey16, mode = picture.mode.startswith("I"), picture.mode
        if mode not in ("1", "L", "P") and not grey16:
            raise InputError(f"{path}: colour or transparent PNG; accepted: {ACCEPTED}")
        palette = np.array(picture.getpalette("RGB") if mode == "P" else [], np.int64).reshape(-1, 3).T
        width, height = picture.size
    return Description((1, height, width), np.dtype(np.uint16 if grey16 else np.uint8), not _is_grey_ramp(palette))


def _describe_tiff(path: Path) -> Description:
    with _complaints() as complaints, tifffile.TiffFile(path) as tiff:
        series = [each for each in tiff.series if not each.keyframe.is_reduced]
        shown, page, byte_order = series[0], series[0].keyframe, tiff.byteorder
        axes, sizes, dtype, offset = shown.axes, shown.shape, shown.dtype, shown.dataoffset
        sets = shown.is_multifile
        indexed = page.colormap is not None and not _is_grey_ramp(np.asarray(page.colormap) >> 8)
    if complaints:
        raise InputError(f"{path}: damaged or cut short ({complaints[0]})")
    if len(series) > 1:
        found = ", ".join(" x ".join(map(str, each.shape)) for each in series[:4])
        raise InputError(f"{path}: {len(series)} series of pages ({found}); accepted: one, its pages of one size")
    if sets:
        raise InputError(f"{path}: one of a set of OME-TIFF files; accepted: one file, or a folder of single planes")
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        raise InputError(f"{path}: inverted picture (photometric MINISWHITE); accepted: MINISBLACK, 0 is black")
    kept = [(axis, size) for axis, size in zip(axes, sizes, strict=True) if size > 1 or axis in "YX"]
    names = "".join(axis for axis, _ in kept)
    if dtype is None or dtype.kind != "u" or not re.fullmatch("[^SC]?YX", names):
        raise InputError(f"{path}: {dtype} picture with axes {axes}; accepted: {ACCEPTED}")
    depth, height, width = [1, *(int(size) for _, size in kept)][-3:]
    return Description((depth, height, width), np.dtype(dtype).newbyteorder(byte_order), indexed, offset)


# Suffix -> name in errors, and how its header is read.
FORMATS: dict[str, tuple[str, Callable[[Path], Description]]] = {
    ".npy": (".npy array", _describe_npy),
    ".png": ("PNG", _describe_png),
    ".tif": ("TIFF", _describe_tiff),
    ".tiff": ("TIFF", _describe_tiff),
}


@functools.lru_cache(maxsize=_DECODED_PLANES)
def _decoded(path: Path, stamp: Stamp | None, z: int) -> Voxels:
    """One plane (y, x) of a PNG or TIFF."""
    found = _describe(path, stamp)
    if path.suffix.lower() != ".png":
        with tifffile.TiffFile(path) as tiff:
            series = tiff.series[0]
            if len(series) == found.shape[0]:
                plane = np.asarray(series.asarray(key=z))
            else:  # several planes in one page: no reading it in part
                plane = np.asarray(series.asarray()).reshape(found.shape)[z]
        return plane.reshape(found.shape[1:]).astype(found.dtype, copy=False)
    with Image.open(path, formats=["PNG"]) as picture:
        stored_as = str(picture.tile[0][3])
        pixels: Voxels = np.asarray(picture)
    if stored_as in ("L;2", "L;4"):
        # Pillow stretches these to 0..255, which is no use for labels.
        pixels = pixels // np.uint8(255 // (2 ** int(stored_as[-1]) - 1))
    return pixels.astype(found.dtype)


def _is_grey_ramp(palette: npt.NDArray[np.integer]) -> bool:
    """Whether a palette (3, N) of 8-bit red, green and blue is the grey ramp 0, 1, 2, ..."""
    return bool((palette == np.arange(palette.shape[1])).all())


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """Errors that tifffile only logs in this thread: it reads a file that is cut short as one of fewer pages."""
    found: list[str] = []
    thread = threading.get_ident()

    def keep(record: logging.LogRecord) -> bool:
        if record.thread != thread or record.levelno < logging.ERROR:
            return True
        found.append(record.getMessage().rpartition("> ")[2])
        return False

    logger = logging.getLogger("tifffile")
    logger.addFilter(keep)
    try:
        yield found
    finally:
        logger.removeFilter(keep)
