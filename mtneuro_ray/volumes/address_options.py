"""Options of a volume's address, which stand behind its `?`: channel, level, voxel size and names of axes."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, quote

from mtneuro_ray.errors import InputError, nearest

Micrometers = tuple[float, float, float]

# A file name may hold a question mark: only what looks like options is taken for some.
_QUERY = re.compile(r"(?s)(.*)\?(\w+=[^?]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressOptions:
    """Options of an address; None or empty where they were not given.

    Attributes:
        channel: Number of the channel to read.
        level: Resolution level: a number, 0 the finest, or its path in the file or folder.
        target_um: The level whose voxel size is nearest to this, z, y, x in micrometers.
        voxel_size_um: Voxel size z, y, x in micrometers; overrides that of the metadata.
        axes: Names of the array's axes, one letter each, where the metadata do not name them.
    """

    channel: int | None = None
    level: str | None = None
    target_um: Micrometers | None = None
    voxel_size_um: Micrometers | None = None
    axes: str = ""

    @classmethod
    def split(cls, uri: str) -> tuple[str, AddressOptions]:
        """The address without its options, and the options of `...?KEY=VALUE&KEY=VALUE`.

        Raises:
            InputError: an option is unknown, stands twice or has a value that is not accepted.
        """
        match = _QUERY.fullmatch(uri)
        if match is None:
            return uri, cls()
        place = match[1]
        found: dict[str, str] = {}
        for key, value in parse_qsl(match[2], keep_blank_values=True, max_num_fields=100):
            if key not in _PARSERS:
                # The value may be a secret: it is not shown.
                raise InputError(
                    f"{place}: {key!r} is no option of an address{nearest(key, _PARSERS)}; accepted: "
                    + ", ".join(f"?{name}=" for name in _PARSERS)
                )
            if key in found:
                raise InputError(f"{place}: {key}: stands twice; accepted: once")
            found[key] = value
        values: dict[str, Any] = {}
        for key, text in found.items():
            field, parse, accepted = _PARSERS[key]
            try:
                values[field] = parse(text)
            except ValueError:
                raise InputError(f"{place}: {key}: {text!r}; accepted: {accepted}") from None
        options = cls(**values)
        if options.level is not None and options.target_um is not None:
            raise InputError(f"{place}: level, target_um: both select a level; accepted: one of them")
        return place, options

    @property
    def query(self) -> str:
        """The options as they are written behind an address, with the question mark; empty without options."""
        values = {key: getattr(self, field) for key, (field, _, _) in _PARSERS.items()}
        given = [f"{key}={_written(value)}" for key, value in values.items() if value not in (None, "")]
        return "?" + "&".join(given) if given else ""

    def only(self, place: str, accepted: Sequence[str]) -> None:
        """Check that no other options were given than a volume knows.

        Raises:
            InputError: there are others.
        """
        for key, (field, _, _) in _PARSERS.items():
            if key not in accepted and getattr(self, field) not in (None, ""):
                known = ", ".join(f"?{name}=" for name in accepted) or "no options"
                raise InputError(f"{place}: {key}: is no option of this kind of volume; accepted: {known}")


def with_channel(uri: str, index: int) -> str:
    """The address of one channel of a volume."""
    place, options = AddressOptions.split(uri)
    return place + replace(options, channel=index).query


def _number(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text):
        raise ValueError
    return int(text)


def _level(text: str) -> str:
    path = text.strip("/")
    if not path or any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError
    return str(int(path)) if re.fullmatch("[0-9]{1,9}", path) else path


def sizes_of(text: str) -> Micrometers:
    """The micrometers in `z,y,x`, or in one number for all.

    Raises:
        ValueError: they are none, or not above 0.
    """
    values = [float(part) for part in text.split(",")]
    values *= 3 if len(values) == 1 else 1
    if len(values) != 3 or not all(0 < value < math.inf for value in values):
        raise ValueError
    return values[0], values[1], values[2]


def _axes(text: str) -> str:
    if not re.fullmatch("[a-z]+", text) or len(set(text)) < len(text) or not {"y", "x"} <= set(text):
        raise ValueError
    return text


_UM = "micrometers z,y,x above 0, or one number"
# Option -> field of `AddressOptions`, parser, and what is accepted.
_PARSERS = {
    "channel": ("channel", _number, "a number from 0"),
    "level": ("level", _level, "a number from 0 (the finest) or the path of a level"),
    "target_um": ("target_um", sizes_of, _UM),
    "voxel_size": ("voxel_size_um", sizes_of, _UM),
    "axes": ("axes", _axes, "a letter for each axis of the array, such as zyx, czyx or xyz"),
}


def _written(value: int | str | Micrometers) -> str:
    text = ",".join(map(repr, value)) if isinstance(value, tuple) else str(value)
    return quote(text, safe="/,:")
