"""Keys of nested settings by path: which there are, how a person may name them, and where their values stand."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any

from mtneuro_ray.config.base import Settings
from mtneuro_ray.errors import InputError


@cache
def fields_of(settings: type[Settings], prefix: str = "") -> dict[str, Any]:
    """Path -> annotation of every key; tables of their own are descended into, free ones are one key."""
    found: dict[str, Any] = {}
    for name, field in settings.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Settings):
            found |= fields_of(inner, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = inner
    return found


class Keys:
    """The keys of settings whose tables may be of derived types.

    Args:
        settings: Type of the settings.
        derived: Table -> its type, where that is not the one that `settings` declares.
        named: Tables that may be named for their key `name`.
        title: What the settings are, for errors.
    """

    def __init__(
        self, settings: type[Settings], derived: Mapping[str, type[Settings]], named: tuple[str, ...], title: str
    ) -> None:
        self._named = named
        self._title = title
        self.fields: dict[str, Any] = {}
        """Path -> annotation."""
        for path, annotation in fields_of(settings).items():
            table = path.partition(".")[0]
            self.fields |= fields_of(derived[table], f"{table}.") if table in derived else {path: annotation}
        self._by_last: dict[str, list[str]] = {}
        for path in self.fields:
            self._by_last.setdefault(path.rpartition(".")[2], []).append(path)

    def path_of(self, key: str, where: str) -> str:
        """The path of a key that is named by its path, by its last part where that is unique, or by its table.

        Raises:
            InputError: there is no such key, or there are several.
        """
        if key in self.fields:
            return key
        found = self._by_last.get(key, [])
        if len(found) == 1:
            return found[0]
        if found:
            raise InputError(f"{where}: {key}: names several keys; accepted: {', '.join(found)}")
        if key in self._named:
            return f"{key}.name"
        short = sorted(map(self.short, self.fields))
        near = get_close_matches(key, short, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"{where}: {key}: unknown key of {self._title}{hint}; accepted: {', '.join(short)}")

    def short(self, path: str) -> str:
        """The last part of a path where no other key ends in it, else the whole path."""
        last = path.rpartition(".")[2]
        return last if len(self._by_last[last]) == 1 else path


def placed(values: dict[str, Any], path: str, value: Any) -> None:
    """Set the value at a path within nested tables."""
    *tables, last = path.split(".")
    for table in tables:
        values = values.setdefault(table, {})
    values[last] = value


def value_at(values: Mapping[str, Any], path: str) -> Any:
    """The value at a path within nested tables."""
    found: Any = values
    for part in path.split("."):
        found = found[part]
    return found
