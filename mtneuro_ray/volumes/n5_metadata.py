"""Levels and voxel sizes of N5, as n5-viewer, COSEM and tensorstore write them; N5 itself defines neither.

Axes stand in the order of the `dimensions` attribute, which is x first by convention.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from mtneuro_ray.errors import InputError
from mtneuro_ray.volumes.address import Address
from mtneuro_ray.volumes.array_metadata import ArrayMetadata, micrometers_of
from mtneuro_ray.volumes.axes import short

_MOST_LEVELS = 32


def n5_levels(address: Address) -> list[ArrayMetadata]:
    """The levels of a group, the finest first: those of COSEM's `multiscales`, else the data sets s0, s1, ...

    Raises:
        InputError: the attributes are unusable.
        SourceError: they could not be read.
    """
    named = address.attributes().get("multiscales")
    try:
        paths = [str(dataset["path"]).strip("/") for dataset in named[0]["datasets"]] if named else []
    except Exception as error:  # attributes by others may be of any type
        raise InputError(f"{address.uri}: multiscales: unusable ({type(error).__name__}: {error})") from None
    if not paths:
        numbered = (f"s{number}" for number in range(_MOST_LEVELS))
        paths = list(itertools.takewhile(lambda path: "dimensions" in address.at(path).attributes(), numbered))
    return [n5_metadata(address.at(path), address, path) for path in paths or ["s0"]]


def n5_metadata(address: Address, group: Address, level: str = "") -> ArrayMetadata:
    """Voxel size and names of axes of a data set, from its attributes and those of the group of its levels.

    `resolution` with `units` of the data set itself is left to tensorstore.

    Raises:
        InputError: the attributes are unusable.
        SourceError: they could not be read.
    """
    own, around = address.attributes(), group.attributes()
    try:
        if "transform" in own:
            return _of_transform(own["transform"], level)
        # Every level repeats the size of the finest beside its factors.
        finest = _pixel_resolution(own) or _pixel_resolution(around)
        factors = own.get("downsamplingFactors")
        if not finest and factors:
            finest = _with_units(around)
        if not finest:
            return ArrayMetadata(level=level)
        steps = [float(each) for each in factors or [1] * len(finest)]
        sizes = tuple(size * step for size, step in zip(finest, steps, strict=True))
        # The middle of a coarse voxel lies between those of the fine ones that it averages.
        origin = tuple(size * (step - 1) / 2 for size, step in zip(finest, steps, strict=True))
    except Exception as error:  # attributes by others may be of any type
        raise InputError(f"{address.uri}: attributes: unusable ({type(error).__name__}: {error})") from None
    return ArrayMetadata((), sizes, origin, level)


def _of_transform(transform: Mapping[str, Any], level: str) -> ArrayMetadata:
    """COSEM's `transform` stands in the order z, y, x, the reverse of `dimensions`."""
    axes = short(transform["axes"])[::-1]
    factors = [micrometers_of(unit) for unit in transform["units"]][::-1]
    scale, translate = (
        tuple(float(each) * (factor or 0.0) for each, factor in zip(transform[key][::-1], factors, strict=True))
        for key in ("scale", "translate")
    )
    return ArrayMetadata(axes, scale, translate, level) if all(scale) else ArrayMetadata(axes, level=level)


def _pixel_resolution(attributes: Mapping[str, Any]) -> list[float]:
    """The voxel size of n5-viewer, in micrometers where it names no unit; empty where there is none."""
    found = attributes.get("pixelResolution") or []
    unit = "um"
    if isinstance(found, Mapping):
        unit, found = str(found.get("unit", unit)), found["dimensions"]
    factor = micrometers_of(unit)
    return [float(size) * factor for size in found] if factor else []


def _with_units(attributes: Mapping[str, Any]) -> list[float]:
    units = [micrometers_of(unit) for unit in attributes.get("units", [])]
    sizes = attributes.get("resolution", [])
    return [float(size) * unit for size, unit in zip(sizes, units, strict=True) if unit] if all(units) else []
