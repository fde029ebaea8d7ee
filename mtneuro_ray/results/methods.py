"""Seeds of one method, the settings in which methods differ, and names of data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from mtneuro_ray.results.frame import Run, grouped

FIRST = ("optimizer.learning_rate", "data.batch_size")
"""The axes of the paper's searches, which come first."""
_NOT_COMPARED = {"name", "seed"}


def finished(runs: Iterable[Run], role: str = "final") -> list[Run]:
    """The runs of a role that came to their end."""
    return [run for run in runs if run.status == "done" and run.summary["role"] == role]


def by_method(runs: Iterable[Run]) -> list[list[Run]]:
    """The runs of each method: its seeds."""
    return list(grouped(runs, lambda run: run.method).values())


def differences(runs: Iterable[Run], without: Collection[str] = ()) -> dict[str, list[Any]]:
    """Path of a network's key -> its sorted values, for keys with several values among some runs.

    The name, the seed and the paths in `without` are left out.
    """
    networks = [run.network for run in runs]
    found: dict[str, list[Any]] = {}
    for path in sorted(set().union(*networks) - _NOT_COMPARED - set(without)):
        values = [network.get(path) for network in networks]
        if values.count(values[0]) != len(values):
            distinct = {json.dumps(value): value for value in values}
            found[path] = sorted(distinct.values(), key=_by_size)
    first = [path for path in FIRST if path in found]
    return {path: found[path] for path in dict.fromkeys((*first, *found))}


def _by_size(value: Any) -> tuple[bool, float, str]:
    is_number = isinstance(value, (int, float))
    return (not is_number, value if is_number else 0.0, str(value))


def short(path: str, network: Mapping[str, Any]) -> str:
    """The name of a key as `--set` takes it: the last part of its path if no other key ends in it, else the path."""
    owner, _, last = path.rpartition(".")
    if owner and last == "name":
        return owner
    return last if sum(other.rpartition(".")[2] == last for other in network) == 1 else path


def as_option(path: str, network: Mapping[str, Any]) -> str:
    """A key and its value as `--set` takes them; a file by its name alone."""
    value, key = network.get(path), short(path, network)
    if isinstance(value, str):
        return f"{key}={f'file:{PurePath(value).name}' if value.startswith('file:') else value}"
    return f"{key}={json.dumps(value)}"


def label_of(run: Run, paths: Collection[str]) -> str:
    """The values of a run for some keys of its network, in one line."""
    return ", ".join(f"{short(path, run.network)} {text_of(run.network.get(path))}" for path in paths)


def candidate_text(summary: Mapping[str, Any]) -> str:
    """Learning rate and batch size of a run's summary, in one line."""
    return f"lr {summary['learning_rate']:g}, batch {summary['batch_size']}"


def text_of(value: Any) -> str:
    """A setting's value as text."""
    return f"{value:g}" if isinstance(value, float) else str(value)


class Seeds:
    """Number of seeds that each method should have, from all runs of any status.

    That is its own seeds, the failed ones too, or those of another method of its experiment that has all of them.
    """

    def __init__(self, runs: Iterable[Run]) -> None:
        self._known: dict[tuple[Any, ...], dict[str, set[int]]] = {}
        for run in (run for run in runs if run.summary["role"] == "final"):
            self._known.setdefault(_experiment(run), {}).setdefault(run.method, set()).add(run.summary["seed"])

    def told(self, seeds: Sequence[Run]) -> str:
        """The number of finished seeds of a method, "2 of 5" if some are missing."""
        own = {run.summary["seed"] for run in seeds}
        known = self._known.get(_experiment(seeds[0]), {}).values()
        asked = max((len(other) for other in known if other >= own), default=len(own))
        return str(len(seeds)) if asked == len(seeds) else f"{len(seeds)} of {asked}"


def _experiment(run: Run) -> tuple[Any, ...]:
    return (*(run.summary[key] for key in ("model", "task", "epochs")), run.origin_json)


def data_labels(runs: Iterable[Run]) -> dict[tuple[str, ...], str]:
    """Identities of volumes -> "KIND data" as titles have it, and a digest if one task has several states of a kind."""
    states: dict[tuple[str, str], set[tuple[str, ...]]] = {}
    kinds: dict[tuple[str, ...], str] = {}
    for run in {(run.summary["task"], run.origin_json): run for run in runs}.values():
        kinds[run.data] = run.data[0].partition(":")[0]
        states.setdefault((run.summary["task"], kinds[run.data]), set()).add(run.data)
    several = {data for own in states.values() if len(own) > 1 for data in own}
    return {data: f"{kind} data" + (f" {_digest(data)}" if data in several else "") for data, kind in kinds.items()}


def _digest(data: tuple[str, ...]) -> str:
    return hashlib.sha256(json.dumps(data).encode()).hexdigest()[:6]
