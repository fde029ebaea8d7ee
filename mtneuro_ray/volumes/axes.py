"""Axes of stored arrays: their names, and how an array is seen as channels of z, y, x."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Shape
from mtneuro_ray.volumes.address_options import Micrometers

# Names that libraries give to axes that nobody named.
_UNNAMED = re.compile(r"((phony_)?dim_?|axis_?)?\d*")
_SHORT = {"channel": "c", "channels": "c", "time": "t"}
# Stands for an axis without a name that is one voxel long.
NAMELESS = ""


@dataclass(frozen=True, slots=True)
class AxisLayout:
    """Where the axes z, y, x and the channels of a stored array are.

    Attributes:
        names: Name of each axis of the array.
        lengths: Voxels along each axis of the array.
    """

    names: tuple[str, ...]
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, names: Sequence[str], lengths: Sequence[int], where: str) -> AxisLayout:
        """The layout of an array with named axes.

        Raises:
            InputError: y or x is missing, a name stands twice, or an axis besides z, y, x and c is longer than 1.
        """
        known = [name for name in names if name != NAMELESS]
        if not {"y", "x"} <= set(known) or len(set(known)) < len(known):
            raise InputError(
                f"{where}: axes {', '.join(names)}; accepted: z, y, x, channels c, and others of length 1, or their "
                "names, such as ?axes=zyx"
            )
        for name, length in zip(names, lengths, strict=True):
            if name not in ("z", "y", "x", "c") and length != 1:
                # Depth or channels, if anything, whichever is not named yet.
                real = next((each for each in "zc" if each not in names), name)
                letters = "".join((real if each == name else each)[:1] for each in names)
                raise InputError(
                    f"{where}: axis {name} is {length} long; accepted: 1, or the name of what it is, such as "
                    f"?axes={letters}"
                )
        return cls(tuple(names), tuple(map(int, lengths)))

    @property
    def order(self) -> list[int]:
        """Positions of the axes z, y, x in the array; z is left out where the array has none."""
        return [self.names.index(name) for name in "zyx" if name in self.names]

    @property
    def channel_axis(self) -> int | None:
        """Position of the channel axis; None where there is none."""
        return self.names.index("c") if "c" in self.names else None

    @property
    def num_channels(self) -> int:
        """Length of the channel axis."""
        return 1 if self.channel_axis is None else self.lengths[self.channel_axis]

    @property
    def shape(self) -> Shape:
        """Voxels along z, y, x."""
        return self.sides(self.lengths)

    def sides(self, lengths: Sequence[int]) -> Shape:
        """Lengths along z, y, x of one length for each axis of the array; 1 along z where the array has none."""
        depth, height, width = [1, *(int(lengths[axis]) for axis in self.order)][-3:]
        return depth, height, width

    @property
    def single(self) -> list[int]:
        """Positions of the axes that are one voxel long and neither z, y, x nor channels."""
        return [axis for axis, name in enumerate(self.names) if name not in ("z", "y", "x", "c")]

    def selected(self, channel: int | None, where: str) -> int | None:
        """The channel that an address selects; None where it selects none, or there is but one.

        Raises:
            InputError: there is no such channel.
        """
        if channel is not None and channel >= self.num_channels:
            raise InputError(f"{where}: channel: {channel}; accepted: 0 to {self.num_channels - 1}")
        return channel if self.num_channels > 1 else None

    def index(self, ranges: Sequence[tuple[int, int]], channel: int | None) -> tuple[slice, ...]:
        """The part of the stored array that holds a box of one channel.

        Args:
            ranges: Half-open ranges along z, y, x.
            channel: Number of the channel; the first by default.
        """
        wanted = dict(zip("zyx", ranges, strict=True)) | {"c": (channel or 0, (channel or 0) + 1)}
        return tuple(slice(*wanted.get(name, (0, 1))) for name in self.names)

    def turned(self, part: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A part of the stored array, of one channel, with axes z, y, x."""
        kept = part.transpose([*(axis for axis in range(part.ndim) if axis not in self.order), *self.order])
        return kept.reshape((1, *kept.shape)[-3:] if len(self.order) == 2 else kept.shape[-3:])

    def size(self, sizes: Sequence[float]) -> Micrometers | None:
        """Voxel size along z, y, x of one for each axis; None where the array has no z, or one is no size."""
        found = self._spatial(sizes)
        return found if found and is_size(found) else None

    def place(self, places: Sequence[float]) -> Micrometers | None:
        """Place along z, y, x of one for each axis; None where the array has no z, or one is not finite."""
        found = self._spatial(places)
        return found if found and all(map(math.isfinite, found)) else None

    def _spatial(self, values: Sequence[float]) -> Micrometers | None:
        if len(self.order) < 3 or len(values) != len(self.names):
            return None
        z, y, x = (values[axis] for axis in self.order)
        return z, y, x


def is_size(sizes: Sequence[float]) -> bool:
    """Whether all are sizes of voxels: above 0 and finite."""
    return all(0 < size < math.inf for size in sizes)


def short(names: Sequence[str]) -> tuple[str, ...]:
    """Names in lower case, `channel` and `time` as c and t."""
    return tuple(_SHORT.get(name.lower(), name.lower()) for name in names)


def named(axes: Sequence[str]) -> bool:
    """Whether axes have names that somebody gave them."""
    return not all(_UNNAMED.fullmatch(name) for name in axes)


def axis_names(
    found: Sequence[str], given: str, lengths: Sequence[int], where: str, reverse: bool = False
) -> list[str]:
    """The name of each axis of an array.

    Args:
        found: Names in the metadata; empty where there are none.
        given: Names in the address (`?axes=`), a letter each.
        lengths: Voxels along each axis.
        where: Address of the array, for errors.
        reverse: Whether the format's convention is x first, as in N5.

    Raises:
        InputError: the names do not fit the array, contradict each other, or are needed and missing.
    """
    rank, names = len(lengths), list(short(found))
    if names and len(names) != rank:
        raise InputError(f"{where}: {rank} axes with {len(names)} names; accepted: a name for each")
    if given:
        if len(given) != rank:
            raise InputError(f"{where}: axes: {given} names {len(given)} of {rank} axes; accepted: a letter for each")
        # Names of space hold; what a program called time may be depth or channels.
        if any(name in ("z", "y", "x") and name != letter for name, letter in zip(names, given, strict=False)):
            raise InputError(
                f"{where}: axes: {given}, its metadata say {', '.join(names)}; accepted: those, or no ?axes="
            )
        return list(given)
    if names and named(names):
        return names
    convention = "xyz" if reverse else "zyx"
    if rank < 2:
        raise InputError(f"{where}: {rank} axes; accepted: z, y, x, and channels")
    if rank <= 3:
        return list(convention[:rank] if reverse else convention[-rank:])
    others = lengths[3:] if reverse else lengths[:-3]
    if any(length != 1 for length in others):
        size = " x ".join(map(str, lengths))
        example = {4: "czyx", 5: "tczyx"}.get(rank, "...zyx")
        raise InputError(
            f"{where}: {rank} axes without names ({size}); accepted: their names, such as "
            f"?axes={example[::-1] if reverse else example}"
        )
    nameless = [NAMELESS] * len(others)
    return [*convention, *nameless] if reverse else [*nameless, *convention]
