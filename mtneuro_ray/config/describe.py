"""Listing of the keys of a settings type: type, default and meaning."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

_ENDS = {"minimum": ">= {}", "exclusiveMinimum": "> {}", "maximum": "<= {}", "exclusiveMaximum": "< {}"}

# Larger bounds only keep integers countable; they are not shown.
_HUGE = 2**31


def keys_of(settings: type[BaseModel], prefix: str = "") -> list[dict[str, str]]:
    """Rows of key, type, default (JSON, empty where required) and meaning, in the order of the type.

    Args:
        settings: Settings type.
        prefix: Path of the table that holds the keys, with a trailing dot. Inner tables add theirs.
    """
    schema = settings.model_json_schema(mode="validation")
    definitions = schema.get("$defs", {})
    found: list[dict[str, str]] = []
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
        meaning = " ".join((field.description or "").split())
        found.append({"key": f"{prefix}{name}", "type": told, "default": default, "meaning": meaning})
    return found


def _type(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """The type that a JSON schema describes, in words."""
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
