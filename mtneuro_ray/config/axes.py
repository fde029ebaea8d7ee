"""Axes of a search: the values that one key of the network takes, as a list or as a range to draw from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random
from typing import Annotated, Any, get_args, get_origin

from pydantic import Field, TypeAdapter, WrapValidator

from mtneuro_ray.config.base import Settings, shortened
from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.errors import InputError

Scalar = bool | int | float | str
Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e15, le=1e15)]

# Combinations of axes that are enumerated beforehand.
_MOST_CANDIDATES = 100_000
# Enough for any batch size; every value of such a range is checked beforehand, in every combination.
_MOST_WHOLE_NUMBERS = 256


class Range(Settings):
    """Numbers between two ends, both of which belong to it."""

    low: Number
    high: Number
    log: bool = False
    """Whether each factor, and not each difference, is equally likely. Not for whole numbers."""
    step: Annotated[int, Field(ge=1, le=10**9)] | None = None
    """Distance of whole numbers, counted from `low`; 1 by default."""
    whole: bool = False
    """Whether its values are whole numbers; the type of the key decides when a sweep is read."""

    @property
    def values(self) -> range | None:
        """Its values, where they are whole numbers."""
        return range(int(self.low), int(self.high) + 1, self.step or 1) if self.whole else None

    def rounded(self, value: float) -> float:
        """A value within it that a table can show: four significant digits, or an end."""
        return min(max(float(f"{value:.4g}"), self.low), self.high)


_LIST = TypeAdapter(Annotated[tuple[Scalar, ...], Field(min_length=1, max_length=10_000)])


def _parsed(value: Any, union: Any) -> tuple[Scalar, ...] | Range:
    """A list or a range. The `union` that they make would name its members in every error."""
    return Range.model_validate(value) if isinstance(value, dict) else _LIST.validate_python(value)


Axis = Annotated[tuple[Scalar, ...] | Range, WrapValidator(_parsed)]


def _types(annotation: Any) -> set[type]:
    """The types that an annotation is made of."""
    named = get_origin(annotation) or annotation
    own = {named} if isinstance(named, type) else set()
    return own.union(*(_types(argument) for argument in get_args(annotation)))


def searchable(network: NetworkSettings) -> list[str]:
    """Paths of the keys that an axis can have. Seeds, lists and the names that other keys hang on cannot be axes."""
    fixed = ("name", "seed", "classes", "model.name", "model.in_channels", "model.dim", "method.name")
    fields = network.keys.fields.items()
    return [path for path, annotation in fields if path not in fixed and not _types(annotation) & {tuple, dict, list}]


def resolved(network: NetworkSettings, axes: dict[str, Any], where: str) -> dict[str, tuple[Scalar, ...] | Range]:
    """The axes of a search on a network: keys in their shortest unique form, ranges of whole numbers marked as such.

    Raises:
        InputError: the network has no such key, the key can't take such values, or there are too many combinations.
    """
    accepted = searchable(network)
    found: dict[str, tuple[Scalar, ...] | Range] = {}
    for key, axis in axes.items():
        here = f"{where}: search.axes.{key}"
        path = network.path_of(key, here)
        if path not in accepted:
            shown = ", ".join(sorted(network.short(other) for other in accepted))
            raise InputError(f"{here}: can't be searched; accepted: {shown}")
        short = network.short(path)
        if short in found:
            raise InputError(f"{here}: stands twice, by its path and by its last part; accepted: once")
        types = _types(network.keys.fields[path])
        found[short] = _checked_range(types, axis, here) if isinstance(axis, Range) else axis
    check_number(found, where)
    return found


def check_number(axes: Mapping[str, tuple[Scalar, ...] | Range], where: str) -> None:
    """Check that the combinations of axes can be enumerated; each of them is checked before anything runs.

    Raises:
        InputError: there are too many.
    """
    points = math.prod(len(checked_values(axis)) for axis in axes.values())
    if points > _MOST_CANDIDATES:
        raise InputError(
            f"{where}: search.axes: have {points} combinations; accepted: at most {_MOST_CANDIDATES}, by fewer values "
            "or larger steps"
        )


def check_axis(axis: tuple[Scalar, ...] | Range, where: str) -> None:
    """Check what an axis says without knowing its key.

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
    """What one value is taken from: values, whole numbers, or a range that holds every number between its ends."""
    return axis.values or axis if isinstance(axis, Range) else axis


def checked_values(axis: tuple[Scalar, ...] | Range) -> list[Scalar]:
    """Values such that a network which takes them takes every value of the axis, too."""
    values = choices(axis)
    return [values.low, values.high] if isinstance(values, Range) else list(values)


def draw(axis: tuple[Scalar, ...] | Range, random: Random) -> Scalar:
    """A value of the axis, drawn at random."""
    values = choices(axis)
    if not isinstance(values, Range):
        return random.choice(values)
    if values.log:
        return values.rounded(math.exp(random.uniform(math.log(values.low), math.log(values.high))))
    return values.rounded(random.uniform(values.low, values.high))
