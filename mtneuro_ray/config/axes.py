"""Axes of a search: the values that one key of the network takes, as a list or as a range to draw from."""

from __future__ import annotations

import math
from random import Random
from typing import Annotated, Any, get_args

from pydantic import Field, TypeAdapter, WrapValidator

from mtneuro_ray.config.base import Settings
from mtneuro_ray.config.network import NetworkSettings, SslSettings
from mtneuro_ray.errors import InputError

Scalar = bool | int | float | str
Number = Annotated[float, Field(allow_inf_nan=False)]

# Enough for any batch size; every value of such a range is checked beforehand, in every combination.
_MOST_WHOLE_NUMBERS = 256


class Range(Settings):
    """Numbers between two ends, both of which belong to it."""

    low: Number
    high: Number
    log: bool = False
    """Whether each factor, and not each difference, is equally likely. Not for whole numbers."""
    step: Annotated[int, Field(ge=1)] | None = None
    """Distance of whole numbers, counted from `low`; 1 by default."""

    @property
    def whole_numbers(self) -> range:
        """Its values, where the key takes whole numbers."""
        return range(int(self.low), int(self.high) + 1, self.step or 1)

    def rounded(self, value: float) -> float:
        """A value within it that a table can show: four significant digits, or an end."""
        return min(max(float(f"{value:.4g}"), self.low), self.high)


_LIST = TypeAdapter(Annotated[tuple[Scalar, ...], Field(min_length=1)])


def _parsed(value: Any, union: Any) -> tuple[Scalar, ...] | Range:
    """A list or a range. The `union` that they make would name its members in every error."""
    return Range.model_validate(value) if isinstance(value, dict) else _LIST.validate_python(value)


Axis = Annotated[tuple[Scalar, ...] | Range, WrapValidator(_parsed)]


def _types(annotation: Any) -> set[type]:
    """The types that an annotation is made of."""
    own = {annotation} if isinstance(annotation, type) else set()
    return own.union(*(_types(argument) for argument in get_args(annotation)))


_TYPES = {
    **{key: _types(field.annotation) for key, field in NetworkSettings.model_fields.items()},
    **{f"ssl.{key}": _types(field.annotation) for key, field in SslSettings.model_fields.items()},
}
# A seed is no choice, a name is none either, and a table is more than one value.
SEARCHABLE = sorted(
    key
    for key, types in _TYPES.items()
    if key not in {"seed", "name", "ssl.transform"} and not any(issubclass(each, Settings) for each in types)
)


def _is_whole(key: str) -> bool:
    return float not in _TYPES[key]


def check_axis(key: str, axis: tuple[Scalar, ...] | Range, where: str) -> None:
    """Check an axis against the network's keys.

    Raises:
        InputError: the network has no such key, or the key can't take such values.
    """
    if key not in SEARCHABLE:
        raise InputError(f"{where}: unknown key; accepted: {', '.join(SEARCHABLE)}")
    if isinstance(axis, Range):
        _check_range(key, axis, where)
    elif len(set(axis)) < len(axis):
        raise InputError(f"{where}: a value stands twice; accepted: distinct values")


def _check_range(key: str, axis: Range, where: str) -> None:
    if not _TYPES[key] & {int, float}:
        raise InputError(f"{where}: is a range, which this key can't be; accepted: a list of values")
    if axis.low >= axis.high:
        raise InputError(f"{where}.high: is {axis.high:g}, not above low; accepted: more than {axis.low:g}")
    if not _is_whole(key):
        if axis.step is not None:
            raise InputError(f"{where}.step: belongs to whole numbers; accepted: leave it out, or a list of values")
        if axis.log and axis.low <= 0:
            raise InputError(f"{where}.low: is {axis.low:g}, which has no logarithm; accepted: more than 0")
        return
    for end in ("low", "high"):
        if not getattr(axis, end).is_integer():
            raise InputError(f"{where}.{end}: is {getattr(axis, end):g}; accepted: a whole number")
    if axis.log:
        raise InputError(f"{where}.log: is not for whole numbers; accepted: leave it out, or a list of values")
    if len(axis.whole_numbers) > _MOST_WHOLE_NUMBERS:
        raise InputError(
            f"{where}.step: leaves {len(axis.whole_numbers)} values; accepted: a step that leaves at most "
            f"{_MOST_WHOLE_NUMBERS}"
        )


def choices(key: str, axis: tuple[Scalar, ...] | Range) -> tuple[Scalar, ...] | range | Range:
    """What one value is taken from: values, whole numbers, or a range that holds every number between its ends."""
    return axis.whole_numbers if isinstance(axis, Range) and _is_whole(key) else axis


def checked_values(key: str, axis: tuple[Scalar, ...] | Range) -> list[Scalar]:
    """Values such that a network which takes them takes every value of the axis, too."""
    values = choices(key, axis)
    return [values.low, values.high] if isinstance(values, Range) else list(values)


def draw(key: str, axis: tuple[Scalar, ...] | Range, random: Random) -> Scalar:
    """A value of the axis, chance deciding."""
    values = choices(key, axis)
    if not isinstance(values, Range):
        return random.choice(values)
    if values.log:
        return values.rounded(math.exp(random.uniform(math.log(values.low), math.log(values.high))))
    return values.rounded(random.uniform(values.low, values.high))
