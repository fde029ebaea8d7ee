"""What every settings class shares: frozen, strict, no unknown keys, one line per mistake."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mtneuro_ray.errors import InputError

# Printable, short enough for a file name with a suffix, and no part of a path.
Name = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029/\\]*$", max_length=120)]
"""A name that a person gives: it stands in tables, file names and logs."""
Label = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$", max_length=2000)]
"""Text that a person gives, without control characters: it stands in tables and logs."""
Positive = Annotated[int, Field(ge=1, le=2**31)]
Count = Annotated[int, Field(ge=0, le=2**31)]
NonNegative = Annotated[float, Field(ge=0.0, le=1e12, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0.0, le=1e12, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Settings(BaseModel):
    """Base of all settings: immutable, strictly typed, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @classmethod
    def load(cls, values: Mapping[str, Any], where: str, prefix: str = "") -> Self:
        """Check `values` read from `where`.

        Args:
            values: Keys as in a file.
            where: File or option, for errors.
            prefix: Path of the table that holds the keys, with a dot behind it, for errors.

        Raises:
            InputError: one line that names `where`, the key, what is wrong and what is accepted.
        """
        try:
            # Through JSON, so that a list is a tuple but "1" is still no number.
            settings = cls.model_validate_json(json.dumps(values), context={"where": where})
        except ValidationError as error:
            raise InputError(f"{where}: {prefix}{_first_mistake(error, cls)}") from None
        except (TypeError, RecursionError) as error:
            # TOML knows dates and times, which no key here takes.
            raise InputError(f"{where}: {error}; accepted: text, numbers, true, false, lists and tables") from None
        settings.check(where)
        return settings

    def check(self, where: str) -> None:
        """Check what concerns several keys at once; `where` names the file in the error."""

    def replace(self, where: str, /, **changes: Any) -> Self:
        """A checked copy with some keys changed."""
        return self.load({**self.model_dump(mode="json"), **changes}, where)

    def changed(self) -> dict[str, Any]:
        """The keys that are required, differ from their defaults or name their table, ready for JSON; nested alike."""
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
    """Nested tables as one: path such as `optimizer.learning_rate` -> value."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= flattened(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _first_mistake(error: ValidationError, cls: type[BaseModel]) -> str:
    found = error.errors(include_url=False)
    # Of a list with a bad item pydantic also says that it is too short.
    inner = {mistake["loc"][:depth] for mistake in found for depth in range(len(mistake["loc"]))}
    mistakes = [mistake for mistake in found if mistake["loc"] not in inner]
    first = mistakes[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        accepted = _accepted_keys(cls, first["loc"])
        near = get_close_matches(str(first["loc"][-1]), accepted, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        text = f"unknown key{hint}; accepted: {', '.join(accepted)}"
    elif first["type"] == "missing":
        text = "is missing; this key is required"
    else:
        text = f"is {shortened(first['input'])}; accepted: {_lower_first(first['msg'])}"
    more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
    return f"{key}: {text}{more}"


def _accepted_keys(cls: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    for part in loc[:-1]:
        if isinstance(part, str) and part in cls.model_fields:
            inner = _inner_model(cls.model_fields[part].annotation)
            cls = inner or cls
    return sorted(cls.model_fields)


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _inner_model(argument)
        if found is not None:
            return found
    return None


def _lower_first(text: str) -> str:
    return text.removeprefix("Input should be ").removeprefix("Value error, ").rstrip(".")


def shortened(value: Any) -> str:
    """A value as an error quotes it, on one line that can be read."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        InputError: the file is missing, is no JSON, holds something else than an object, or a key stands twice.
    """
    try:
        value = json.loads(_read_text(path), object_pairs_hook=lambda pairs: _without_repeats(pairs, path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: line {error.lineno}: broken JSON: {error.msg}; accepted: one object") from None
    except (ValueError, RecursionError) as error:
        # Numbers of thousands of digits, brackets in thousands.
        raise InputError(f"{path}: can't be read as JSON ({type(error).__name__}); accepted: one object") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds a {type(value).__name__}; accepted: one JSON object")
    return value


def _without_repeats(pairs: list[tuple[str, Any]], path: Path) -> dict[str, Any]:
    """An object of a JSON file. Python would silently keep the last of two equal keys."""
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise InputError(f"{path}: {twice}: stands twice; accepted: once")
    return values


def read_toml(path: Path) -> dict[str, Any]:
    """The table in a TOML file.

    Raises:
        InputError: the file is missing or is no TOML.
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
