"""One tidy frame of results: a row per run, split, region, class and metric, with the settings of the run.

Every metric is a row by its own name, whichever task, method or metric made it: a number, one number per class, a
matrix over classes, or any of these per region. In memory and in the index the frame is packed by run: the keys, which
runs of one task share, and one array of values. `tidy` unfolds it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from mtneuro_ray.config.base import Settings, flattened
from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.errors import InputError
from mtneuro_ray.registry import registry
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
        run_id: Name of its run file.
        status: "done", "stopped" or "error".
        summary: model, task, role, seed, learning_rate, batch_size and epochs.
        method: Hash of all settings but seed and addresses; the seeds of one method share it.
        task_json: Settings of the task.
        network_json: Settings of the network, flattened.
        origin_json: Identities of volumes and weights, and the task that trained the encoder of a readout.
        keys_json: Keys of the values, in their order.
        values: One number per key.
        seconds: Time that the run took.
        error: Cause of a failure, in one line.
        record: The whole run file; None if the frame came from the index.
    """

    run_id: str
    status: str
    summary: Mapping[str, Any]
    method: str
    task_json: str
    network_json: str
    origin_json: str
    keys_json: str
    values: Sequence[float]
    seconds: float | None = None
    error: str | None = None
    record: RunRecord | None = None

    @classmethod
    def of(cls, record: RunRecord) -> Run:
        """A run file as a part of the frame."""
        settings = record.settings
        task, network = _filled_task(settings["task"]), _filled_network(settings["network"])
        encoder_run = settings.get("encoder_run")
        origin = {
            "data": list(settings["data"]),
            "weights": settings.get("weights"),
            "encoder_task": None if encoder_run is None else _filled_task(encoder_run["task"]),
        }
        cells = _cells(record, [str(name) for name in task["classes"]])
        return cls(
            record.run_id,
            record.status,
            record.summary,
            _method_hash(record.summary["model"], task, network, origin),
            json.dumps(task),
            json.dumps(network),
            json.dumps(origin),
            json.dumps(list(cells)),
            list(cells.values()),
            record.timings.get("total_s"),
            record.error,
            record,
        )

    @property
    def task(self) -> Mapping[str, Any]:
        """Settings of its task."""
        task: Mapping[str, Any] = _parsed(self.task_json)
        return task

    @property
    def network(self) -> Mapping[str, Any]:
        """Settings of its network by path, such as `optimizer.learning_rate`."""
        network: Mapping[str, Any] = _parsed(self.network_json)
        return network

    @property
    def data(self) -> tuple[str, ...]:
        """Identities of its volumes, image first."""
        return tuple(_parsed(self.origin_json)["data"])

    @property
    def encoder_task(self) -> Mapping[str, Any] | None:
        """Settings of the task that trained the encoder that a readout reads; None for any other run."""
        found: Mapping[str, Any] | None = _parsed(self.origin_json)["encoder_task"]
        return found

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
        """One entry per epoch; empty if the frame came from the index."""
        return [] if self.record is None else self.record.history

    def value(self, key: Key) -> float | None:
        """One value; None if the run has none."""
        place = self.keys.get(key)
        return None if place is None else float(self.values[place])

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


# Plain tuples, which equal keys: there are hundreds of them in each of many runs.
_Cells = dict[tuple[str, str, str, str], float]


def _cells(record: RunRecord, classes: Sequence[str]) -> _Cells:
    """Every number of a run file's metrics and class counts."""
    found: _Cells = {}
    for split, values in record.metrics.items():
        for metric, value in values.items():
            if metric == "regions":
                for region, own in value.items():
                    for name, part in own.items():
                        _add(found, split, name, region, part, classes)
            else:
                _add(found, split, metric, "", value, classes)
    for split, regions in record.class_counts.items():
        for region, counts in regions.items():
            _add(found, split, VOXELS, region, counts, classes)
    return found


def _add(found: _Cells, split: str, metric: str, region: str, value: Any, classes: Sequence[str]) -> None:
    """Add a metric: a number, one per class, one per true and predicted class, or any of these by region."""
    if isinstance(value, (int, float)):
        found[split, metric, "", region] = float(value)
    elif isinstance(value, dict):
        for name, part in value.items():
            _add(found, split, metric, str(name), part, classes)
    elif isinstance(value, list):
        for name, part in _named(value, classes):
            if isinstance(part, (int, float)):
                found[split, metric, name, region] = float(part)
            elif isinstance(part, list):
                for other, number in _named(part, classes):
                    if isinstance(number, (int, float)):
                        found[split, f"{metric}/{other}", name, region] = float(number)


def _named(values: Sequence[Any], classes: Sequence[str]) -> Iterator[tuple[str, Any]]:
    names = classes if len(values) == len(classes) else map(str, range(len(values)))
    return zip(names, values, strict=False)


@lru_cache(maxsize=1 << 15)
def _parsed(text: str) -> Any:
    return json.loads(text)


@lru_cache(maxsize=1 << 12)
def _places(keys_json: str) -> Mapping[Key, int]:
    return {Key(*key): place for place, key in enumerate(json.loads(keys_json))}


@lru_cache(maxsize=1 << 12)
def _scalar_places(keys_json: str) -> Sequence[tuple[str, int]]:
    places = _places(keys_json).items()
    return [(f"{key.split}/{key.metric}", place) for key, place in places if not key.class_ and not key.region]


def _method_hash(model: str, task: Mapping[str, Any], network: Mapping[str, Any], origin: Mapping[str, Any]) -> str:
    """Hash without the addresses of channels and weights, which their identities replace."""
    network = {**network, "seed": None}
    if origin["weights"] is not None:
        network["model.encoder_weights"] = None
    task = {**task, "image_chan": None, "annotation_chan": None}
    text = json.dumps([model, network, task, origin["data"], origin["weights"]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _filled_task(task: Mapping[str, Any]) -> dict[str, Any]:
    """A task with the defaults of keys that were added after its file was written, so that it stays the same method."""
    return {**_defaults(TaskSettings), **task}


def _filled_network(network: Mapping[str, Any]) -> dict[str, Any]:
    """A network, flattened, with the defaults of keys that were added after its file was written."""
    filled = dict(network)
    for owner, field in NetworkSettings.model_fields.items():
        table = network.get(owner, {})
        settings = field.annotation
        if owner in ("model", "method"):
            settings = _settings_of(f"{owner}s", table["name"])
        if isinstance(settings, type) and issubclass(settings, Settings):
            filled[owner] = {**_defaults(settings), **table}
    return flattened(filled)


@cache
def _settings_of(kind: str, name: str) -> type[Any] | None:
    """Type of the settings of a model or method; None for a plugin that is not installed here."""
    try:
        found: type[Any] | None = registry(kind).find(name).settings
        return found
    except InputError:
        return None


@cache
def _defaults(settings: type[Settings]) -> Mapping[str, Any]:
    found = {
        name: field.get_default(call_default_factory=True)
        for name, field in settings.model_fields.items()
        if not field.is_required()
    }
    plain = {name: value for name, value in found.items() if not isinstance(value, Settings)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}
