"""HDF5, read with h5py: one data set of a file, `x.h5#/path`, chunk by chunk."""

from __future__ import annotations

import functools
import importlib
import json
import logging
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from mtneuro_ray.errors import InputError
from mtneuro_ray.volumes.array_metadata import ArrayMetadata
from mtneuro_ray.volumes.axes import short
from mtneuro_ray.volumes.file_set import Stamp
from mtneuro_ray.volumes.formats.contents import Contents, Index, needed
from mtneuro_ray.volumes.source import Voxels, voxel_type

_MOST_SHOWN = 8
_SPACE = ("z", "y", "x")

logger = logging.getLogger(__name__)


def describe(path: Path, stamp: Stamp | None, part: str) -> list[Contents]:
    """The data set of a path, or the only one of 2 to 4 axes."""
    h5py = needed("h5py", path)
    with suppress(ImportError):
        importlib.import_module("hdf5plugin")  # more compressions, where it is installed
    with h5py.File(path, "r", locking=False) as file:
        name = part or _only_data_set(h5py, file, path)
        found = file.get(name)
        if not isinstance(found, h5py.Dataset):
            raise InputError(f"{path}#{name}: no such data set; accepted: {_listed(_data_sets(h5py, file))}")
        where = f"{path}#{found.name}"
        if found.is_virtual or found.external or Path(found.file.filename) != Path(file.filename):
            raise InputError(
                f"{where}: its voxels lie in other files; accepted: a data set with its voxels in the file"
            )
        dtype = voxel_type(found.dtype, where)
        if found.ndim < 2 or found.size == 0:
            raise InputError(
                f"{where}: a data set of shape {found.shape}; accepted: axes z, y, x or y, x, and channels"
            )
        _check_filters(h5py, found, where)
        _check_chunks(found, where)
        axes = _axes(found)
        metadata = ArrayMetadata(axes, _spacing(found, axes))
        read = functools.partial(_read, path, found.name)
        return [Contents(found.shape, dtype, read, metadata, part=found.name, chunks=found.chunks or ())]


def _read(path: Path, name: str, index: Index) -> Voxels:
    h5py = needed("h5py", path)
    with h5py.File(path, "r", locking=False) as file:
        voxels: Voxels = file[name][index]
        return voxels


def _data_sets(h5py: Any, file: Any) -> dict[str, Any]:
    """Path -> data set with numbers."""
    found: dict[str, Any] = {}

    def visit(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset) and node.dtype.kind in "biuf" and node.ndim >= 2:
            found[f"/{name}"] = node

    file.visititems(visit)
    return found


def _only_data_set(h5py: Any, file: Any, path: Path) -> str:
    found = _data_sets(h5py, file)
    volumes = [name for name, node in found.items() if 2 <= node.ndim <= 4]
    if len(volumes) != 1:
        raise InputError(
            f"{path}: {len(volumes)} data sets of 2 to 4 axes; accepted: {path}#PATH, PATH of {_listed(found)}"
        )
    return volumes[0]


def _listed(found: dict[str, Any]) -> str:
    names = [f"{name} ({' x '.join(map(str, node.shape))} {node.dtype})" for name, node in found.items()]
    return (
        ", ".join(names[:_MOST_SHOWN]) + (", ..." if len(names) > _MOST_SHOWN else "")
        if names
        else "none: it has no arrays"
    )


def _check_filters(h5py: Any, found: Any, where: str) -> None:
    properties = found.id.get_create_plist()
    for number in range(properties.get_nfilters()):
        code, _, _, name = properties.get_filter(number)
        if not h5py.h5z.filter_avail(code):
            raise InputError(
                f"{where}: compressed with filter {code} ({name.decode(errors='replace')}); accepted: gzip, lzf, szip, "
                "and others where the package hdf5plugin is installed"
            )


def _check_chunks(found: Any, where: str) -> None:
    if found.id.get_storage_size() == 0:
        raise InputError(f"{where}: none of its voxels is stored; accepted: a data set that was written")
    if found.chunks is None:
        return
    total = math.prod(-(-length // side) for length, side in zip(found.shape, found.chunks, strict=True))
    missing = total - found.id.get_num_chunks()
    if missing > 0:
        logger.warning("%s: %d of %d chunks are not stored and read as the fill value", where, missing, total)


def _axes(found: Any) -> tuple[str, ...]:
    """Names of the dimensions, else ilastik's `axistags`; empty where there are none."""
    labels = [dimension.label for dimension in found.dims]
    if all(labels):
        return short(labels)
    tags = found.attrs.get("axistags")
    return short([axis["key"] for axis in json.loads(tags)["axes"]]) if tags else ()


def _spacing(found: Any, axes: tuple[str, ...]) -> tuple[float, ...]:
    """`element_size_um`, a value for each axis of space in their order in the array."""
    values = np.ravel(found.attrs.get("element_size_um", ()))
    if len(values) == found.ndim:
        return tuple(float(value) for value in values)
    space = [axis for axis, name in enumerate(axes) if name in _SPACE] if axes else list(range(found.ndim))[-3:]
    if len(values) != len(space):
        return ()
    sizes = dict(zip(space, map(float, values), strict=True))
    return tuple(sizes.get(axis, 0.0) for axis in range(found.ndim))
