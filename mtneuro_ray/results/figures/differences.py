"""In what the networks of runs differ, to name the axes of a search and to tell methods apart."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from mtneuro_ray.results.methods import flattened, network_of
from mtneuro_ray.storage.records import RunRecord

# The axes of the paper's searches come first; what names or repeats a run is none.
_FIRST = ("optimizer.learning_rate", "data.batch_size")
_NONE = {"name", "seed"}


def differences(records: Sequence[RunRecord]) -> dict[str, list[Any]]:
    """Key of the network -> the values that it has among the runs, sorted, where it has several."""
    networks = [flattened(network_of(record)) for record in records]
    found: dict[str, list[Any]] = {}
    for key in sorted({key for network in networks for key in network} - _NONE):
        values = {json.dumps(network.get(key)): network.get(key) for network in networks}
        if len(values) > 1:
            found[key] = sorted(values.values(), key=_by_size)
    first = [key for key in _FIRST if key in found]
    return {key: found[key] for key in (*first, *(key for key in found if key not in first))}


def label_of(record: RunRecord, keys: Collection[str]) -> str:
    """The values of a run for these keys of its network, in one line."""
    network = flattened(network_of(record))
    return ", ".join(f"{key} {text_of(network.get(key))}" for key in keys)


def text_of(value: Any) -> str:
    """A value as a picture shows it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _by_size(value: Any) -> tuple[bool, float, str]:
    is_number = isinstance(value, (int, float))
    return (not is_number, value if is_number else 0.0, str(value))
