"""What training and ingest tell Ray's own metrics, which its dashboard and Prometheus read (docs/scaling.md).

No metric has the `run_id` among its tags. Ray keeps every combination of tags that a process has ever used until that
process, or for counters its node, is gone; trial actors are reused, so a sweep of thousands of runs would be as many
series a metric, nearly all of them of runs that have ended. Ray adds `WorkerId`, which tells trials of a moment apart.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from ray.util.metrics import Counter, Gauge, Histogram

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.storage.records import RunRecord

_RUN_TAGS = ("task", "network", "stage")
_READ_S = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0]
_RUN_S = [1.0, 10.0, 60.0, 300.0, 1800.0, 7200.0, 28800.0, 86400.0]


@dataclass(frozen=True, slots=True)
class _Metrics:
    rate: Gauge
    loss: Gauge
    validation: Gauge
    epochs: Counter
    runs: Counter
    run_seconds: Histogram
    ingest_bytes: Counter
    read_seconds: Histogram


@cache
def _metrics() -> _Metrics:
    """Those of this process."""
    return _Metrics(
        rate=Gauge(
            "mtneuro_images_per_second",
            "Training images a second over the last epoch, its validation included; 0 when the run has ended.",
            _RUN_TAGS,
        ),
        loss=Gauge("mtneuro_train_loss", "Mean training loss of the last epoch.", _RUN_TAGS),
        validation=Gauge(
            "mtneuro_validation", "Metrics of the validation split after the last epoch.", (*_RUN_TAGS, "metric")
        ),
        epochs=Counter("mtneuro_epochs", "Epochs trained.", _RUN_TAGS),
        runs=Counter("mtneuro_runs", "Runs that have ended, by how: done, stopped, error.", (*_RUN_TAGS, "status")),
        run_seconds=Histogram("mtneuro_run_seconds", "Seconds of each run that is done.", _RUN_S, _RUN_TAGS),
        ingest_bytes=Counter("mtneuro_ingest_bytes", "Bytes asked of a volume.", ("source",)),
        read_seconds=Histogram(
            "mtneuro_ingest_read_seconds", "Seconds to read and store one cutout.", _READ_S, ("source",)
        ),
    )


class TrainingMetrics:
    """Tells of the epochs of one run, in the process that trains it.

    Args:
        run: What is trained.
        images: Of its training split.
    """

    def __init__(self, run: RunSettings, images: int) -> None:
        self._tags = _tags(run)
        self._images = images
        self._names = run.task.declaration.selection
        self._ended: float | None = None
        self._began = time.perf_counter()

    def tell(self, entry: Mapping[str, Any]) -> None:
        """Tell of an epoch that has ended, with its history entry."""
        now, metrics = time.perf_counter(), _metrics()
        began = self._began if self._ended is None else self._ended
        self._ended = now
        metrics.rate.set(self._images / max(now - began, 1e-9), self._tags)
        metrics.epochs.inc(1, self._tags)
        metrics.loss.set(entry["train/loss"], self._tags)
        for name in self._names:
            if name in entry:
                metrics.validation.set(entry[name], {**self._tags, "metric": name})

    def end(self) -> None:
        """Tell that nothing is trained any more; the actor lives on, and so would its last rate."""
        if self._ended is not None:
            _metrics().rate.set(0.0, self._tags)


def tell_run(run: RunSettings, record: RunRecord | None) -> None:
    """Count a run that has ended; without a record its process was lost."""
    status = "error" if record is None else record.status
    _metrics().runs.inc(1, {**_tags(run), "status": status})
    if record is not None and status == "done" and "total_s" in record.timings:
        _metrics().run_seconds.observe(record.timings["total_s"], _tags(run))


def tell_read(source: str, num_bytes: int, seconds: float) -> None:
    """Count a cutout that was read from a volume, by its URI, and stored."""
    if num_bytes:
        _metrics().ingest_bytes.inc(num_bytes, {"source": source})
        _metrics().read_seconds.observe(seconds, {"source": source})


def _tags(run: RunSettings) -> dict[str, str]:
    return {"task": run.task.name, "network": run.model, "stage": run.role}
