"""Base of all settings: frozen, strict, closed to unknown keys, one line per mistake; and their keys by path."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mtneuro_ray.errors import InputError, nearest

# Printable, short enough for a file name with a suffix, and no part of a path.
Name = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029/\\]*$", max_length=120)]
"""Name in tables, file names and logs."""
Label = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$", max_length=2000)]
"""Text in tables and logs, without control characters."""
Positive = Annotated[int, Field(ge=1, le=2**31)]
Count = Annotated[int, Field(ge=0, le=2**31)]
NonNegative = Annotated[float, Field(ge=0.0, le=1e12, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0.0, le=1e12, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Settings(BaseModel):
    """Base of all settings: immutable, strictly typed, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)

    @classmethod
    def load(cls, values: Mapping[str, Any], where: str, prefix: str = "") -> Self:
        """Check `values` read from `where`.

        Args:
            values: Keys and values as in a file.
            where: File or option, for errors.
            prefix: Path of the table that holds the keys, with a trailing dot, for errors.

        Raises:
            InputError: one line that names `where`, the key, what is wrong and what is accepted.
        """
        try:
            # Through JSON, so that a list is a tuple but "1" is still no number.
            settings = cls.model_validate_json(json.dumps(values), context={"where": where})
        except ValidationError as error:
            raise InputError(f"{where}: {prefix}{_first_mistake(error, cls)}") from None
        except (TypeError, RecursionError) as error:
            # TOML has dates and times, which no key takes.
            raise InputError(f"{where}: {error}; accepted: text, numbers, true, false, lists and tables") from None
        settings.check(where)
        return settings

    def check(self, where: str) -> None:
        """Check rules that span several keys.

        Raises:
            InputError: a rule is broken; `where` names the file.
        """

    def replace(self, where: str, /, **changes: Any) -> Self:
        """A checked copy with some keys changed."""
        return self.load({**self.model_dump(mode="json"), **changes}, where)

    def changed(self) -> dict[str, Any]:
        """Keys with their values, as in JSON, except those at their defaults; `name` and required keys always."""
        found: dict[str, Any] = {}
        for key, field in type(self).model_fields.items():
            value = getattr(self, key)
            if not field.is_required() and key != "name" and value == field.get_default(call_default_factory=True):
                continue
            if isinstance(value, Settings):
                found[key] = value.changed()
            elif isinstance(value, tuple) and value and all(isinstance(item, Settings) for item in value):
                found[key] = [item.changed() for item in value]
            else:
                found[key] = self.model_dump(mode="json", include={key})[key]
        return found


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values of nested tables by path, such as `optimizer.learning_rate`."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= flattened(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


@cache
def fields_of(settings: type[Settings], prefix: str = "", **derived: type[Settings]) -> dict[str, Any]:
    """Annotation of every key, by path. Tables of settings are descended into; a free table is one key.

    Args:
        settings: Settings type.
        prefix: Path of the table that holds the keys, with a trailing dot.
        derived: Types of tables that differ from those that `settings` declares.
    """
    found: dict[str, Any] = {}
    for name, field in settings.model_fields.items():
        inner: Any = derived.get(name, field.annotation)
        is_table = isinstance(inner, type) and issubclass(inner, Settings)
        found |= fields_of(inner, f"{prefix}{name}.") if is_table else {f"{prefix}{name}": inner}
    return found


class Keys:
    """Keys of nested settings, as people may name them.

    Args:
        fields: Annotation of every key, by path.
        named: Tables whose own name stands for their key `name`.
        title: What the settings are, for errors.
        renamed: Path of each key that had another name.
        whole: Keys that are named by their whole path only, since their last part has long meant another key.
    """

    def __init__(
        self,
        fields: Mapping[str, Any],
        named: tuple[str, ...],
        title: str,
        renamed: Mapping[str, str] | None = None,
        whole: tuple[str, ...] = (),
    ) -> None:
        self.fields = fields
        self._named = named
        self._title = title
        self._renamed = renamed or {}
        self._by_last: dict[str, list[str]] = {}
        for path in fields:
            if path not in whole:
                self._by_last.setdefault(path.rpartition(".")[2], []).append(path)

    def path_of(self, key: str, where: str) -> str:
        """The path of a key that is named by its path, by its last part where that is unique, or by its table.

        Raises:
            InputError: there is no such key, or there are several.
        """
        key = self._renamed.get(key, key)
        if key in self.fields:
            return key
        found = self._by_last.get(key, [])
        if len(found) == 1:
            return found[0]
        if found:
            raise InputError(f"{where}: {key}: names several keys; accepted: {', '.join(found)}")
        if key in self._named:
            return f"{key}.name"
        known = sorted(map(self.short, self.fields))
        raise InputError(
            f"{where}: {key}: unknown key of {self._title}{nearest(key, [*known, *self.fields])}; "
            f"accepted: {', '.join(known)}"
        )

    def short(self, path: str) -> str:
        """The last part of a path where no other key ends in it, else the whole path."""
        last = path.rpartition(".")[2]
        return last if self._by_last.get(last) == [path] else path


def placed(values: dict[str, Any], path: str, value: Any) -> None:
    """Set the value at a path within nested tables."""
    *tables, last = path.split(".")
    for table in tables:
        values = values.setdefault(table, {})
    values[last] = value


def _first_mistake(error: ValidationError, cls: type[BaseModel]) -> str:
    found = error.errors(include_url=False)
    # For a list with a bad item, pydantic also reports that it is too short.
    inner = {mistake["loc"][:depth] for mistake in found for depth in range(len(mistake["loc"]))}
    mistakes = [mistake for mistake in found if mistake["loc"] not in inner]
    first = mistakes[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _accepted_keys(cls, first["loc"])
        text = f"unknown key{nearest(str(first['loc'][-1]), known)}; accepted: {', '.join(known)}"
    elif first["type"] == "missing":
        text = "is missing; this key is required"
    else:
        accepted = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ").rstrip(".")
        text = f"is {shortened(first['input'])}; accepted: {accepted}"
    more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
    return f"{key}: {text}{more}"


def _accepted_keys(cls: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    for part in loc[:-1]:
        if isinstance(part, str) and part in cls.model_fields:
            inner = types_in(cls.model_fields[part].annotation)
            cls = next((each for each in inner if issubclass(each, BaseModel)), cls)
    return sorted(cls.model_fields)


def types_in(annotation: Any) -> Iterator[type]:
    """The types that an annotation is made of, outermost first."""
    named = get_origin(annotation) or annotation
    if isinstance(named, type):
        yield named
    for argument in get_args(annotation):
        yield from types_in(argument)


def shortened(value: Any) -> str:
    """A value as errors quote it: its `repr`, at most 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        InputError: the file is missing, is not JSON, does not hold an object, or repeats a key.
    """
    try:
        value = json.loads(_read_text(path), object_pairs_hook=lambda pairs: _without_repeats(pairs, path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: line {error.lineno}: broken JSON: {error.msg}; accepted: one object") from None
    except (ValueError, RecursionError) as error:
        # Numbers with thousands of digits, thousands of nested brackets.
        raise InputError(f"{path}: can't be read as JSON ({type(error).__name__}); accepted: one object") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds a {type(value).__name__}; accepted: one JSON object")
    return value


def _without_repeats(pairs: list[tuple[str, Any]], path: Path) -> dict[str, Any]:
    # Python would silently keep the last of two equal keys.
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise InputError(f"{path}: {twice}: stands twice; accepted: once")
    return values


def read_toml(path: Path) -> dict[str, Any]:
    """The table in a TOML file.

    Raises:
        InputError: the file is missing or is not TOML.
    """
    try:
        return tomllib.loads(_read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: broken TOML: {error}; accepted: TOML 1.0") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: can't be read as TOML ({type(error).__name__}); accepted: TOML 1.0") from None


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; accepted: a readable file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: can't be read ({error.__class__.__name__}); accepted: a UTF-8 file") from None
