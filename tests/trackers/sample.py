"""Run files of a small sweep, and a tracker that keeps what it is given in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from mtneuro_ray.config.trackers import TrackerAddress
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord
from mtneuro_ray.trackers.base import Tracked, Tracker, TrackerDeclaration
from mtneuro_ray.trackers.push import push
from tests.results.records import segmentation_record

HISTORY = [
    {"epoch": epoch, "train/loss": 1.0 / epoch, "val/dataset/iou_mean": 0.1 * epoch, "val/loss": float("nan")}
    for epoch in (1, 2, 3)
]
TIMES = {"total_s": 30.0, "began_at": 1_700_000_000.0, "ended_at": 1_700_000_030.0}


def write_runs(out: Folder) -> list[RunRecord]:
    """A candidate, and two final runs of another experiment, of which one failed."""
    finals = [
        replace(segmentation_record(seed=seed, name="other_3class"), history=HISTORY, timings=TIMES) for seed in (1, 2)
    ]
    candidate = replace(segmentation_record(role="candidate", learning_rate=0.02), history=HISTORY[:1], timings=TIMES)
    failed = replace(finals[1], status="error", error="diverged", metrics={}, history=[])
    records = [candidate, finals[0], failed]
    for record in records:
        RunFolder(out).write(record)
    return records


def mended(record: RunRecord) -> RunRecord:
    """The run that failed, after it was trained again."""
    return replace(segmentation_record(seed=2, name="other_3class"), history=HISTORY, timings=TIMES)


def push_to(text: str, out: Folder) -> tuple[int, int]:
    """Push every run of an output folder to the tracker at an address."""
    return push(RunFolder(out).all(), out, TrackerAddress.of(text, "--to"), "--to")


class Memory(Tracker):
    """Keeps runs by place and id."""

    kept: ClassVar[dict[str, dict[str, Tracked]]] = {}

    def __init__(self, place: str | None, out: Folder, sweep: str) -> None:
        self._runs = self.kept.setdefault(place or sweep, {})

    def add(self, run: Tracked) -> bool:
        known = self._runs.get(run.run_id)
        self._runs[run.run_id] = run
        return known is None or known.digest != run.digest


class Broken(Memory):
    """Fails as a server does that went away."""

    def add(self, run: Tracked) -> bool:
        raise ConnectionError("the server\nwent away")


MEMORY = TrackerDeclaration(name="memory", summary="In memory", build=Memory, packages=("json",), places="any text")
BROKEN = TrackerDeclaration(name="broken", summary="Fails", build=Broken, packages=(), places="any text")
MISSING = TrackerDeclaration(name="missing", summary="", build=Memory, packages=("no_such_package",), places="none")
