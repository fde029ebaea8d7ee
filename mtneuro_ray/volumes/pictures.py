"""PNG and TIFF files as planes of unsigned integers, their values untouched."""

from __future__ import annotations

import functools
import re
import struct
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Roi, Shape
from mtneuro_ray.volumes.source import Voxels

ACCEPTED = "greyscale or palette pictures of 8, 16, 32 or 64 bit unsigned integers"
Description = tuple[Shape, np.dtype[np.unsignedinteger]]

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
    _, height, width, depth = _png_header(path)
    return (1, height, width), np.dtype(np.uint16 if depth == 16 else np.uint8)


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
    shape, stored_type, _ = _layout(path, _version(path))
    return shape, stored_type.newbyteorder("=")


def read_tiff(path: Path, roi: Roi) -> Voxels:
    """The voxels of a box of a TIFF: by memory map where it is stored plainly, else page by page."""
    shape, stored_type, offset = _layout(path, _version(path))
    if offset is None:
        return _read_pages(path, roi, shape, stored_type.newbyteorder("="))
    mapped = np.memmap(path, stored_type, "r", offset, shape)
    return np.array(mapped[roi.slices], stored_type.newbyteorder("="))


@functools.lru_cache(maxsize=4096)
def _layout(path: Path, version: tuple[int, int]) -> tuple[Shape, np.dtype[np.unsignedinteger], int | None]:
    """Shape z, y, x, type as stored, and where the voxels begin if they follow each other plainly."""
    try:
        with tifffile.TiffFile(path) as tiff:
            series = tiff.series[0]
            axes, sizes, dtype, offset = series.axes, series.shape, series.dtype, series.dataoffset
            byte_order = tiff.byteorder
    except OSError:
        raise
    except Exception as error:  # a damaged file makes tifffile raise nearly anything
        raise InputError(f"{path}: no readable TIFF ({error})") from None
    kept = [(axis, size) for axis, size in zip(axes, sizes, strict=True) if size > 1 or axis in "YX"]
    names = "".join(axis for axis, _ in kept)
    if dtype is None or dtype.kind != "u" or not re.fullmatch("[^SC]?YX", names):
        raise InputError(f"{path}: {dtype} picture with axes {axes}; accepted: {ACCEPTED}")
    depth, height, width = [1, *(size for _, size in kept)][-3:]
    return (int(depth), int(height), int(width)), np.dtype(dtype).newbyteorder(byte_order), offset


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
