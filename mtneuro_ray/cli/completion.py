"""Words that a shell offers for a value: names of packaged files and of what plugs in; files where none fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import typer

from mtneuro_ray.config.loading import packaged_names
from mtneuro_ray.registry import KINDS, registry

_FILES = ("tasks", "networks", "spaces")


def names(kind: str) -> Callable[[str], list[str]]:
    """The completion of a name of a kind, such as "tasks"."""

    def complete(incomplete: str) -> list[str]:
        return _beginning(incomplete, packaged_names(kind) if kind in _FILES else registry(kind).names())

    return complete


def words(*known: str) -> Callable[[str], list[str]]:
    """The completion of one of these words."""
    return lambda incomplete: _beginning(incomplete, known)


def listed(ctx: typer.Context, incomplete: str) -> list[str]:
    """The completion of NAME in `list KIND NAME`."""
    kind = str(ctx.params.get("kind"))
    files = packaged_names(kind) if kind in _FILES else []
    return _beginning(incomplete, [*files, *(registry(kind).names() if kind in KINDS else [])])


def _beginning(incomplete: str, known: Sequence[str]) -> list[str]:
    return [name for name in known if name.startswith(incomplete)]
