"""Names of axes, levels and voxel sizes of chunked arrays, from the metadata of OME-Zarr, xarray and N5."""

from __future__ import annotations

import functools
import logging
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from mtneuro_ray.errors import InputError
from mtneuro_ray.volumes.address_options import AddressOptions, Micrometers
from mtneuro_ray.volumes.axes import is_size, short

logger = logging.getLogger(__name__)

_MOST_SHOWN = 6
# Micrometers of one unit, under the names of OME-Zarr (UDUNITS) and the short ones that tensorstore gives.
_MICROMETERS = {
    **dict.fromkeys(("picometer", "pm"), 1e-6),
    **dict.fromkeys(("angstrom", "A"), 1e-4),
    **dict.fromkeys(("nanometer", "nm"), 1e-3),
    **dict.fromkeys(("micrometer", "micron", "um", "\u00b5m", "\u03bcm"), 1.0),
    **dict.fromkeys(("millimeter", "mm"), 1e3),
    **dict.fromkeys(("centimeter", "cm"), 1e4),
    **dict.fromkeys(("meter", "m"), 1e6),
}
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ArrayMetadata:
    """Names and lengths of the axes of an array, from the metadata around it, one entry per axis of the array.

    Attributes:
        axes: Names, in lower case; empty where they are not named.
        scale_um: Voxel size in micrometers, 0 along axes that are no space; empty where it is not known.
        origin_um: Position of the first voxel in micrometers; empty where it is not known.
        level: Path of the array below the group that the metadata describe.
    """

    axes: tuple[str, ...] = ()
    scale_um: tuple[float, ...] = ()
    origin_um: tuple[float, ...] = ()
    level: str = ""


def multiscale(attributes: Any, where: str) -> list[ArrayMetadata]:
    """The OME-Zarr metadata of every level of a group, the finest first; empty where the group has none.

    Args:
        attributes: Attributes of the group, version 0.1 to 0.5 of OME-Zarr.
        where: Address of the group, for errors.

    Raises:
        InputError: the metadata are not as OME-Zarr has them.
    """

    def parse() -> list[ArrayMetadata]:
        found = attributes.get("ome", attributes).get("multiscales") or []
        datasets = (found[0].get("datasets") or []) if found else []
        if not datasets:
            return []
        axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in found[0].get("axes") or []]
        if not axes and str(found[0].get("version")) in ("0.1", "0.2"):
            axes = [{"name": name} for name in "tczyx"]  # fixed until version 0.3
        names = short([axis["name"] for axis in axes])
        units = [axis.get("unit") for axis in axes]
        placed = []
        for dataset in datasets:
            steps = [step for each in (dataset, found[0]) for step in each.get("coordinateTransformations") or []]
            placed.append(_transformed(steps, len(axes)))
        factors = _factors(names, units, placed[0][0])
        if factors and any(unit is None and name in ("z", "y", "x") for unit, name in zip(units, names, strict=True)):
            _say_assumed(where)
        levels = []
        for dataset, (scale, origin) in zip(datasets, placed, strict=True):
            path = str(dataset["path"]).strip("/")
            sizes, starts = (tuple(map(operator.mul, factors, lengths)) for lengths in (scale, origin))
            levels.append(ArrayMetadata(names, sizes, starts, path) if factors else ArrayMetadata(names, level=path))
        return levels

    return _parsed(parse, f"{where}: multiscales")


def choose(levels: Sequence[ArrayMetadata], options: AddressOptions, where: str) -> int:
    """The number of the level that the options select; the finest by default.

    Raises:
        InputError: there is no such level, or its voxel size is not known.
    """
    wanted, paths = options.level, [each.level for each in levels]
    if options.target_um is not None:
        return nearest_level([_sizes(each) for each in levels], options.target_um, where)
    if wanted is None:
        return 0
    if wanted in paths and not wanted.isdecimal():
        return paths.index(wanted)
    if wanted.isdecimal() and int(wanted) < len(levels):
        return int(wanted)
    named = f" or {', '.join(paths[:_MOST_SHOWN])}" if any(paths) else ""
    raise InputError(f"{where}: level: {wanted}; accepted: 0 to {len(levels) - 1}{named}")


def nearest_level(sizes: Sequence[Micrometers | None], target_um: Micrometers, where: str) -> int:
    """The number of the level whose voxel size differs least from a target, as a factor; the finest of equals.

    Raises:
        InputError: voxel sizes are not known.
    """
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        raise InputError(f"{where}: target_um: its metadata give no voxel size; accepted: ?level=0 to {len(sizes) - 1}")

    def distance(size: Micrometers) -> float:
        return sum(math.log(own / wanted) ** 2 for own, wanted in zip(size, target_um, strict=True))

    return min(range(len(known)), key=lambda number: distance(known[number]))


def dimension_names(attributes: Any, where: str) -> tuple[str, ...]:
    """Names of the axes in `_ARRAY_DIMENSIONS`, where xarray writes them in Zarr 2; empty without that attribute.

    Raises:
        InputError: they are no list of names.
    """
    return _parsed(
        lambda: tuple(name.lower() for name in attributes.get("_ARRAY_DIMENSIONS", [])), f"{where}: _ARRAY_DIMENSIONS"
    )


def micrometers_of(name: str) -> float | None:
    """Micrometers of one unit of length by its name or sign; None where it is no length."""
    return _MICROMETERS.get(name.strip()) or _MICROMETERS.get(name.strip().lower().removesuffix("s"))


def micrometers_of_unit(unit: Any) -> float | None:
    """Voxel size in micrometers of a tensorstore unit; None where it is no length."""
    if unit is None or unit.base_unit not in _MICROMETERS:
        return None
    return float(unit.multiplier) * _MICROMETERS[unit.base_unit]


def _sizes(level: ArrayMetadata) -> Micrometers | None:
    named = dict(zip(level.axes or "xyz", level.scale_um, strict=False))
    if not {"z", "y", "x"} <= set(named):
        return None
    found = (named["z"], named["y"], named["x"])
    return found if is_size(found) else None


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


def _factors(names: Sequence[str], units: Sequence[Any], finest: Sequence[float]) -> list[float]:
    """Micrometers of one unit along each axis, 0 along axes that are no space; empty where they are not known.

    Sizes without a unit are micrometers, unless all of the finest level are 1: that is the default, not a size.
    """
    space = [axis for axis, name in enumerate(names) if name in ("z", "y", "x")]
    if not space or all(units[axis] is None and finest[axis] == 1.0 for axis in space):
        return []
    factors = [0.0] * len(names)
    for axis in space:
        factors[axis] = 1.0 if units[axis] is None else _MICROMETERS.get(units[axis], 0.0)
    return factors if all(factors[axis] * finest[axis] > 0 for axis in space) else []


@functools.cache
def _say_assumed(where: str) -> None:
    """Once in a process: the metadata are read more than once."""
    logger.warning("%s: names no unit of its voxel size; micrometers are assumed, ?voxel_size= says otherwise", where)


def _parsed(parse: Callable[[], _T], what: str) -> _T:
    """The result of `parse`, or one line: metadata by others may be of any type."""
    try:
        return parse()
    except Exception as error:
        raise InputError(f"{what}: unusable ({type(error).__name__}: {error}); accepted: as OME-Zarr has it") from None
