"""Contract of a tracker: its declaration, and what it is given of each run."""

from __future__ import annotations

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any

from mtneuro_ray.errors import InputError
from mtneuro_ray.registry import Declaration
from mtneuro_ray.results.frame import Run
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import MODEL, RunRecord

# Raised where the same run file is to be written to a tracker in another way, so that pushed runs are written again.
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class TrackerDeclaration(Declaration):
    """One tracker.

    `build` is called with the place (a text, or None for the tracker's own), the output folder and the name of the
    sweep, and returns a `Tracker`.

    Attributes:
        packages: Modules that it imports.
        extra: Extra of this package that installs them.
        places: Accepted places, in words.
    """

    packages: tuple[str, ...]
    extra: str = "trackers"
    places: str

    def check(self, where: str) -> None:
        """Check that its packages are installed; none is imported.

        Raises:
            InputError: one is missing.
        """
        for package in self.packages:
            if find_spec(package) is None:
                remedy = f"pip install 'mtneuro-ray[{self.extra}]'"
                raise InputError(f"{where}: {self.name}: {package} is not installed; accepted: {remedy}")


@dataclass(frozen=True)
class Tracked:
    """A run as a tracker is given it.

    Attributes:
        run_id: Id of the run, the key of everything that a tracker keeps of it.
        digest: Changes when the run's file does: a run that failed, and then succeeded, is replaced.
        experiment: `model/task`.
        name: Short name for people: role, seed, and the start of the id.
        status: "done", "stopped" or "error".
        settings: Settings by path, such as `optimizer.learning_rate` -> a number, a text, a truth value or None.
        history: Epoch -> metric -> value, in the order of the epochs; numbers alone.
        metrics: Final metric such as `test/dataset/iou_mean` -> value; numbers alone.
        began_at: Seconds since 1970; 0 where it is not known.
        ended_at: Likewise.
        links: Name -> address of what the run has left in its output folder.
        error: Cause of the error, in one line.
    """

    run_id: str
    digest: str
    experiment: str
    name: str
    status: str
    settings: Mapping[str, Any]
    history: Sequence[tuple[int, Mapping[str, float]]]
    metrics: Mapping[str, float]
    began_at: float
    ended_at: float
    links: Mapping[str, str]
    error: str | None = None

    @classmethod
    def of(cls, record: RunRecord, out: Folder) -> Tracked:
        """A run file of an output folder as trackers are given it."""
        run, summary = Run.of(record), record.summary
        content = json.dumps([_FORMAT, asdict(record)], sort_keys=True)
        return cls(
            run_id=record.run_id,
            digest=hashlib.sha256(content.encode()).hexdigest(),
            experiment=f"{summary['model']}/{summary['task']}",
            name=f"{summary['role']} seed {summary['seed']} {record.run_id[:8]}",
            status=record.status,
            settings=dict(_settings(run)),
            history=[(int(entry["epoch"]), _finite(entry)) for entry in record.history],
            metrics=_finite(run.scalars()),
            began_at=record.timings.get("began_at", 0.0),
            ended_at=record.timings.get("ended_at", 0.0),
            links=_links(record, out),
            error=record.error,
        )


def _settings(run: Run) -> Iterator[tuple[str, Any]]:
    summary = run.summary
    yield from (("run_id", run.run_id), ("task", summary["task"]), ("role", summary["role"]))
    yield "data", ", ".join(run.data)
    for path, value in run.network.items():
        yield path, json.dumps(value) if isinstance(value, (list, dict)) else value


def _finite(values: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in values.items()
        if name != "epoch" and isinstance(value, (int, float)) and math.isfinite(value)
    }


def _links(record: RunRecord, out: Folder) -> dict[str, str]:
    """What of a run is in its output folder."""
    names = {"run file": f"runs/{record.run_id}.json", "log": f"logs/{record.run_id}.log"}
    if record.status == "done":
        weights = (record.load_settings().encoder_run or record.load_settings()).train_id
        names["weights"] = f"checkpoints/{weights}/{MODEL}"
        names["image scores"] = f"image_scores/{record.run_id}.parquet"
        names["embeddings"] = f"embeddings/{record.run_id}.parquet"
        names["predictions"] = f"predictions/{record.run_id}.zarr/zarr.json"
    found = {name: file for name, file in names.items() if out.exists(file)}
    return {name: str(out / file.removesuffix("/zarr.json")) for name, file in found.items()}


class Tracker(ABC):
    """An open tracker of one sweep. Its runs are keyed by their ids: adding one again changes nothing."""

    @abstractmethod
    def add(self, run: Tracked) -> bool:
        """Add a run, whole or not at all, or replace one whose file has changed.

        Returns:
            False where the tracker has it as it is.

        Raises:
            Exception: of any type: the tracker can't be written.
        """

    def close(self) -> None:
        """Write what is pending."""
        return
