"""Paths of this machine, where an address of a volume is wanted."""

from __future__ import annotations

import os
from pathlib import Path

from mtneuro_ray.errors import InputError


def address_of(text: str) -> str:
    """The address of a volume that is named by its address or by a path of this machine, with or without a query.

    What a folder holds says its scheme: the metadata files of Zarr, N5 or precomputed, else slices. Behind a file and
    a # stands the path of an array in it.

    Raises:
        InputError: it has no scheme, and there is nothing of that name.
    """
    place, mark, query = text.partition("?")
    path = Path(os.path.expanduser(place))
    if not path.exists():
        file, number, part = place.partition("#")
        path, mark = Path(os.path.expanduser(file)), f"{number}{part}{mark}"
    if not path.exists() or (path.is_dir() and "#" in mark):
        if ":" not in place:
            raise InputError(f"{text}: no such file or folder; accepted: one of this machine, or SCHEME:ADDRESS")
        return text
    scheme = "file:"
    if path.is_dir():
        kinds = {
            "zarr://": (".zarray", ".zgroup", ".zattrs", "zarr.json"),
            "n5://": ("attributes.json",),
            "precomputed://": ("info",),
        }
        scheme = next(
            (kind for kind, names in kinds.items() if any((path / name).is_file() for name in names)), "file:"
        )
    return f"{scheme}{os.path.abspath(path)}{mark}{query}"
