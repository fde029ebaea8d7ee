"""Registries: each model, method, task kind, metric, loss, volume scheme and tracker is one declaration, with a name.

A declaration has what is needed to check a configuration: a name, a settings type, requirements. The code that computes
is named as `"package.module:attribute"` and imported when used, so that no command imports torch to read a file.
The package's own declarations are listed in one table per kind, others come by entry point or by
`"package.module:attribute"`; all are found in the same way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from mtneuro_ray.errors import InputError, nearest

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """Description of one model, method or other thing of a kind, without the code that computes."""

    name: str
    """Name in settings."""
    summary: str
    """One line for listings."""
    build: str | Callable[..., Any]
    """`"package.module:attribute"`, or the object itself; the kind's own declaration documents its signature."""
    settings: type[BaseModel] | None = None
    """Settings type, if it has settings."""

    def resolve(self) -> Any:
        """The object that `build` names."""
        return imported(self.build) if isinstance(self.build, str) else self.build


D = TypeVar("D", bound=Declaration)


def imported(address: str) -> Any:
    """The object at `"package.module:attribute"`.

    Raises:
        ImportError: there is no such module.
        AttributeError: the module has no such attribute.
    """
    module, _, attribute = address.partition(":")
    return getattr(import_module(module), attribute)


class Registry(Generic[D]):
    """The declarations of one kind.

    Args:
        kind: Plural, as commands and entry points name it: "models" for the group `mtneuro_ray.models`.
        declaration: Their type.
        table: `"package.module:attribute"` of each of the package's own, by name, in the order of listings.
    """

    def __init__(self, kind: str, declaration: type[D], table: Mapping[str, str]) -> None:
        self.kind = kind
        self._group = f"mtneuro_ray.{kind}"
        self._declaration = declaration
        self._table = dict(table)
        self._found: dict[str, D] = {}
        self._broken: set[str] = set()

    def names(self) -> list[str]:
        """Names of the package's own, then of installed plugins."""
        return [*self._table, *sorted(_entry_points(self._group).keys() - self._table)]

    def find(self, name: str, where: str = "") -> D:
        """The declaration of a name, or of `"package.module:attribute"`.

        Args:
            name: Name in a file or an option.
            where: `FILE: KEY` for errors.

        Raises:
            InputError: there is none; the known names and the nearest are listed.
        """
        if name not in self._found:
            self._found[name] = self._load(name, where or self.kind)
        return self._found[name]

    def all(self) -> dict[str, D]:
        """The declarations of `names()`, by name. A broken plugin is logged once and left out."""
        found: dict[str, D] = {}
        for name in self.names():
            try:
                found[name] = self.find(name)
            except InputError as error:
                if name not in self._broken:
                    logger.warning("%s", error)
                self._broken.add(name)
        return found

    def _load(self, name: str, where: str) -> D:
        address = self._table.get(name) or _entry_points(self._group).get(name) or (name if ":" in name else None)
        if address is None:
            known = self.names()
            raise InputError(
                f"{where}: {name!r} is unknown{nearest(name, known)}; accepted: {', '.join(known)}, or "
                "'package.module:name' of an installed package"
            )
        try:
            found = imported(address)
        except (Exception, SystemExit) as error:  # A plugin's module may raise anything.
            raise InputError(
                f"{where}: {name!r} ({address}) can't be imported ({type(error).__name__}: {error}); accepted: an "
                "installed package"
            ) from None
        if not isinstance(found, self._declaration):
            raise InputError(
                f"{where}: {name!r} ({address}) is a {type(found).__name__}; accepted: a {self._declaration.__name__}"
            )
        return found


@cache
def _entry_points(group: str) -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=group)}


_ROOMS = {
    "models": "mtneuro_ray.models:MODELS",
    "methods": "mtneuro_ray.methods:METHODS",
    "tasks": "mtneuro_ray.tasks:TASKS",
    "metrics": "mtneuro_ray.metrics:METRICS",
    "losses": "mtneuro_ray.losses:LOSSES",
    "volumes": "mtneuro_ray.volumes:VOLUMES",
    "trackers": "mtneuro_ray.trackers:TRACKERS",
}
KINDS = tuple(_ROOMS)
"""Kinds of declarations, as commands name them."""


@cache
def registry(kind: str) -> Registry[Any]:
    """The registry of a kind; its package is imported at the first call."""
    found: Registry[Any] = imported(_ROOMS[kind])
    return found
