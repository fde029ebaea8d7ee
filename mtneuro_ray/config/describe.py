"""Keys of a settings type for a person: type, default and meaning, read from the type's source."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pydantic import BaseModel

_ENDS = {"minimum": ">= {}", "exclusiveMinimum": "> {}", "maximum": "<= {}", "exclusiveMaximum": "< {}"}

# Bounds from here on only keep numbers within what a machine can count.
_HUGE = 2**31


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a settings type.

    Attributes:
        path: Its name, behind those of the tables that hold it, as in `optimizer.learning_rate`.
        type: What it accepts, in words.
        default: As in JSON; empty where the key is required.
        meaning: Its documentation, on one line.
    """

    path: str
    type: str
    default: str
    meaning: str


def keys_of(settings: type[BaseModel], prefix: str = "") -> list[Key]:
    """Keys of a settings type in their order; those of a table of its own follow under its path.

    Args:
        settings: A pydantic model.
        prefix: Path of the table that these settings are, with a dot behind it.
    """
    schema = settings.model_json_schema(mode="validation")
    definitions = schema.get("$defs", {})
    meanings = _documented(settings)
    found: list[Key] = []
    for name, field in settings.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found += keys_of(inner, f"{prefix}{name}.")
            continue
        default = ""
        if not field.is_required():
            default = json.dumps(
                schema["properties"][name].get("default", field.get_default(call_default_factory=True))
            )
        told = _type(schema["properties"][name], definitions)
        found.append(Key(f"{prefix}{name}", told, default, meanings.get(name, "")))
    return found


def _type(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """A JSON schema in words."""
    if "$ref" in schema:
        return _type(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(_type(each, definitions) for each in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return " | ".join(json.dumps(value) for value in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type")
    if kind == "array":
        items = [_type(each, definitions) for each in schema.get("prefixItems", ())]
        return f"[{', '.join(items)}]" if items else f"list of {_type(schema.get('items', {}), definitions)}"
    words = {"integer": "integer", "number": "number", "string": "text", "boolean": "true | false", "object": "table"}
    ends = ", ".join(text.format(f"{schema[end]:g}") for end, text in _ENDS.items() if schema.get(end, _HUGE) < _HUGE)
    return f"{words.get(str(kind), str(kind or 'any value'))} {ends}".rstrip()


def _documented(settings: type[BaseModel]) -> dict[str, str]:
    """The text under each field, by the field's name; that of a derived type has precedence."""
    found: dict[str, str] = {}
    for each in reversed(settings.__mro__):
        if issubclass(each, BaseModel) and each is not BaseModel:
            found.update(_attribute_docs(each))
    return found


def _attribute_docs(settings: type[BaseModel]) -> Iterator[tuple[str, str]]:
    try:
        source = textwrap.dedent(inspect.getsource(settings))
    except (OSError, TypeError):
        # A type that a plugin made without a file.
        return
    body: list[ast.stmt] = ast.parse(source).body[0].body  # type: ignore[attr-defined]
    for field, below in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            text = below.value
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                yield field.target.id, " ".join(text.value.split())
