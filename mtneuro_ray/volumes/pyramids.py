"""Which array of an address is read: an array itself, or one level of an OME-Zarr, N5 or precomputed pyramid."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mtneuro_ray.errors import InputError
from mtneuro_ray.volumes.address import Address
from mtneuro_ray.volumes.address_options import AddressOptions
from mtneuro_ray.volumes.array_metadata import ArrayMetadata, choose, dimension_names, multiscale
from mtneuro_ray.volumes.n5_metadata import n5_levels, n5_metadata

# Folders above an array that may describe it as a level.
_PYRAMID_DEPTH = 2
_MOST_SHOWN = 6
_DEPTHS = ("*", "*/*", "*/*/*")
_ARRAY_FILES = (".zarray", "zarr.json", "attributes.json")


@dataclass(frozen=True)
class FoundArray:
    """The array of an address.

    Attributes:
        store: The open tensorstore array, as it is stored.
        address: Address of the array.
        metadata: Names and lengths of its axes.
        level: Its number among the levels, 0 the finest.
        num_levels: Levels at the address.
    """

    store: Any
    address: Address
    metadata: ArrayMetadata
    level: int = 0
    num_levels: int = 1


def find_array(address: Address, options: AddressOptions) -> FoundArray:
    """The array that an address and its options select.

    Raises:
        InputError: there is none, or no such level.
        SourceError: it could not be opened.
    """
    if not address.remote and not Path(address.place).is_dir():
        raise InputError(f"{address.uri}: no such folder")
    if address.scheme == "precomputed":
        levels = _scales(address)
        if not levels:
            raise InputError(f"{address.uri}: no precomputed array there")
        number = choose(levels, options, address.uri)
        return _opened(address, replace(address, scale=number), levels, number)
    is_group = address.scheme == "n5" and "dimensions" not in address.attributes()
    store = None if is_group else address.open(fill=False)
    if store is not None:
        choose([ArrayMetadata()], options, address.uri)
        return FoundArray(store, address, _metadata_of_array(address))
    levels = n5_levels(address) if address.scheme == "n5" else _zarr_levels(address)
    number = choose(levels, options, address.uri)
    return _opened(address, address.at(levels[number].level), levels, number)


def _opened(group: Address, address: Address, levels: Sequence[ArrayMetadata], number: int) -> FoundArray:
    store = address.open(fill=False)
    if store is None:
        inside = [] if group.remote else _arrays_below(Path(group.place))
        hint = f"; accepted: {', '.join(f'{group.uri}/{path}' for path in inside)}" if inside else ""
        # A level that the metadata name is missing; another name was only tried.
        where = address.uri if levels[number].axes else group.uri
        raise InputError(f"{where}: no {group.scheme} array there{hint}")
    return FoundArray(store, address, levels[number], number, len(levels))


def _scales(address: Address) -> list[ArrayMetadata]:
    """The scales of a precomputed volume; their voxel sizes are given in nanometers, x first."""
    scales = address.attributes().get("scales")
    try:
        return [
            ArrayMetadata(
                ("x", "y", "z", "c"),
                (*(float(side) / 1000 for side in scale["resolution"]), 0.0),
                level=str(scale["key"]).strip("/"),
            )
            for scale in scales or []
        ]
    except Exception as error:  # metadata by others may be of any type
        raise InputError(f"{address.uri}/info: scales: unusable ({type(error).__name__}: {error})") from None


def _zarr_levels(address: Address) -> list[ArrayMetadata]:
    attributes = address.attributes()
    levels = multiscale(attributes, address.uri)
    if levels:
        return levels
    about = attributes.get("ome", attributes)
    if isinstance(about, dict) and "plate" in about:
        raise InputError(f"{address.uri}: is a plate of images; accepted: one of them, such as {address.uri}/A/1/0")
    # bioformats2raw writes the images of a file as groups 0, 1, ...
    first = address.at("0")
    images = multiscale(first.attributes(), first.uri)
    if images and multiscale(address.at("1").attributes(), address.at("1").uri):
        raise InputError(f"{address.uri}: holds several images; accepted: one of {first.uri}, {address.uri}/1, ...")
    if images:
        return [replace(each, level=f"0/{each.level}") for each in images]
    return [ArrayMetadata(level="s0" if address.at("0").open(fill=False) is None else "0")]


def _metadata_of_array(address: Address) -> ArrayMetadata:
    """Metadata of an array in the pyramid above it, else in its own attributes."""
    if address.scheme == "n5":
        return n5_metadata(address, next((parent for parent, _ in address.parents(1)), address))
    for parent, path in address.parents(_PYRAMID_DEPTH):
        for level in multiscale(parent.attributes(), parent.uri):
            if level.level == path:
                return level
    return ArrayMetadata(dimension_names(address.attributes(), address.uri))


def _arrays_below(folder: Path) -> list[str]:
    """Paths of the first arrays below a folder, for an error."""
    found = itertools.chain.from_iterable(folder.glob(f"{depth}/{name}") for depth in _DEPTHS for name in _ARRAY_FILES)
    arrays = (
        path
        for path in found
        if path.name == ".zarray" or b'"shape"' in (text := path.read_bytes()) or b'"dimensions"' in text
    )
    return sorted(str(path.parent.relative_to(folder)) for path in itertools.islice(arrays, _MOST_SHOWN))
