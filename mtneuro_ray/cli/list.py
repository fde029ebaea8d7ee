"""`mtneuro-ray list`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

import typer

from mtneuro_ray.config.base import flattened
from mtneuro_ray.config.describe import Key, keys_of
from mtneuro_ray.config.loading import find as find_packaged
from mtneuro_ray.config.loading import load_network, load_task, packaged_names
from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.config.space import SweepSpace, load_space
from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.registry import Declaration, Registry, registry

Rows = list[dict[str, str]]
_DECLARED = ("name", "summary", "build", "settings")
_COLORS = ("cyan", "green", "yellow", "")


@dataclass(frozen=True, slots=True)
class _Listing:
    """A table of what there is: a title, and rows of the same columns."""

    title: str
    rows: Rows


def run(
    kind: Annotated[
        Literal["models", "methods", "tasks", "networks", "spaces", "metrics", "losses", "volumes"],
        typer.Argument(
            metavar="KIND",
            help="models, methods, losses, metrics, volumes: what a network or a task may name, plugins too; tasks, "
            "networks, spaces: the packaged files, and the kinds of task",
        ),
    ],
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="one of them: each key with type, default and meaning")
    ] = None,
    format: Annotated[
        Literal["md", "json"] | None, typer.Option(help="default: colors on a terminal, Markdown in a pipe")
    ] = None,
) -> int:
    """Print what there is of a kind, or every key of one."""
    listings = _all(kind) if name is None else _one(kind, name)
    if format == "json":
        print(json.dumps([row for listing in listings for row in listing.rows], indent=1))
    elif format is None and sys.stdout.isatty():
        _show(listings)
    else:
        from mtneuro_ray.results.render import markdown
        from mtneuro_ray.results.tables import Table

        print(
            markdown(
                [Table(each.title, list(each.rows[0]), [[*row.values()] for row in each.rows]) for each in listings]
            )
        )
    return 0


def _all(kind: str) -> list[_Listing]:
    if kind == "networks":
        return [_Listing("networks", [_network_row(name) for name in packaged_names(kind)])]
    if kind == "spaces":
        return [_Listing("spaces", [_space_row(name) for name in packaged_names(kind)])]
    found: Registry[Any] = registry(kind)
    rows = [{"name": name, "summary": declaration.summary} for name, declaration in found.all().items()]
    if kind != "tasks":
        return [_Listing(kind, rows)]
    return [
        _Listing("kinds of task", rows),
        _Listing("tasks", [_task_row(name) for name in packaged_names(kind)]),
    ]


def _one(kind: str, name: str) -> list[_Listing]:
    """What is known of one name.

    Raises:
        InputError: there is none.
    """
    if kind == "networks":
        network, _ = load_network(name)
        return [_Listing(f"network {name}", _with_values(_network_keys(network), network.model_dump(mode="json")))]
    if kind == "spaces":
        return _space(name)
    found: Registry[Any] = registry(kind)
    if kind == "tasks" and name not in found.names() and ":" not in name:
        task, _ = load_task(name)
        return [_Listing(f"task {name}", _with_values(keys_of(TaskSettings), task.model_dump(mode="json")))]
    return _declared(kind, found.find(name, f"list {kind}"))


def _declared(kind: str, declaration: Declaration) -> list[_Listing]:
    """A declaration: what it needs and accepts, and every key of its settings."""
    facts = [{"what": "summary", "value": declaration.summary}]
    for field in fields(declaration):
        value = getattr(declaration, field.name)
        if field.name not in _DECLARED and (text := _told(value)):
            facts.append({"what": field.name.replace("_", " "), "value": text})
    listings = [_Listing(f"{kind}: {declaration.name}", facts)]
    if declaration.settings is not None:
        owner = f"{kind.removesuffix('s')}." if kind in ("models", "methods") else ""
        keys = keys_of(declaration.settings, owner)
        listings.append(_Listing(f"keys of {declaration.name}", [_key_row(key) for key in keys]))
    return listings


def _told(value: Any) -> str:
    """A value of a declaration where words tell it; empty where it is an object or a function."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        parts = [_told(each) for each in value]
        return ", ".join(parts) if all(parts) else ""
    described = isinstance(value, str | int | float) or "__str__" in vars(type(value))
    return str(value) if described else ""


def _network_keys(network: NetworkSettings) -> list[Key]:
    """Keys of a network, with those of its own model and method."""
    typed = {"model": type(network.model), "method": type(network.method)}
    keys = [key for key in keys_of(NetworkSettings) if key.path.partition(".")[0] not in typed]
    return [*keys, *(key for owner, settings in typed.items() for key in keys_of(settings, f"{owner}."))]


def _key_row(key: Key) -> dict[str, str]:
    return {"key": key.path, "type": key.type, "default": key.default, "meaning": key.meaning}


def _with_values(keys: Sequence[Key], values: Mapping[str, Any]) -> Rows:
    flat = {**values, **flattened(values)}
    rows = []
    for key in keys:
        text = json.dumps(flat.get(key.path))
        told = text if len(text) <= 60 else f"{text[:57]}..."
        rows.append({"key": key.path, "value": told, **{k: v for k, v in _key_row(key).items() if k != "key"}})
    return rows


def _network_row(name: str) -> dict[str, str]:
    network, _ = load_network(name)
    return {
        "name": name,
        "model": network.model.name,
        "method": network.method.name,
        "classes": str(network.classes),
        "predicts": f"each {network.declaration.predicts}",
    }


def _task_row(name: str) -> dict[str, str]:
    task, _ = load_task(name)
    regions = dict.fromkeys(cube.region for cube in task.cubes)
    return {
        "name": name,
        "kind": task.task,
        "classes": ", ".join(task.classes),
        "regions": ", ".join(regions),
        "image": task.image_chan,
    }


def _space_row(name: str) -> dict[str, str]:
    space = load_space(find_packaged("spaces", name))
    runs = sum(each.num_candidate_runs + len(each.seeds) for each in space.experiments)
    networks = dict.fromkeys(experiment.network for experiment in space.experiments)
    return {
        "name": name,
        "experiments": str(len(space.experiments)),
        "runs": str(runs),
        "networks": ", ".join(networks) if len(networks) <= 4 else f"{len(networks)} networks",
    }


def _space(name: str) -> list[_Listing]:
    space: SweepSpace = load_space(find_packaged("spaces", name))
    rows = []
    for experiment in space.experiments:
        search = experiment.search
        axes = "; ".join(f"{key}: {json.dumps(_plain(axis))}" for key, axis in search.axes.items())
        rows.append(
            {
                "task": experiment.task,
                "network": experiment.network,
                "search": f"{search.sampler} over {axes}" if experiment.searches else "none",
                "seeds": ", ".join(map(str, experiment.seeds)),
            }
        )
    run = [{"key": f"run.{key}", "value": json.dumps(value)} for key, value in space.run.changed().items()]
    keys = [_key_row(key) for key in keys_of(SweepSpace)]
    listings = [
        _Listing(f"space {name}", rows),
        _Listing("resources of a trial", run),
        _Listing("keys of a space", keys),
    ]
    return [listing for listing in listings if listing.rows]


def _plain(axis: Any) -> Any:
    return axis.changed() if hasattr(axis, "changed") else axis


def _show(listings: Sequence[_Listing]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    for listing in listings:
        columns = [*listing.rows[0]]
        table = Table(title=listing.title, title_justify="left")
        for number, column in enumerate(columns):
            table.add_column(column, style=_COLORS[min(number, len(_COLORS) - 1)], overflow="fold")
        for row in listing.rows:
            table.add_row(*(escape(value) for value in row.values()))
        console.print(table)
