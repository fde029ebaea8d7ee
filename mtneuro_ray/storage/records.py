"""One JSON file per run: the truth that every table is derived from."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.storage.folder import Folder

logger = logging.getLogger(__name__)

Status = Literal["done", "stopped", "error"]
_FOLDER = "runs"
_READERS = 16
_SUMMARY = {"model", "task", "role", "learning_rate", "batch_size", "seed", "epochs"}
# Settings with a default may be younger than a run file.
_SETTINGS = {name for name, setting in RunSettings.model_fields.items() if setting.is_required()}


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What is kept of a run.

    Attributes:
        run_id: Hash of `settings`.
        status: A "stopped" candidate was ended early by the scheduler of its search. "error" runs are shown, and
        tried again
            by the next submit.
        summary: The settings that tables show.
        settings: All settings, from which the run can be repeated.
        metrics: Split -> metrics.
        history: One entry per epoch.
        class_counts: Split -> region -> voxels of each class in the truth; of final segmentation runs.
        timings: Seconds and rates of this one execution, and when it began and ended, in seconds since 1970.
        placement: Workers, threads and devices that it ran on. Where it asked for less or more than its settings say,
            "asked"; where it was tried again by itself, "alone_after": why; where memory was exhausted,
            "out_of_memory".
        versions: Of the libraries that decide the numbers.
        host: Where the leader ran.
        error: What went wrong, in one line.
        notes: What a reader of the metrics has to know, one sentence each: a split without a class, a model that is
            no better than one that predicts a single class.
    """

    run_id: str
    status: Status
    summary: dict[str, Any]
    settings: dict[str, Any]
    metrics: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    class_counts: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    placement: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    host: str = ""
    error: str | None = None
    notes: list[str] = field(default_factory=list)

    @classmethod
    def failed(cls, run: RunSettings, error: str, **details: Any) -> RunRecord:
        """The record of a run that ended in an error."""
        return cls(run.run_id, "error", run.summary(), run.model_dump(mode="json"), error=error, **details)

    def metric(self, name: str) -> float | None:
        """A number such as `val/dataset/iou_mean`, or None where the run has none."""
        split, _, key = name.partition("/")
        value = self.metrics.get(split, {}).get(key)
        return value if isinstance(value, float) else None


class RunFolder:
    """The run files of one output folder."""

    def __init__(self, out: Folder) -> None:
        self.out = out
        self._folder = out / _FOLDER

    def write(self, record: RunRecord) -> None:
        """Write a run's file, whole or not at all. A finished run is never replaced.

        A machine that has lost its head goes on for a while, and may end a run that the next sweep has already ended.
        """
        if self.is_done(record.run_id):
            return
        text = json.dumps(asdict(record), indent=1, allow_nan=True)
        self._folder.write(f"{record.run_id}.json", text.encode())

    def read(self, run_id: str) -> RunRecord | None:
        """The record of a run, or None where there is none that can be read."""
        name = f"{run_id}.json"
        try:
            record = RunRecord(**json.loads(self._folder.read(name)))
            if not _is_complete(record) or record.run_id != run_id:
                raise ValueError("keys are missing, or it is a copy of another run's")
            return record
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, RecursionError):
            logger.warning("%s/%s: is not a run file of this version and is left out", self._folder, name)
            return None

    def is_done(self, run_id: str) -> bool:
        """Whether the run has finished."""
        record = self.read(run_id)
        return record is not None and record.status == "done"

    def ids(self) -> list[str]:
        """Ids of the runs that have a file, in order."""
        return [name.removesuffix(".json") for name in self._folder.list(".json")]

    def all(self) -> list[RunRecord]:
        """Every record, in the order of the run ids."""
        return self.read_all(self.ids())

    def read_all(self, run_ids: Iterable[str]) -> list[RunRecord]:
        """The records of runs, in their order, without those that can't be read."""
        # A file of a bucket takes three round trips.
        with ThreadPoolExecutor(1 if self._folder.is_local else _READERS) as readers:
            return [record for record in readers.map(self.read, run_ids) if record is not None]


def _is_complete(record: RunRecord) -> bool:
    """Whether a record holds what tables are made of."""
    mappings = (record.summary, record.settings, record.metrics, record.timings)
    return (
        record.status in get_args(Status)
        and all(isinstance(mapping, dict) for mapping in mappings)
        and record.summary.keys() >= _SUMMARY
        and record.settings.keys() >= _SETTINGS
    )


def outcome(record: RunRecord | None, metric: str) -> str:
    """What a run that has ended came to, in a few words.

    Args:
        record: Its record; None for one that left none.
        metric: What it is judged by.
    """
    if record is None:
        return "error: its process was lost"
    if record.status == "error":
        return f"error: {record.error}"
    if record.status == "stopped":
        last = record.history[-1]
        return f"{metric} {last[metric]:.4f}, stopped after epoch {last['epoch']}"
    value, seconds = record.metric(metric), f"{record.timings.get('total_s', 0.0):.1f} s"
    return seconds if value is None else f"{metric} {value:.4f}, {seconds}"


def scalars(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The plain numbers among the metrics of all splits, named `split/metric`."""
    return {
        f"{split}/{name}": value
        for split, values in metrics.items()
        for name, value in values.items()
        if isinstance(value, float)
    }
