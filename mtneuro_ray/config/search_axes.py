"""Axes of a search: the values of one key of the network, as a list or as a range to draw from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, WrapValidator

from mtneuro_ray.config.base import Settings, shortened, types_in
from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.errors import InputError

Scalar = bool | int | float | str
Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e15, le=1e15)]

# Each combination of axes is checked before anything runs.
_MOST_CANDIDATES = 100_000
# Enough for any batch size; each value of such a range is checked in every combination.
_MOST_WHOLE_NUMBERS = 256


class Range(Settings):
    """Numbers from `low` to `high`, both included."""

    low: Number
    high: Number
    log: bool = False
    """Whether the logarithm of the value is uniform. Not for whole numbers."""
    step: Annotated[int, Field(ge=1, le=10**9)] | None = None
    """Step of whole numbers, counted from `low`; 1 by default."""
    whole: bool = False
    """Whether the values are whole numbers. Derived from the type of the key when a sweep is read."""

    @property
    def values(self) -> range | None:
        """The values of a range of whole numbers."""
        return range(int(self.low), int(self.high) + 1, self.step or 1) if self.whole else None

    def rounded(self, value: float) -> float:
        """The value with four significant digits, within the range."""
        return min(max(float(f"{value:.4g}"), self.low), self.high)


_LIST: TypeAdapter[tuple[Scalar, ...]] = TypeAdapter(
    Annotated[tuple[Scalar, ...], Field(min_length=1, max_length=10_000)]
)


def _parsed(value: Any, union: Any) -> tuple[Scalar, ...] | Range:
    # pydantic's own union would name its members in every error.
    return Range.model_validate(value) if isinstance(value, dict) else _LIST.validate_python(value)


Axis = Annotated[tuple[Scalar, ...] | Range, WrapValidator(_parsed)]


def searchable(network: NetworkSettings) -> list[str]:
    """Paths of the keys that can be search axes: not seeds, tables, lists, nor names that select other keys."""
    fixed = ("name", "seed", "classes", "model.name", "model.in_channels", "model.dim", "method.name")
    fields = network.keys.fields.items()
    return [path for path, kind in fields if path not in fixed and not {tuple, dict, list} & {*types_in(kind)}]


def resolved(network: NetworkSettings, axes: dict[str, Any], where: str) -> dict[str, tuple[Scalar, ...] | Range]:
    """Axes by the shortest unique name of their key, with ranges of whole numbers marked.

    Raises:
        InputError: a key is unknown or cannot take such values, or there are too many combinations.
    """
    accepted = searchable(network)
    found: dict[str, tuple[Scalar, ...] | Range] = {}
    for key, axis in axes.items():
        here = f"{where}: search.axes.{key}"
        path = network.keys.path_of(key, here)
        if path not in accepted:
            shown = ", ".join(sorted(network.keys.short(other) for other in accepted))
            raise InputError(f"{here}: can't be searched; accepted: {shown}")
        short = network.keys.short(path)
        if short in found:
            raise InputError(f"{here}: stands twice, by its path and by its last part; accepted: once")
        types = {*types_in(network.keys.fields[path])}
        found[short] = _checked_range(types, axis, here) if isinstance(axis, Range) else axis
    check_number(found, where)
    return found


def check_number(axes: Mapping[str, tuple[Scalar, ...] | Range], where: str) -> None:
    """Check the number of combinations of axes.

    Raises:
        InputError: there are too many to enumerate.
    """
    points = math.prod(len(checked_values(axis)) for axis in axes.values())
    if points > _MOST_CANDIDATES:
        raise InputError(
            f"{where}: search.axes: have {points} combinations; accepted: at most {_MOST_CANDIDATES}, by fewer values "
            "or larger steps"
        )


def check_axis(axis: tuple[Scalar, ...] | Range, where: str) -> None:
    """Check an axis without knowing its key.

    Raises:
        InputError: a value stands twice, or a range is empty.
    """
    if not isinstance(axis, Range):
        if len({(type(value), value) for value in axis}) < len(axis):
            raise InputError(f"{where}: a value stands twice; accepted: distinct values")
    elif axis.low >= axis.high:
        raise InputError(f"{where}.high: is {axis.high:g}, not above low; accepted: more than {axis.low:g}")


def _checked_range(types: set[type], axis: Range, where: str) -> Range:
    if not types & {int, float}:
        raise InputError(f"{where}: is a range, which this key can't be; accepted: a list of values")
    if float in types:
        if axis.step is not None:
            raise InputError(f"{where}.step: belongs to whole numbers; accepted: leave it out, or a list of values")
        if axis.log and axis.low <= 0:
            raise InputError(f"{where}.low: is {axis.low:g}, which has no logarithm; accepted: more than 0")
        return axis
    for end in ("low", "high"):
        if not getattr(axis, end).is_integer():
            raise InputError(f"{where}.{end}: is {shortened(getattr(axis, end))}; accepted: a whole number")
    if axis.log:
        raise InputError(f"{where}.log: is not for whole numbers; accepted: leave it out, or a list of values")
    whole = axis.model_copy(update={"whole": True})
    count = len(whole.values or ())
    if count > _MOST_WHOLE_NUMBERS:
        raise InputError(
            f"{where}.step: leaves {count} values; accepted: a step that leaves at most {_MOST_WHOLE_NUMBERS}"
        )
    return whole


def choices(axis: tuple[Scalar, ...] | Range) -> tuple[Scalar, ...] | range | Range:
    """The possible values of an axis; a range of real numbers is returned as it is."""
    return axis.values or axis if isinstance(axis, Range) else axis


def checked_values(axis: tuple[Scalar, ...] | Range) -> list[Scalar]:
    """Values that stand for the whole axis in checks: all of them, or both ends of a range of real numbers."""
    values = choices(axis)
    return [values.low, values.high] if isinstance(values, Range) else list(values)


def draw(axis: tuple[Scalar, ...] | Range, random: Random) -> Scalar:
    """A random value of the axis."""
    values = choices(axis)
    if not isinstance(values, Range):
        return random.choice(values)
    if values.log:
        return values.rounded(math.exp(random.uniform(math.log(values.low), math.log(values.high))))
    return values.rounded(random.uniform(values.low, values.high))
