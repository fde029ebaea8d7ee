"""Paths of this machine, where an address of a volume is wanted."""

from __future__ import annotations

import os
from pathlib import Path


def address_of(text: str) -> str:
    """The address of a volume that is named by its address or by a path of this machine, with or without a query.

    What a folder holds says its scheme: the metadata files of Zarr, N5 or precomputed, else slices. Behind a file and
    a # stands the path of an array in it.
    """
    place, mark, query = text.partition("?")
    path = Path(os.path.expanduser(place))
    if not path.exists():
        file, number, part = place.partition("#")
        path, mark = Path(os.path.expanduser(file)), f"{number}{part}{mark}"
    if not path.exists() or (path.is_dir() and "#" in mark):
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
