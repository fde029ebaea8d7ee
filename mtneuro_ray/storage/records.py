"""Run records, OUT/runs/RUN_ID.json, from which all results are derived; and the names of the files of weights."""

from __future__ import annotations

import gc
import json
import logging
import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.errors import InputError, printable
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.run_file import Status, parse_run_file

logger = logging.getLogger(__name__)

_FOLDER = "runs"
_READERS = 16
# Files that a warning names.
_NAMED = 5
# Files in the folder of a training: the last checkpoint, the final weights, and the outcome, which is written last.
LAST = "last.pt"
MODEL = "model.pt"
TRAINED = "trained.json"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The result of a run, with its settings.

    Attributes:
        run_id: Hash of `settings`.
        status: "done"; "stopped" for a candidate that the scheduler of its search ended early; or "error", which the
            next submit runs again.
        summary: The settings that tables show.
        settings: All settings of the run; see `load_settings`.
        metrics: Split -> name -> value.
        history: Metrics of each epoch, with its number "epoch".
        class_counts: Split -> region -> number of true voxels of each class, for final segmentation runs.
        timings: Durations in seconds, rates per second, and "began_at" and "ended_at" in seconds since 1970.
        placement: Workers, threads and devices of the run; "asked" where these differ from its settings, "alone_after"
            with the reason why it was repeated by itself, and "out_of_memory" where memory was exhausted.
        versions: Library -> version, for the libraries that affect the numbers.
        host: Host name of the leading worker.
        error: Cause of the error, in one line.
        notes: Caveats about the metrics, one sentence each, such as a split without a class.
        normalization: Scaling of grey values into inputs, with the statistics of the training split
            (`data.normalization.Scaling`); empty for runs of earlier versions, which were of bytes.
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
    normalization: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def failed(cls, run: RunSettings, error: str, **details: Any) -> RunRecord:
        """The record of a run that ended in an error."""
        return cls(run.run_id, "error", run.summary(), run.model_dump(mode="json"), error=error, **details)

    def load_settings(self) -> RunSettings:
        """The settings of the run, validated.

        Raises:
            InputError: the settings are not accepted, or have another hash than `run_id`.
        """
        where = f"run {self.run_id}: settings"
        run = RunSettings.load(self.settings, where)
        if run.run_id != self.run_id:
            raise InputError(f"{where}: give run {run.run_id}; accepted: the settings that the run was trained with")
        return run

    def metric(self, name: str) -> float | None:
        """The value of a metric such as `val/dataset/iou_mean`; None if the run has no such number."""
        split, _, key = name.partition("/")
        value = self.metrics.get(split, {}).get(key)
        return value if isinstance(value, float) else None


class RunFolder:
    """The run files of one output folder."""

    def __init__(self, out: Folder) -> None:
        self._folder = out / _FOLDER

    def write(self, record: RunRecord) -> None:
        """Write the file of a run atomically. A file with status "done" is never replaced, also by concurrent calls.

        A machine that has lost the head of its cluster works on for a while, and may end a run that the next sweep has
        ended already.
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
        """The record of a run; None if it has no file, or if its file is damaged, with a warning."""
        return next(iter(self.read_all([run_id])), None)

    def ids(self) -> list[str]:
        """Sorted ids of the runs that have a file."""
        return [name.removesuffix(".json") for name in self._folder.list(".json")]

    def all(self) -> list[RunRecord]:
        """All records, sorted by run id."""
        return self.read_all(self.ids())

    def read_all(self, run_ids: Iterable[str]) -> list[RunRecord]:
        """The records of these runs, in their order. Damaged files are left out, with one warning for each fault."""
        wanted = list(run_ids)
        if self._folder.is_local:
            with uncollected():
                found = list(map(self._read, wanted))
        else:
            # A bucket takes long to answer.
            with ThreadPoolExecutor(_READERS) as readers:
                found = list(readers.map(self._read, wanted))
        left_out: dict[str, list[str]] = {}
        for run_id, one in zip(wanted, found, strict=True):
            if isinstance(one, str):
                left_out.setdefault(one, []).append(_name(run_id))
        for reason, names in left_out.items():
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            logger.warning("%s", printable(f"{self._folder}/{', '.join(names[:_NAMED])}{more}: left out: {reason}"))
        return [one for one in found if isinstance(one, RunRecord)]

    def _read(self, run_id: str) -> RunRecord | str | None:
        """The record of a run, the fault of its file, or None without a file."""
        try:
            return RunRecord(**parse_run_file(self._folder.read(_name(run_id)), run_id))
        except FileNotFoundError:
            return None
        except ValueError as error:
            return str(error)
        except OSError as error:
            return error.strerror or str(error)


@contextmanager
def uncollected() -> Iterator[None]:
    """Pause Python's search for reference cycles: the million objects of some thousand records have none."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _name(run_id: str) -> str:
    return f"{run_id}.json"


def outcome(record: RunRecord | None, metric: str) -> str:
    """The outcome of a run that has ended, in a few words.

    Args:
        record: Record of the run; None if its process was lost.
        metric: Name of the metric to show.
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


def checkpoint_folder(out: Folder, run: RunSettings) -> Folder:
    """Folder of the checkpoints and final weights of a run, shared by all runs that need the same training."""
    return out / "checkpoints" / run.train_id


def is_trained(folder: Folder) -> bool:
    """True if a finished training has left its weights in the folder."""
    return folder.exists(TRAINED) and folder.exists(MODEL)


def has_weights(out: Folder, run: RunSettings) -> bool:
    """True if the training of a run is finished and has left its weights."""
    return is_trained(checkpoint_folder(out, run))
