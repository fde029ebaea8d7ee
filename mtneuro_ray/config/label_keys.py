"""Keys of a task file that say which class a label is and where a volume is annotated."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator

from mtneuro_ray.config.base import Count, Label, Settings, shortened
from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Roi

# Labels are of any integer type of at most 64 bits.
LEAST, MOST = -(2**63), 2**64 - 1
_ACCEPTED = f"a label from {LEAST} to {MOST}, or a range such as 1-255, both ends included"
T = TypeVar("T", int, str)
_RANGE = re.compile(r"(-?\d+)(?:-(-?\d+))?")

LabelRange = tuple[int, int]
"""First and last label of a range, both included."""


def label_range(key: str) -> LabelRange:
    """The labels of a key: `7` is one label, `1-255` and `-3--1` are ranges.

    Raises:
        ValueError: the key names no labels.
    """
    match = _RANGE.fullmatch(key)
    first = int(match[1]) if match else 0
    last = int(match[2]) if match and match[2] else first
    if match is None or not LEAST <= first <= last <= MOST:
        raise ValueError(_ACCEPTED)
    return first, last


def _checked(key: T) -> T:
    label_range(str(key))
    return key


LabelKey = Annotated[str, AfterValidator(_checked)]
"""One label or a range of labels, as the key of a table."""
SomeLabels = Annotated[int | str, AfterValidator(_checked)]
"""One label or a range of labels, as an item of a list."""


class AnnotatedBox(Settings):
    """A box of the volume that is annotated. An axis that is left out has its whole length."""

    z: Count | tuple[Count, Count] | None = None
    """One slice, or a half-open range of slices."""
    y: Count | tuple[Count, Count] | None = None
    """One row, or a half-open range of rows."""
    x: Count | tuple[Count, Count] | None = None
    """One column, or a half-open range of columns."""
    volume: Label | None = None
    """Name in `volumes` of the volume that the box lies in; the task's own channels by default."""

    def within(self, roi: Roi) -> Roi | None:
        """The annotated part of a box of voxels, None where there is none."""
        ranges = []
        for own, (start, stop) in zip((self.z, self.y, self.x), roi.ranges, strict=True):
            low, high = (start, stop) if own is None else (own, own + 1) if isinstance(own, int) else own
            low, high = max(low, start), min(high, stop)
            if low >= high:
                return None
            ranges.append((low, high))
        return Roi(*ranges)


def annotated_in(boxes: Iterable[AnnotatedBox] | None, volume: str | None) -> tuple[AnnotatedBox, ...] | None:
    """The annotated boxes of one volume of a task; None where no box names it: all of it is annotated."""
    return tuple(box for box in boxes or () if box.volume == volume) or None


def annotated_parts(boxes: Iterable[AnnotatedBox], roi: Roi) -> list[Roi]:
    """The annotated parts of a box of voxels; they may overlap."""
    return [part for box in boxes if (part := box.within(roi))]


def check_annotated(boxes: Iterable[AnnotatedBox], where: str) -> None:
    """Check that every annotated box is a box.

    Raises:
        InputError: a range is empty or reversed, or a box names no axis.
    """
    for number, box in enumerate(boxes):
        if box.z is None and box.y is None and box.x is None:
            raise InputError(f"{where}: annotated.{number}: names no axis; accepted: z, y or x, or several of them")
        for axis in "zyx":
            found = getattr(box, axis)
            if isinstance(found, tuple) and found[0] >= found[1]:
                raise InputError(
                    f"{where}: annotated.{number}.{axis}: is {list(found)}; accepted: 0 <= start < stop, half-open"
                )


def check_label_keys(
    annotation_map: Mapping[str, int] | None, ignore_labels: Iterable[int | str], classes: int, where: str
) -> None:
    """Check that the labels of a task are given one class each, or ignored.

    Raises:
        InputError: a class is outside, or a label stands twice.
    """
    named: list[tuple[LabelRange, str]] = []
    for key, value in (annotation_map or {}).items():
        if value >= classes:
            raise InputError(f"{where}: annotation_map.{key}: class {value} is outside; accepted: 0 to {classes - 1}")
        named.append((label_range(key), f"annotation_map.{key}"))
    named += [(label_range(str(key)), f"ignore_labels: {key}") for key in ignore_labels]
    named.sort()
    for ((_, end), first), ((start, _), second) in itertools.pairwise(named):
        if start <= end:
            key = second if ":" in second else f"{second}:"
            raise InputError(f"{where}: {key} shares label {start} with {first}; accepted: each label once")


def class_named(value: int | str, classes: tuple[str, ...], key: str) -> int:
    """Index of a class that a key names or gives.

    Raises:
        InputError: there is no such class; `key` is `FILE: KEY`.
    """
    if isinstance(value, str) and value in classes:
        return classes.index(value)
    if isinstance(value, int) and value < len(classes):
        return value
    raise InputError(
        f"{key}: is {shortened(value)}; accepted: refuse, ignore, a class by name ({', '.join(classes)}) or by index "
        f"(0 to {len(classes) - 1})"
    )


Absent = Literal["leave_out", "one"]


def with_absent(task: Any) -> Any:
    """A task in a run file, with the rule that runs followed before there was the key `absent`."""
    return {"absent": "one", **task} if isinstance(task, Mapping) else task
