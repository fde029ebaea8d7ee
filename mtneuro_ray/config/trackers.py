"""Addresses of trackers: `[run] trackers` of a tune space, and `results push --to`."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from mtneuro_ray.errors import InputError
from mtneuro_ray.registry import registry

# A name, or `package.module:NAME`; then, behind ":" or "://", where the tracker keeps its runs.
_ADDRESS = re.compile(r"(?P<name>\w+(?:\.\w+)+:\w+|[\w-]+)(?::(?://)?(?P<place>.+))?", re.ASCII)
_ACCEPTED = (
    "NAME, NAME:PLACE or NAME://PLACE, such as tensorboard, tensorboard:///data/events or mlflow:http://HOST:5000"
)


class TrackerAddress(NamedTuple):
    """A tracker by name, and its place: a folder or a server; None for the tracker's own."""

    name: str
    place: str | None = None

    @classmethod
    def of(cls, text: str, where: str) -> TrackerAddress:
        """The address in a text.

        Raises:
            InputError: it is none, or there is no such tracker; `where` names file and key.
        """
        found = _ADDRESS.fullmatch(text)
        if found is None:
            raise InputError(f"{where}: {text!r} is no tracker; accepted: {_ACCEPTED}")
        address = cls(found["name"], found["place"])
        address.declaration(where)
        return address

    def declaration(self, where: str = "") -> Any:
        """The tracker's declaration, a `trackers.base.TrackerDeclaration`.

        Raises:
            InputError: there is none.
        """
        return registry("trackers").find(self.name, where)
