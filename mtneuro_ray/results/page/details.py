"""What is known of single runs: settings, machine, timings, notes, log. In a report what runs share is kept once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from mtneuro_ray.config.base import flattened
from mtneuro_ray.results.frame import Run
from mtneuro_ray.results.page.cells import log_tail
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunRecord

# Settings that only a run file has, beside those of its task and its network.
_OTHER = ("data", "weights", "protocol_version")


def settings_of(run: Run, record: RunRecord) -> dict[str, Any]:
    """All settings by path, such as `network.optimizer.learning_rate`."""
    encoder = record.settings.get("encoder_run")
    return {
        **{f"task.{path}": value for path, value in run.task.items()},
        **{f"network.{path}": value for path, value in run.network.items()},
        **{key: record.settings.get(key) for key in _OTHER},
        **({} if encoder is None else {f"encoder.{path}": value for path, value in flattened(encoder).items()}),
    }


def machine_of(record: RunRecord) -> dict[str, Any]:
    """Host, placement, versions of libraries, and the scaling of grey values."""
    return {
        "host": record.host,
        **{f"placement.{key}": value for key, value in record.placement.items()},
        **{f"version.{key}": value for key, value in record.versions.items()},
        **{f"normalization.{key}": value for key, value in record.normalization.items()},
    }


def _own(record: RunRecord) -> dict[str, Any]:
    summary = record.summary
    about = {"experiment": f"{summary['model']} on {summary['task']}", "role": summary["role"], "status": record.status}
    return {"about": about, "timings": record.timings, "notes": record.notes, "error": record.error}


def details_of(out: Folder, record: RunRecord) -> dict[str, Any]:
    """All that is known of one run, with the end of its log."""
    return {
        **_own(record),
        "settings": settings_of(Run.of(record), record),
        "machine": machine_of(record),
        "metrics": {split: _scalars(metrics) for split, metrics in record.metrics.items()},
        "log": log_tail(out, record.run_id),
    }


def _scalars(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if isinstance(value, (int, float))}


def shared_details(runs: Iterable[Run], records: Mapping[str, RunRecord]) -> dict[str, Any]:
    """The details of many runs without their logs and metrics.

    Returns:
        "settings": the settings of the first run of each experiment; "machines": each machine once; "runs": run id ->
        its own part, the place of its machine, and the place of its experiment with the settings that differ.
    """
    bases: dict[tuple[str, str], int] = {}
    settings: list[dict[str, Any]] = []
    machines: dict[str, int] = {}
    found: dict[str, Any] = {}
    for run in runs:
        record = records.get(run.run_id)
        if record is None:
            continue
        own = settings_of(run, record)
        key = (run.summary["model"], run.summary["task"])
        if key not in bases:
            bases[key] = len(settings)
            settings.append(own)
        place = machines.setdefault(json.dumps(machine_of(record), sort_keys=True), len(machines))
        base = settings[bases[key]]
        changed = {path: own.get(path) for path in own.keys() | base.keys() if own.get(path) != base.get(path)}
        found[run.run_id] = {**_own(record), "machine": place, "base": bases[key], "changed": changed}
    return {"settings": settings, "machines": [json.loads(text) for text in machines], "runs": found}
