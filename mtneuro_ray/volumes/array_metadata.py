"""Names of axes, level and voxel size of a Zarr array, from OME-Zarr and xarray metadata."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from mtneuro_ray.errors import InputError

# Micrometers of one unit, under the names of OME-Zarr (UDUNITS) and the short ones that tensorstore gives.
_MICROMETERS = {
    **dict.fromkeys(("angstrom", "A"), 1e-4),
    **dict.fromkeys(("nanometer", "nm"), 1e-3),
    **dict.fromkeys(("micrometer", "micron", "um", "\u00b5m", "\u03bcm"), 1.0),
    **dict.fromkeys(("millimeter", "mm"), 1e3),
    **dict.fromkeys(("centimeter", "cm"), 1e4),
    **dict.fromkeys(("meter", "m"), 1e6),
}
_T = TypeVar("_T")
# Names that libraries give to axes that nobody named.
_UNNAMED = re.compile(r"((phony_)?dim_?|axis_?)?\d*")


@dataclass(frozen=True, slots=True)
class ArrayMetadata:
    """Names and lengths of the axes of an array, from the metadata around it, one entry per axis of the array.

    Attributes:
        axes: Names, in lower case; empty where they are not named.
        scale_um: Voxel size in micrometers; empty where it is not known.
        origin_um: Position of the first voxel in micrometers; empty where it is not known.
        level: Path of the array below the group that the metadata describe.
    """

    axes: tuple[str, ...] = ()
    scale_um: tuple[float, ...] = ()
    origin_um: tuple[float, ...] = ()
    level: str = ""


def multiscale(attributes: Any, where: str, level: str | None = None) -> ArrayMetadata | None:
    """The OME-Zarr metadata of one level of a group; None where the group has none or lacks that level.

    Args:
        attributes: Attributes of the group, version 0.1 to 0.5 of OME-Zarr.
        where: Address of the group, for errors.
        level: Path of the level; the first, which is the finest, by default.

    Raises:
        InputError: the metadata are not as OME-Zarr has them.
    """

    def parse() -> ArrayMetadata | None:
        found = attributes.get("ome", attributes).get("multiscales") or []
        datasets = (found[0].get("datasets") or []) if found else []
        chosen = [each for each in datasets if level is None or each["path"].strip("/") == level][:1]
        if not chosen:
            return None
        axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in found[0].get("axes") or []]
        names = tuple(axis["name"].lower() for axis in axes)
        path = str(chosen[0]["path"]).strip("/")
        steps = [step for each in (chosen[0], found[0]) for step in each.get("coordinateTransformations") or []]
        scale, origin = _transformed(steps, len(axes))
        units = [_micrometers(axis.get("unit"), size) for axis, size in zip(axes, scale, strict=True)]
        known = [unit for unit in units if unit is not None]
        if not steps or len(known) < len(units):
            return ArrayMetadata(names, level=path)
        sizes, starts = (tuple(map(operator.mul, known, lengths)) for lengths in (scale, origin))
        return ArrayMetadata(names, sizes, starts, path)

    return _parsed(parse, f"{where}: multiscales")


def dimension_names(attributes: Any, where: str) -> tuple[str, ...]:
    """Names of the axes in `_ARRAY_DIMENSIONS`, where xarray writes them in Zarr 2; empty without that attribute.

    Raises:
        InputError: they are no list of names.
    """
    return _parsed(
        lambda: tuple(name.lower() for name in attributes.get("_ARRAY_DIMENSIONS", [])), f"{where}: _ARRAY_DIMENSIONS"
    )


def named(axes: Sequence[str]) -> bool:
    """Whether axes have names that somebody gave them."""
    return not all(_UNNAMED.fullmatch(name) for name in axes)


def micrometers_of_unit(unit: Any) -> float | None:
    """Voxel size in micrometers of a tensorstore unit; None where it is no length."""
    if unit is None or unit.base_unit not in _MICROMETERS:
        return None
    return float(unit.multiplier) * _MICROMETERS[unit.base_unit]


def _transformed(steps: Sequence[Any], rank: int) -> tuple[list[float], list[float]]:
    """Scale and translation of all transformations, one after the other."""
    scale, origin = [1.0] * rank, [0.0] * rank
    for step in steps:
        if step["type"] == "scale":
            factors = [float(each) for each in step["scale"]]
            scale = [old * new for old, new in zip(scale, factors, strict=True)]
            origin = [old * new for old, new in zip(origin, factors, strict=True)]
        elif step["type"] == "translation":
            origin = [old + float(new) for old, new in zip(origin, step["translation"], strict=True)]
    return scale, origin


def _micrometers(unit: Any, size: float) -> float | None:
    """Micrometers of one unit. Sizes without a unit are micrometers, but 1 is unknown (None): it is the default."""
    if unit is None:
        return None if size == 1.0 else 1.0
    return _MICROMETERS.get(unit)


def _parsed(parse: Callable[[], _T], what: str) -> _T:
    """The result of `parse`, or one line: metadata by others may be of any type."""
    try:
        return parse()
    except Exception as error:
        raise InputError(f"{what}: unusable ({type(error).__name__}: {error}); accepted: as OME-Zarr has it") from None
