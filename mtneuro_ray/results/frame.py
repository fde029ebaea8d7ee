"""One tidy frame of results: a row per run, split, region, class and metric, with the settings of the run.

Every metric is a row by its own name, whichever task, method or metric made it: a number, one number per class, a
matrix over classes, or any of these per region. In memory and in the index the frame is packed by run: the keys, which
runs of one task share, and one array of values. `tidy` unfolds it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from mtneuro_ray.results.settings import filled_network, filled_task, method_hash
from mtneuro_ray.storage.records import RunRecord

if TYPE_CHECKING:
    import pandas as pd

VOXELS = "voxels"
"""Metric: voxels of a class in the truth of a region and split."""
CONFUSION = "confusion"
"""Metric: `confusion/PREDICTED` counts the voxels or samples of a true class that were predicted as PREDICTED."""

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


class Key(NamedTuple):
    """Place of one value of a run; class and region are empty for a value over all of them."""

    split: str
    metric: str
    class_: str = ""
    region: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One run of the frame.

    Attributes:
        status: "done", "stopped" or "error".
        summary: model, task, role, seed, learning_rate, batch_size and epochs.
        method: Hash of all settings but seed and addresses; the seeds of one method share it.
        network_json: Settings of the network, flattened.
        origin_json: Identities of volumes and weights, and the task that trained the encoder of a readout.
        keys_json: Keys of the values (K,), in their order.
        record: The whole run file; None for runs that an output folder's index has.
    """

    run_id: str
    status: str
    summary: Mapping[str, Any]
    method: str
    task_json: str
    network_json: str
    origin_json: str
    keys_json: str
    values: npt.NDArray[np.float64]
    seconds: float | None = None
    error: str | None = None
    record: RunRecord | None = None

    @classmethod
    def of(cls, record: RunRecord) -> Run:
        """A run file as a part of the frame."""
        settings = record.settings
        task, network = filled_task(settings["task"]), filled_network(settings["network"])
        encoder_run = settings.get("encoder_run")
        origin = {
            "data": list(settings["data"]),
            "weights": settings.get("weights"),
            "encoder_task": None if encoder_run is None else filled_task(encoder_run["task"]),
        }
        keys_json, values = _packed(record, tuple(map(str, task["classes"])))
        task_json = json.dumps(task)
        return cls(
            record.run_id,
            record.status,
            record.summary,
            method_hash(record.summary["model"], task_json, network, origin),
            task_json,
            json.dumps(network),
            json.dumps(origin),
            keys_json,
            values,
            record.timings.get("total_s"),
            record.error,
            record,
        )

    @property
    def task(self) -> Mapping[str, Any]:
        """Settings of its task."""
        return _parsed(self.task_json)

    @property
    def network(self) -> Mapping[str, Any]:
        """Settings of its network by path, such as `optimizer.learning_rate`."""
        return _parsed(self.network_json)

    @property
    def data(self) -> tuple[str, ...]:
        """Identities of its volumes, image first."""
        return tuple(_parsed(self.origin_json)["data"])

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of its task's classes."""
        return tuple(self.task["classes"])

    @property
    def keys(self) -> Mapping[Key, int]:
        """Key -> index of its value."""
        return _places(self.keys_json)

    @property
    def history(self) -> Sequence[Mapping[str, Any]]:
        """One entry per epoch; empty without the run file."""
        return [] if self.record is None else self.record.history

    def value(self, key: Key) -> float | None:
        """One value; None if the run has none, as that of a class without data."""
        place = self.keys.get(key)
        value = math.nan if place is None else float(self.values[place])
        return None if math.isnan(value) else value

    def metric(self, name: str) -> float | None:
        """A value of a whole split by its name, such as `val/dataset/iou_mean`."""
        split, _, metric = name.partition("/")
        return self.value(Key(split, metric))

    def scalars(self) -> dict[str, float]:
        """Name such as `val/loss` -> value, for values over all classes and regions."""
        return {name: float(self.values[place]) for name, place in _scalar_places(self.keys_json)}


def grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Items by key, both in the order in which they first occur."""
    groups: dict[K, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def runs_of(records: Iterable[RunRecord]) -> list[Run]:
    """The runs of some run files, in the frame's order."""
    return in_order(map(Run.of, records))


def in_order(runs: Iterable[Run]) -> list[Run]:
    """Runs by task, model, role, settings and seed."""
    return sorted(runs, key=_order)


def _order(run: Run) -> tuple[Any, ...]:
    summary = run.summary
    named = tuple(str(summary[key]) for key in ("task", "model", "role"))
    return (*named, *(summary[key] for key in ("learning_rate", "batch_size", "epochs", "seed")), run.run_id)


def tidy(runs: Sequence[Run]) -> pd.DataFrame:
    """The frame unfolded.

    Returns:
        Columns run_id, experiment ("model/task"), model, task, role, seed, status, split, metric, class, region and
        value, and one column per key of a network; lists as JSON. A run without metrics has no row.
    """
    import pandas as pd

    names = ("model", "task", "role", "seed")
    about = pd.DataFrame(
        [
            [run.run_id, f"{run.summary['model']}/{run.summary['task']}", *map(run.summary.get, names), run.status]
            for run in runs
        ],
        columns=["run_id", "experiment", *names, "status"],
    )
    settings = pd.DataFrame([{path: _scalar(value) for path, value in run.network.items()} for run in runs])
    owners = [place for place, run in enumerate(runs) for _ in run.values]
    keys = pd.DataFrame([key for run in runs for key in run.keys], columns=["split", "metric", "class", "region"])
    keys["value"] = [float(value) for run in runs for value in run.values]
    parts = [about.iloc[owners], keys, settings.drop(columns=["name", "seed"], errors="ignore").iloc[owners]]
    return pd.concat([part.reset_index(drop=True) for part in parts], axis=1)


def _scalar(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (list, dict)) else value


# Split, metric, region, and shape of the value: None for a number, the length of a list, or a tuple of shapes.
_Leaf = tuple[str, str, str, Any]
_NUMBERS = {int, float}


def _packed(record: RunRecord, classes: tuple[str, ...]) -> tuple[str, npt.NDArray[np.float64]]:
    """Keys, as JSON, and values of every number in a run file's metrics and class counts."""
    leaves: list[_Leaf] = []
    values: list[Any] = []
    for split, metrics in record.metrics.items():
        for metric, value in metrics.items():
            if metric == "regions":
                for region, own in value.items():
                    for name, part in own.items():
                        _add(leaves, values, split, name, region, part)
            else:
                _add(leaves, values, split, metric, "", value)
    for split, regions in record.class_counts.items():
        for region, counts in regions.items():
            _add(leaves, values, split, VOXELS, region, counts)
    keys, keys_json = _keys(tuple(leaves), classes)
    if keys_json is not None and all(map(_NUMBERS.__contains__, map(type, values))):
        return keys_json, np.array(values, np.float64)
    numbers = {key: value for key, value in zip(keys, values, strict=True) if isinstance(value, (int, float))}
    return json.dumps(list(numbers)), np.array(list(numbers.values()), np.float64)


def _add(leaves: list[_Leaf], values: list[Any], split: str, metric: str, region: str, value: Any) -> None:
    """Add a metric: a number, one per class, one per true and predicted class, or any of these by region."""
    if isinstance(value, dict):
        for name, part in value.items():
            _add(leaves, values, split, metric, str(name), part)
    else:
        leaves.append((split, metric, region, _flatten(value, values)))


def _flatten(value: Any, values: list[Any]) -> Any:
    """Append the numbers of a value; returns its shape."""
    if not isinstance(value, list):
        values.append(value)
        return None
    if list in map(type, value):
        return tuple(_flatten(part, values) for part in value)
    values += value
    return len(value)


@lru_cache(maxsize=1 << 12)
def _keys(leaves: tuple[_Leaf, ...], classes: tuple[str, ...]) -> tuple[Sequence[Key], str | None]:
    """The key of each value; the same as JSON, None if some are equal."""

    def names(count: int) -> Sequence[str]:
        return classes if count == len(classes) else [str(number) for number in range(count)]

    keys = []
    for split, metric, region, shape in leaves:
        if shape is None:
            keys.append(Key(split, metric, "", region))
        elif isinstance(shape, int):
            keys += [Key(split, metric, name, region) for name in names(shape)]
        else:
            for true, row in zip(names(len(shape)), shape, strict=True):
                columns = [metric] if row is None else [f"{metric}/{name}" for name in names(row)]
                keys += [Key(split, column, true, region) for column in columns]
    return keys, json.dumps(keys) if len(set(keys)) == len(keys) else None


@lru_cache(maxsize=1 << 15)
def _parsed(text: str) -> Mapping[str, Any]:
    parsed: Mapping[str, Any] = json.loads(text)
    return parsed


@lru_cache(maxsize=1 << 12)
def _places(keys_json: str) -> Mapping[Key, int]:
    return {Key(*key): place for place, key in enumerate(json.loads(keys_json))}


@lru_cache(maxsize=1 << 12)
def _scalar_places(keys_json: str) -> Sequence[tuple[str, int]]:
    places = _places(keys_json).items()
    return [(f"{key.split}/{key.metric}", place) for key, place in places if not key.class_ and not key.region]
