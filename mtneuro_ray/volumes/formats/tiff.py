"""TIFF, OME-TIFF and ImageJ stacks: axes, channels, spacing and levels as tifffile reads them.

tifffile decodes, with imagecodecs where that is installed; what stands here is what it leaves open: palettes, files
that it reads in part with no more than a log entry, and reading the strips or tiles of a box alone.
"""

from __future__ import annotations

import functools
import itertools
import logging
import math
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from mtneuro_ray.errors import InputError
from mtneuro_ray.volumes.array_metadata import ArrayMetadata
from mtneuro_ray.volumes.file_set import Stamp
from mtneuro_ray.volumes.formats.contents import Contents, Decoded, Index, mapped
from mtneuro_ray.volumes.formats.png import ACCEPTED, is_grey_ramp
from mtneuro_ray.volumes.formats.tiff_spacing import spacing_um
from mtneuro_ray.volumes.source import Voxels, voxel_type

# Strips, tiles and pages that are kept decoded: the boxes of one picture share them.
MOST_DECODED_BYTES = 2**28
# Files that are kept open: their pages are listed once.
_MOST_OPEN = 8
_COLOURED = ("RGB", "CMYK", "YCBCR", "CIELAB", "ICCLAB", "ITULAB", "SEPARATED")

_decoded = Decoded(MOST_DECODED_BYTES)


@dataclass(frozen=True)
class _Open:
    """An open file and the levels of its one series, the finest first."""

    tiff: tifffile.TiffFile
    levels: list[Any]
    lock: threading.Lock = field(default_factory=threading.Lock)


def describe(path: Path, stamp: Stamp | None, part: str) -> list[Contents]:
    """The levels of a file's one series of pages, the finest first."""
    opened = _opened(path, stamp)
    finest, page = opened.levels[0], opened.levels[0].keyframe
    if page.photometric is not None and page.photometric.name == "MINISWHITE":
        raise InputError(f"{path}: inverted picture (photometric MINISWHITE); accepted: MINISBLACK, 0 is black")
    palette = page.colormap is not None and not is_grey_ramp(np.asarray(page.colormap) >> 8)
    axes = _axes(finest, path)
    _check_codec(page, path)
    sizes = spacing_um(opened.tiff, axes, str(path))
    found = []
    for number, series in enumerate(opened.levels):
        factors = map(_factor, finest.shape, series.shape)
        scale = tuple(size * factor for size, factor in zip(sizes, factors, strict=True)) if sizes else ()
        dtype = voxel_type(np.dtype(series.dtype), str(path))
        stored = np.dtype(series.dtype).newbyteorder(opened.tiff.byteorder)
        offset = series.dataoffset
        read = (
            functools.partial(_read, path, stamp, number)
            if offset is None
            else mapped(path, stored, offset, series.shape)
        )
        metadata = ArrayMetadata(axes, scale, level=str(number))
        found.append(Contents(series.shape, dtype, read, metadata, indexed=palette))
    return found


@functools.lru_cache(maxsize=_MOST_OPEN)
def _opened(path: Path, stamp: Stamp | None) -> _Open:
    with _complaints() as complaints:
        tiff = tifffile.TiffFile(path)
        series = [each for each in tiff.series if not each.keyframe.is_reduced]
        levels = list(series[0].levels)
        # A contiguous stack may have one header for all planes.
        missing = sum(page is None for level in levels if level.dataoffset is None for page in level)
    if complaints:
        raise InputError(f"{path}: damaged or cut short ({complaints[0]})")
    if len(series) > 1:
        found = ", ".join(" x ".join(map(str, each.shape)) for each in series[:4])
        raise InputError(f"{path}: {len(series)} series of pages ({found}); accepted: one, its pages of one size")
    if levels[0].is_multifile:
        raise InputError(f"{path}: one of a set of OME-TIFF files; accepted: one file, or a folder of single planes")
    if missing:
        raise InputError(f"{path}: {missing} planes are not in the file; accepted: a whole stack")
    return _Open(tiff, levels)


def _axes(series: Any, path: Path) -> tuple[str, ...]:
    """Names of the axes; pages whose meaning the file does not say are planes along z if they are all there is."""
    letters, coloured = series.axes, getattr(series.keyframe.photometric, "name", "") in _COLOURED
    # Samples that are not said to be alpha are channels.
    alpha = "S" in letters and any(int(kind) for kind in series.keyframe.extrasamples)
    if (
        series.dtype is None
        or series.dtype.kind not in "biuf"
        or ("S" in letters and (coloured or alpha or "C" in letters))
    ):
        raise InputError(f"{path}: {series.dtype} picture with axes {letters}; accepted: {ACCEPTED}")
    names = ["c" if letter == "S" else letter.lower() for letter in letters]
    unknown = [name for name in names if name in ("i", "q")]
    if len(unknown) == 1 and "z" not in names:
        names[names.index(unknown[0])] = "z"
    return tuple(f"{name}{place}" if name in ("i", "q") else name for place, name in enumerate(names))


def _check_codec(page: Any, path: Path) -> None:
    for kind, codecs, key in (
        ("compression", tifffile.TIFF.DECOMPRESSORS, page.compression),
        ("predictor", tifffile.TIFF.UNPREDICTORS, page.predictor),
    ):
        try:
            codecs[int(key)]
        except Exception:  # KeyError, ImportError or another, by version and codec
            raise InputError(
                f"{path}: {kind} {getattr(key, 'name', key)} needs the package imagecodecs; accepted: with it, by "
                "pip install 'mtneuro-ray[formats]'"
            ) from None


def _factor(finest: int, coarse: int) -> float:
    ratio = finest / coarse
    return float(round(ratio)) if abs(round(ratio) - ratio) < 0.05 * ratio else ratio


def _read(path: Path, stamp: Stamp | None, level: int, index: Index) -> Voxels:
    """A part of a series of pages, of which each holds the last axes."""
    opened = _opened(path, stamp)
    series = opened.levels[level]
    leading = _leading(series)
    shape, ranges = (
        series.shape,
        [range(*part.indices(length)) for part, length in zip(index, series.shape, strict=True)],
    )
    if leading is None:  # several planes in one page
        key = (path, stamp, level)
        return _decoded.get(key, lambda: _whole(opened, series))[index]
    planes = []
    for place in itertools.product(*ranges[:leading]):
        number = int(np.ravel_multi_index(place, shape[:leading])) if leading else 0
        with opened.lock:
            page = series[number]
        planes.append(_page_part(opened, page, (path, stamp, level, number), index[leading:], shape[leading:]))
    return np.stack(planes).reshape([len(each) for each in ranges])


def _leading(series: Any) -> int | None:
    """Number of axes that count the pages; None where a page holds more than the last axes of the series."""
    for leading in range(series.ndim + 1):
        if math.prod(series.shape[:leading]) == len(series) and math.prod(series.shape[leading:]) == math.prod(
            series.keyframe.shape
        ):
            return leading
    return None


def _whole(opened: _Open, series: Any) -> Voxels:
    with opened.lock:
        return np.asarray(series.asarray()).reshape(series.shape).astype(series.dtype.newbyteorder("="), copy=False)


def _page_part(opened: _Open, page: Any, key: tuple[Any, ...], index: Index, shape: Sequence[int]) -> Voxels:
    """A part of one page; of a grey one only the strips or tiles that hold it are decoded."""
    keyframe = page.keyframe
    if keyframe.samplesperpixel > 1 or keyframe.imagedepth > 1 or len(shape) != 2:

        def whole() -> Voxels:
            with opened.lock:
                return np.asarray(page.asarray()).reshape(shape)

        return _decoded.get(key, whole)[index]
    sides = (keyframe.tilelength, keyframe.tilewidth) if keyframe.is_tiled else (keyframe.rowsperstrip, shape[1])
    sides = (min(sides[0], shape[0]) if not keyframe.is_tiled else sides[0], sides[1])
    across = -(-shape[1] // sides[1])
    wanted = [range(*part.indices(length)) for part, length in zip(index, shape, strict=True)]
    out = np.zeros([len(each) for each in wanted], keyframe.dtype.newbyteorder("="))
    spans = [range(each.start // side, (each.stop - 1) // side + 1) for each, side in zip(wanted, sides, strict=True)]
    for row, column in itertools.product(*spans):
        number = row * across + column
        segment = _decoded.get((*key, number), functools.partial(_segment, opened, page, number))
        if not segment.size:  # a tile that was never written: background
            continue
        corner = (row * sides[0], column * sides[1])
        into, out_of = [], []
        for each, start, length in zip(wanted, corner, segment.shape, strict=True):
            low, high = max(each.start, start), min(each.stop, start + length)
            into.append(slice(low - each.start, high - each.start))
            out_of.append(slice(low - start, high - start))
        out[tuple(into)] = segment[tuple(out_of)]
    return out


def _segment(opened: _Open, page: Any, number: int) -> Voxels:
    """One decoded strip or tile (y, x); empty where the file holds none."""
    count = page.databytecounts[number]
    if not count:
        return np.empty((0, 0), np.uint8)
    data = os.pread(opened.tiff.filehandle.fileno(), count, page.dataoffsets[number])
    if len(data) < count:
        raise ValueError(f"strip or tile {number} is cut short")
    keyframe = page.keyframe
    tables = {"jpegtables": page.jpegtables, "jpegheader": keyframe.jpegheader} if _is_jpeg(keyframe) else {}
    decoded, _, shape = keyframe.decode(data, number, **tables)
    if decoded is None:
        return np.empty((0, 0), np.uint8)
    return np.asarray(decoded)[0, : shape[1], : shape[2], 0]


def _is_jpeg(keyframe: Any) -> bool:
    return int(keyframe.compression) in (6, 7, 33007, 34892)


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
