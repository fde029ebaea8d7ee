"""PNG and TIFF files as planes of unsigned integers, their values untouched."""

from __future__ import annotations

import functools
import logging
import re
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Roi, Shape
from mtneuro_ray.volumes.source import Voxels

ACCEPTED = "greyscale or palette pictures of 8, 16, 32 or 64 bit unsigned integers"


@dataclass(frozen=True, slots=True)
class Description:
    """What the header of a file says: shape z, y, x, type, and whether values are indices into a palette.

    A palette that leaves every grey value as it is counts as none.
    """

    shape: Shape
    dtype: np.dtype[np.unsignedinteger]
    indexed: bool = False


_PNG_HEADER = struct.Struct(">8s4x4sIIBB")
_GREY, _PALETTE = 0, 3
# A few planes, so that the many boxes of one picture decode it once a process.
_DECODED_PLANES = 8


def describe_png(path: Path) -> Description:
    """Shape (1, y, x) and type of a PNG, from its header alone.

    Raises:
        InputError: it is no PNG, or one in colour.
        OSError: it cannot be read.
    """
    kind, height, width, depth = _png_header(path)
    dtype: np.dtype[np.unsignedinteger] = np.dtype(np.uint16 if depth == 16 else np.uint8)
    return Description((1, height, width), dtype, kind == _PALETTE and not _is_grey_ramp(path))


def read_png(path: Path, roi: Roi) -> Voxels:
    """The voxels of a box of a PNG, z being 0."""
    plane = _decode_png(path, _version(path))
    return plane[None][roi.slices]


def describe_tiff(path: Path) -> Description:
    """Shape (z, y, x) and type of a TIFF's first series.

    Raises:
        InputError: it is no TIFF, or none of one greyscale plane or stack.
        OSError: it cannot be read.
    """
    layout = _layout(path, _version(path))
    return Description(layout.shape, layout.dtype.newbyteorder("="), layout.indexed)


def read_tiff(path: Path, roi: Roi) -> Voxels:
    """The voxels of a box of a TIFF: by memory map where it is stored plainly, else page by page."""
    layout = _layout(path, _version(path))
    native = layout.dtype.newbyteorder("=")
    if layout.offset is None:
        return _read_pages(path, roi, layout.shape, native)
    mapped = np.memmap(path, layout.dtype, "r", layout.offset, layout.shape)
    return np.array(mapped[roi.slices], native)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Shape z, y, x and type as stored; `offset` is where voxels begin if they follow each other plainly."""

    shape: Shape
    dtype: np.dtype[np.unsignedinteger]
    offset: int | None
    indexed: bool


@functools.lru_cache(maxsize=4096)
def _layout(path: Path, version: tuple[int, int]) -> _Layout:
    try:
        with _complaints() as complaints, tifffile.TiffFile(path) as tiff:
            series = [each for each in tiff.series if not each.keyframe.is_reduced]
            shown, page, byte_order = series[0], series[0].keyframe, tiff.byteorder
            axes, sizes, dtype, offset = shown.axes, shown.shape, shown.dtype, shown.dataoffset
            sets = shown.is_multifile
            ramp = page.colormap is None or _is_identity(np.asarray(page.colormap) >> 8)
    except OSError:
        raise
    except Exception as error:  # a damaged file makes tifffile raise nearly anything
        raise InputError(f"{path}: no readable TIFF ({type(error).__name__}: {error})") from None
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
    depth, height, width = [1, *(size for _, size in kept)][-3:]
    return _Layout((int(depth), int(height), int(width)), np.dtype(dtype).newbyteorder(byte_order), offset, not ramp)


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


def _is_grey_ramp(path: Path) -> bool:
    """Whether the palette of a PNG turns every index into the same grey value."""
    try:
        with Image.open(path) as picture:
            palette = picture.getpalette("RGB") or []
    except Exception as error:  # a damaged file makes Pillow raise nearly anything
        raise InputError(f"{path}: no readable PNG ({type(error).__name__}: {error})") from None
    return _is_identity(np.array(palette, np.int64).reshape(-1, 3).T)


def _is_identity(palette: npt.NDArray[np.integer]) -> bool:
    """Whether a palette (3, N) of 8-bit red, green and blue is the grey ramp 0, 1, 2, ..."""
    return bool((palette == np.arange(palette.shape[1])).all())


def _read_pages(path: Path, roi: Roi, shape: Shape, dtype: np.dtype[np.unsignedinteger]) -> Voxels:
    version, rows_and_columns = _version(path), roi.slices[1:]
    voxels = np.empty(roi.shape, dtype)
    for plane, z in zip(voxels, range(*roi.z), strict=True):
        plane[:] = _decode_page(path, version, z, shape)[rows_and_columns]
    return voxels


@functools.lru_cache(maxsize=_DECODED_PLANES)
def _decode_page(path: Path, version: tuple[int, int], index: int, shape: Shape) -> Voxels:
    with tifffile.TiffFile(path) as tiff:
        series = tiff.series[0]
        if len(series) == shape[0]:
            plane = np.asarray(series.asarray(key=index))
        else:  # several planes in one page: no reading it in part
            plane = np.asarray(series.asarray()).reshape(shape)[index]
    return plane.reshape(shape[1:])


@functools.lru_cache(maxsize=_DECODED_PLANES)
def _decode_png(path: Path, version: tuple[int, int]) -> Voxels:
    kind, _, _, depth = _png_header(path)
    with Image.open(path) as picture:
        pixels: Voxels = np.asarray(picture)
    if depth == 16:
        return pixels.astype(np.uint16)
    if kind == _GREY and depth in (2, 4):
        # Pillow stretches these to 0..255, which is no use for labels.
        pixels = pixels // np.uint8(255 // (2**depth - 1))
    return pixels.astype(np.uint8)


def _png_header(path: Path) -> tuple[int, int, int, int]:
    """Colour type, height, width and bits per sample."""
    with path.open("rb") as file:
        head = file.read(_PNG_HEADER.size)
    if len(head) < _PNG_HEADER.size or not head.startswith(b"\x89PNG\r\n\x1a\n"):
        raise InputError(f"{path}: no readable PNG")
    _, _, width, height, depth, kind = _PNG_HEADER.unpack(head)
    if kind not in (_GREY, _PALETTE):
        raise InputError(f"{path}: colour or transparent PNG; accepted: {ACCEPTED}")
    return kind, height, width, depth


def _version(path: Path) -> tuple[int, int]:
    """Tells a file from what replaced it under the same name."""
    status = path.stat()
    return status.st_mtime_ns, status.st_size
