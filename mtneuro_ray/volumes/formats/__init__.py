"""Formats of single files: each module describes the arrays of a file and says how a part of one is read."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from pathlib import Path

from mtneuro_ray.errors import InputError, SourceError
from mtneuro_ray.volumes.file_set import Stamp, stamp_of
from mtneuro_ray.volumes.formats.contents import Contents

_Describe = Callable[[Path, Stamp | None, str], list[Contents]]

# Suffix -> name in errors, and the module of `describe`.
FORMATS = {
    ".npy": (".npy array", "npy"),
    ".png": ("PNG", "png"),
    ".tif": ("TIFF", "tiff"),
    ".tiff": ("TIFF", "tiff"),
    ".nii": ("NIfTI", "nifti"),
    ".nii.gz": ("NIfTI", "nifti"),
    ".h5": ("HDF5", "hdf5"),
    ".hdf5": ("HDF5", "hdf5"),
    ".hdf": ("HDF5", "hdf5"),
}


def suffix_of(name: str) -> str:
    """The suffix of a file's name among `FORMATS`; empty where it has none of them."""
    return max((suffix for suffix in FORMATS if name.lower().endswith(suffix)), key=len, default="")


def describe(path: Path, part: str = "") -> list[Contents]:
    """The levels of an array of a file, the finest first; only one in most formats.

    Args:
        path: A file with a suffix of `FORMATS`.
        part: Path of the array in a file that holds several.

    Raises:
        InputError: it is damaged, or holds no such array, or none of numbers.
        SourceError: it can't be read.
    """
    return _described(path, stamp_of(path), part)


@functools.lru_cache(maxsize=4096)
def _described(path: Path, stamp: Stamp | None, part: str) -> list[Contents]:
    kind, module = FORMATS[suffix_of(path.name)]
    describe_kind: _Describe = importlib.import_module(f"{__name__}.{module}").describe
    try:
        return describe_kind(path, stamp, part)
    except InputError:
        raise
    except Exception as error:  # a damaged file makes its decoder raise nearly anything
        if isinstance(error, OSError) and error.errno:
            raise SourceError(f"{path}: cannot be read: {error.strerror}") from None
        raise InputError(f"{path}: no readable {kind} ({type(error).__name__}: {error})") from None
