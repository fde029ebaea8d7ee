"""`mtneuro-ray list`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal

import typer

from mtneuro_ray.cli.completion import listed
from mtneuro_ray.config.base import flattened
from mtneuro_ray.config.describe import keys_of
from mtneuro_ray.config.loading import find, load_network, load_task, packaged_names
from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.config.space import SweepSpace, load_space
from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.registry import KINDS, Declaration, registry

Rows = list[dict[str, str]]
# Title -> rows of the same columns.
Listings = dict[str, Rows]
_COLORS = ("cyan", "green", "yellow", "")


def run_list(
    kind: Annotated[
        Literal["models", "methods", "tasks", "networks", "spaces", "metrics", "losses", "volumes", "trackers"],
        typer.Argument(
            metavar="KIND",
            help="models, methods, losses, metrics, volumes, trackers: what a file may name, plugins too; tasks, "
            "networks, spaces: the packaged files, and the kinds of task",
        ),
    ],
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", autocompletion=listed, help="one of them: each key with type, default and meaning"
        ),
    ] = None,
    format: Annotated[
        Literal["md", "json"] | None, typer.Option(help="default: colors on a terminal, Markdown in a pipe")
    ] = None,
) -> int:
    """Print all names of a kind, or every key of one."""
    listings = listings_of(kind, name)
    if format == "json":
        print(json.dumps([row for rows in listings.values() for row in rows], indent=1))
    elif format is None and sys.stdout.isatty():
        _show(listings)
    else:
        from mtneuro_ray.results.printing import markdown
        from mtneuro_ray.results.tables import Table

        tables = [Table(title, [*rows[0]], [[*row.values()] for row in rows]) for title, rows in listings.items()]
        print(markdown(tables))
    return 0


def listings_of(kind: str, name: str | None = None) -> Listings:
    """Tables by title: all names of a kind, or every key of one.

    Raises:
        InputError: there is none of that name.
    """
    return _all(kind) if name is None else _one(kind, name)


def _all(kind: str) -> Listings:
    listings = {}
    if kind in KINDS:
        rows = [{"name": name, "summary": each.summary} for name, each in registry(kind).all().items()]
        listings["kinds of task" if kind == "tasks" else kind] = rows
    if kind in ("tasks", "networks", "spaces"):
        listings[kind] = [_packaged(kind, name) for name in packaged_names(kind)]
    return listings


def _one(kind: str, name: str) -> Listings:
    if kind == "networks":
        network, _ = load_network(name)
        typed = {"model": type(network.model), "method": type(network.method)}
        keys = [row for row in keys_of(NetworkSettings) if row["key"].partition(".")[0] not in typed]
        keys += [row for owner, settings in typed.items() for row in keys_of(settings, f"{owner}.")]
        return {f"network {name}": _with_values(keys, network.model_dump(mode="json"))}
    if kind == "spaces":
        return _space(name)
    if kind == "tasks" and name not in registry(kind).names() and ":" not in name:
        task, _ = load_task(name)
        return {f"task {name}": _with_values(keys_of(TaskSettings), task.model_dump(mode="json"))}
    return _declared(kind, registry(kind).find(name, f"list {kind}"))


def _declared(kind: str, declaration: Declaration) -> Listings:
    """A declaration's fields, and every key of its settings."""
    facts = [{"what": "summary", "value": declaration.summary}]
    for field in fields(declaration):
        text = _in_words(getattr(declaration, field.name))
        if field.name not in ("name", "summary", "build", "settings") and text:
            facts.append({"what": field.name.replace("_", " "), "value": text})
    listings = {f"{kind}: {declaration.name}": facts}
    if declaration.settings is not None:
        owner = f"{kind.removesuffix('s')}." if kind in ("models", "methods") else ""
        listings[f"keys of {declaration.name}"] = keys_of(declaration.settings, owner)
    return listings


def _in_words(value: Any) -> str:
    """A value of a declaration in words; empty for objects and functions."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        parts = [_in_words(each) for each in value]
        return ", ".join(parts) if all(parts) else ""
    described = isinstance(value, str | int | float) or "__str__" in vars(type(value))
    return str(value) if described else ""


def _with_values(keys: Rows, values: Mapping[str, Any]) -> Rows:
    flat = {**values, **flattened(values)}
    rows = []
    for row in keys:
        text = json.dumps(flat.get(row["key"]))
        rows.append({"key": row["key"], "value": text if len(text) <= 60 else f"{text[:57]}...", **row})
    return rows


def _packaged(kind: str, name: str) -> dict[str, str]:
    """The row of a packaged task, network or space."""
    if kind == "networks":
        network, _ = load_network(name)
        return {
            "name": name,
            "model": network.model.name,
            "method": network.method.name,
            "classes": str(network.classes),
            "predicts": f"each {network.declaration.predicts}",
        }
    if kind == "tasks":
        task, _ = load_task(name)
        return {
            "name": name,
            "kind": task.task,
            "classes": ", ".join(task.classes),
            "regions": ", ".join(dict.fromkeys(cube.region for cube in task.cubes)),
            "image": ", ".join(task.image_addresses),
        }
    space = load_space(find("spaces", name))
    networks = dict.fromkeys(experiment.network for experiment in space.experiments)
    return {
        "name": name,
        "experiments": str(len(space.experiments)),
        "runs": str(sum(each.num_candidate_runs + len(each.seeds) for each in space.experiments)),
        "networks": ", ".join(networks) if len(networks) <= 4 else f"{len(networks)} networks",
    }


def _space(name: str) -> Listings:
    space = load_space(find("spaces", name))
    rows = []
    for experiment in space.experiments:
        search = experiment.search
        values = {key: axis.changed() if hasattr(axis, "changed") else axis for key, axis in search.axes.items()}
        axes = "; ".join(f"{key}: {json.dumps(axis)}" for key, axis in values.items())
        rows.append(
            {
                "task": experiment.task,
                "network": experiment.network,
                "search": f"{search.sampler} over {axes}" if experiment.searches else "none",
                "seeds": ", ".join(map(str, experiment.seeds)),
            }
        )
    run = [{"key": f"run.{key}", "value": json.dumps(value)} for key, value in space.run.changed().items()]
    resources = {"resources of a trial": run} if run else {}
    return {f"space {name}": rows, **resources, "keys of a space": keys_of(SweepSpace)}


def _show(listings: Listings) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    for title, rows in listings.items():
        table = Table(title=title, title_justify="left")
        for number, column in enumerate(rows[0]):
            table.add_column(column, style=_COLORS[min(number, len(_COLORS) - 1)], overflow="fold")
        for row in rows:
            table.add_row(*(escape(value) for value in row.values()))
        console.print(table)
