"""One tidy frame of results: a row per run, split, region, class and metric, with what each run was set to.

Every metric lands in it by its own name, whatever task, method or metric made it: a number, one number per class, a
matrix over classes, or any of these per region. In memory and in the index the frame is packed by run: the keys, which
runs of one task share, and one array of values. `tidy` unfolds it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from mtneuro_ray.results.defaults import filled_network, filled_task
from mtneuro_ray.storage.records import RunRecord

if TYPE_CHECKING:
    import pandas as pd

VOXELS = "voxels"
"""Metric: voxels of a class in the truth of a region and split."""
CONFUSION = "confusion"
"""Metric: `confusion/PREDICTED` counts the voxels or samples of a true class that were predicted so."""


class Key(NamedTuple):
    """What one value of a run is of; empty texts where it is of no single region or class."""

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
        method: Hash of all settings but the seed and addresses: runs that share it are seeds of one method.
        task_json: The task's settings.
        network_json: The network's settings, flattened.
        origin_json: Identities of volumes and weights, and the task that trained the encoder of a readout.
        keys_json: What the values are of.
        values: In the order of the keys.
        seconds: Time that the run took.
        error: What went wrong, in one line.
        record: The whole run file; None where the frame came from the index.
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
        task, network = filled_task(settings["task"]), filled_network(settings["network"])
        encoder_run = settings.get("encoder_run")
        origin = {
            "data": list(settings["data"]),
            "weights": settings.get("weights"),
            "encoder_task": None if encoder_run is None else filled_task(encoder_run["task"]),
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
        """Settings of the task that trained the encoder which the run reads; None for any other run."""
        found: Mapping[str, Any] | None = _parsed(self.origin_json)["encoder_task"]
        return found

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of its task's classes."""
        return tuple(self.task["classes"])

    @property
    def keys(self) -> Mapping[Key, int]:
        """What its values are of -> their places."""
        return _places(self.keys_json)

    @property
    def history(self) -> Sequence[Mapping[str, Any]]:
        """One entry per epoch; none where the frame came from the index."""
        return [] if self.record is None else self.record.history

    def value(self, key: Key) -> float | None:
        """One value; None where the run has none."""
        place = self.keys.get(key)
        return None if place is None else float(self.values[place])

    def metric(self, name: str) -> float | None:
        """A value of a whole split by its name, such as `val/dataset/iou_mean`."""
        split, _, metric = name.partition("/")
        return self.value(Key(split, metric))

    def scalars(self) -> dict[str, float]:
        """The values that are of no single class and region, by their names."""
        return {
            f"{key.split}/{key.metric}": float(self.values[place])
            for key, place in self.keys.items()
            if not key.class_ and not key.region
        }


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

    about = pd.DataFrame([_about(run) for run in runs], columns=_RUN_COLUMNS)
    settings = pd.DataFrame([{path: _scalar(value) for path, value in run.network.items()} for run in runs])
    owners = [place for place, run in enumerate(runs) for _ in run.values]
    keys = pd.DataFrame([key for run in runs for key in run.keys], columns=["split", "metric", "class", "region"])
    keys["value"] = [float(value) for run in runs for value in run.values]
    parts = [about.iloc[owners], keys, settings.drop(columns=["name", "seed"], errors="ignore").iloc[owners]]
    return pd.concat([part.reset_index(drop=True) for part in parts], axis=1)


_RUN_COLUMNS = ["run_id", "experiment", "model", "task", "role", "seed", "status"]


def _about(run: Run) -> list[Any]:
    names = [run.summary[name] for name in ("model", "task", "role", "seed")]
    return [run.run_id, f"{names[0]}/{names[1]}", *names, run.status]


def _scalar(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (list, dict)) else value


# Split, metric, class and region -> value: plain tuples, which equal keys, as there are hundreds in each of many runs.
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
        for name, part in zip(_names(value, classes), value, strict=True):
            if isinstance(part, (int, float)):
                found[split, metric, name, region] = float(part)
            elif isinstance(part, list):
                for other, number in zip(_names(part, classes), part, strict=True):
                    if isinstance(number, (int, float)):
                        found[split, f"{metric}/{other}", name, region] = float(number)


def _names(values: Sequence[Any], classes: Sequence[str]) -> Sequence[str]:
    return classes if len(values) == len(classes) else [str(number) for number in range(len(values))]


@lru_cache(maxsize=1 << 15)
def _parsed(text: str) -> Any:
    return json.loads(text)


@lru_cache(maxsize=1 << 12)
def _places(text: str) -> Mapping[Key, int]:
    return {Key(*key): place for place, key in enumerate(json.loads(text))}


def _method_hash(model: str, task: Mapping[str, Any], network: Mapping[str, Any], origin: Mapping[str, Any]) -> str:
    """Addresses of channels and of weights are where, not what: identities stand for both."""
    network = {**network, "seed": None}
    if origin["weights"] is not None:
        network["model.encoder_weights"] = None
    task = {**task, "image_chan": None, "annotation_chan": None}
    text = json.dumps([model, network, task, origin["data"], origin["weights"]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
