"""One JSON file per run: the truth that every table is derived from."""

from __future__ import annotations

import gc
import json
import logging
import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.errors import InputError, printable
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.run_file import Status, parse_run_file

logger = logging.getLogger(__name__)

_FOLDER = "runs"
_READERS = 16
# Files that are left out for one reason, of which each is named.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What is kept of a run.

    Attributes:
        run_id: Hash of `settings`.
        status: A "stopped" candidate was ended early by the scheduler of its search. "error" runs are shown, and tried
            again by the next submit.
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

    def load_settings(self) -> RunSettings:
        """The settings of the run.

        Raises:
            InputError: they are not accepted, or are not those that the run is named by.
        """
        where = f"run {self.run_id}: settings"
        run = RunSettings.load(self.settings, where)
        if run.run_id != self.run_id:
            raise InputError(f"{where}: give run {run.run_id}; accepted: the settings that the run was trained with")
        return run

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
        """Write a run's file, whole or not at all. A finished run is never replaced, whoever else writes.

        A machine that has lost its head goes on for a while, and may end a run that the next sweep has already ended.
        """
        name, content = _name(record.run_id), json.dumps(asdict(record), indent=1, allow_nan=True).encode()
        while True:
            try:
                found, version = self._folder.read_with_version(name)
            except FileNotFoundError:
                written = self._folder.create(name, content)
            else:
                with suppress(ValueError):
                    if parse_run_file(found, record.run_id)["status"] == "done":
                        return
                written = self._folder.replace_if(name, content, version)
            if written:
                return

    def read(self, run_id: str) -> RunRecord | None:
        """The record of a run, or None where there is none, or its file is left out with a warning."""
        return next(iter(self.read_all([run_id])), None)

    def ids(self) -> list[str]:
        """Ids of the runs that have a file, in order."""
        return [name.removesuffix(".json") for name in self._folder.list(".json")]

    def all(self) -> list[RunRecord]:
        """Every record, in the order of the run ids."""
        return self.read_all(self.ids())

    def read_all(self, run_ids: Iterable[str]) -> list[RunRecord]:
        """The records of runs, in their order; files that are none are left out with warnings that name them."""
        if self._folder.is_local:
            with uncollected():
                found = list(map(self._read, run_ids))
        else:
            # An answer of a bucket takes its time.
            with ThreadPoolExecutor(_READERS) as readers:
                found = list(readers.map(self._read, run_ids))
        left_out: dict[str, list[str]] = {}
        for one in found:
            if isinstance(one, _LeftOut):
                left_out.setdefault(one.reason, []).append(one.name)
        for reason, names in left_out.items():
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            logger.warning("%s", printable(f"{self._folder}/{', '.join(names[:_NAMED])}{more}: left out: {reason}"))
        return [one for one in found if isinstance(one, RunRecord)]

    def _read(self, run_id: str) -> RunRecord | _LeftOut | None:
        name = _name(run_id)
        try:
            return RunRecord(**parse_run_file(self._folder.read(name), run_id))
        except FileNotFoundError:
            return None
        except ValueError as error:
            return _LeftOut(name, str(error))
        except OSError as error:
            return _LeftOut(name, error.strerror or str(error))


@contextmanager
def uncollected() -> Iterator[None]:
    """Pause the search for reference cycles, of which the million objects of some thousand records have none."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _LeftOut(NamedTuple):
    name: str
    reason: str


def _name(run_id: str) -> str:
    return f"{run_id}.json"


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
        last = record.history[-1] if record.history else {}
        return f"{metric} {last.get(metric, math.nan):.4f}, stopped after epoch {last.get('epoch', 0)}"
    value, seconds = record.metric(metric), f"{record.timings.get('total_s', 0.0):.1f} s"
    return seconds if value is None else f"{metric} {value:.4f}, {seconds}"
