"""What every settings class shares: frozen, strict, no unknown keys, one line per mistake."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from mtneuro_ray.errors import InputError


class Settings(BaseModel):
    """Base of all settings: immutable, strictly typed, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @classmethod
    def load(cls, values: Mapping[str, Any], where: str) -> Self:
        """Check `values` read from `where`.

        Raises:
            InputError: one line that names `where`, the key, what is wrong and what is accepted.
        """
        try:
            # Through JSON, so that a list is a tuple but "1" is still no number.
            settings = cls.model_validate_json(json.dumps(values))
        except ValidationError as error:
            raise InputError(f"{where}: {_first_mistake(error, cls)}") from None
        except TypeError as error:
            # TOML knows dates and times, which no key here takes.
            raise InputError(f"{where}: {error}; accepted: text, numbers, true, false, lists and tables") from None
        settings.check(where)
        return settings

    def check(self, where: str) -> None:
        """Check what concerns several keys at once; `where` names the file in the error."""

    def replace(self, where: str, /, **changes: Any) -> Self:
        """A checked copy with some keys changed."""
        return self.load({**self.model_dump(mode="json"), **changes}, where)


def _first_mistake(error: ValidationError, cls: type[BaseModel]) -> str:
    found = error.errors(include_url=False)
    # Of a list with a bad item pydantic also says that it is too short.
    inner = {mistake["loc"][:depth] for mistake in found for depth in range(len(mistake["loc"]))}
    mistakes = [mistake for mistake in found if mistake["loc"] not in inner]
    first = mistakes[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        text = f"unknown key; accepted: {', '.join(_accepted_keys(cls, first['loc']))}"
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
        InputError: the file is missing, is no JSON, or holds something else than an object.
    """
    try:
        value = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: line {error.lineno}: broken JSON: {error.msg}; accepted: one object") from None
    except (ValueError, RecursionError) as error:
        # Numbers of thousands of digits, brackets in thousands.
        raise InputError(f"{path}: can't be read as JSON ({type(error).__name__}); accepted: one object") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds a {type(value).__name__}; accepted: one JSON object")
    return value


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
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: can't be read ({error.__class__.__name__}); accepted: a UTF-8 file") from None
