"""HTML of the page: templates, styles and scripts in one text that loads nothing, under a content security policy."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

# In the order in which they define what the next ones use.
_SCRIPTS = (
    "core",
    "scales",
    "chart",
    "tables",
    "run",
    "search",
    "parallel",
    "finals",
    "timings",
    "viewers",
    "live",
    "views",
)
# Significant digits of numbers on the page.
_DIGITS = 6


def plain(value: Any) -> Any:
    """A value for JSON: floats rounded, null for NaN and infinity, tuples as lists.

    A float keeps six significant digits; one of a million or more, such as a time in seconds, keeps three decimals.
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return round(value, 3) if abs(value) >= 10**_DIGITS else float(f"{value:.{_DIGITS}g}")
    if isinstance(value, Mapping):
        return {str(key): plain(own) for key, own in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(own) for own in value]
    return value


def as_json(value: Any) -> str:
    """JSON that may stand in a script block: no text in it can end the block."""
    return json.dumps(plain(value), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("mtneuro_ray.results.page", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _assets() -> tuple[str, str]:
    """Style and script of the page."""
    folder = files("mtneuro_ray.results.page") / "assets"
    script = "\n".join((folder / f"{name}.js").read_text() for name in _SCRIPTS)
    return (folder / "page.css").read_text(), f'(() => {{\n"use strict";\n{script}\n}})();'


def _hash_source(text: str) -> str:
    """A script or style as a source in a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _policy_of(style: str, script: str, more: str) -> str:
    """A content security policy: only this script and this style, no other place, and what `more` allows."""
    return (
        f"default-src 'none'; script-src {_hash_source(script)}; style-src {_hash_source(style)}; "
        f"{more}base-uri 'none'; form-action 'none'"
    )


@cache
def policy(*, is_live: bool) -> str:
    """The policy of the page, which has pictures within it, and asks its server if it is live."""
    connect = "connect-src 'self'; " if is_live else ""
    return _policy_of(*_assets(), f"img-src data:; {connect}")


def document(template: str, style: str, script: str, rules: str | None = None, **context: Any) -> str:
    """A whole document that loads nothing; all text of the context is escaped.

    Args:
        template: Name of a template that extends `document.html`.
        style: Its style.
        script: Its script.
        rules: Its content security policy; by default one that allows this style and script alone.
        context: What the template shows.
    """
    rules = rules or _policy_of(style, script, "")
    assets = {"style": Markup(style), "script": Markup(script), "policy": Markup(rules)}
    return _environment().get_template(template).render(**assets, **context)


def page(data: Mapping[str, Any], *, is_live: bool = False, **context: Any) -> str:
    """The whole page.

    Args:
        data: Name -> what a section of the page reads by that name.
        is_live: Whether a server has further data.
        context: What the template shows.
    """
    blocks = {name: Markup(as_json(value)) for name, value in data.items()}
    return document("page.html", *_assets(), policy(is_live=is_live), data=blocks, is_live=is_live, **context)


def fragment(name: str, **context: Any) -> str:
    """A part of the page by the name of its template, such as `summary.html`."""
    return _environment().get_template(name).render(**context)
