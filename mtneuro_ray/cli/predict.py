"""`mtneuro-ray predict`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from mtneuro_ray.cli.ingest import store_of
from mtneuro_ray.cli.results import load_runs, named_runs
from mtneuro_ray.errors import InputError, MTNeuroError
from mtneuro_ray.results import Results
from mtneuro_ray.results.render import markdown
from mtneuro_ray.results.selection import is_final_segmentation, representatives
from mtneuro_ray.results.tables import Table
from mtneuro_ray.storage.records import RunRecord

_METRICS = ("dataset/iou", "dataset/f1", "image/iou", "image/f1")


def run(options: argparse.Namespace) -> int:
    """Write the predictions of finished runs and what they score."""
    if options.threads < 0:
        raise InputError("--threads: accepted: 1 or more, or 0 for as many as the run had")
    results, out = load_runs(options)
    records = _chosen(results, options)

    from mtneuro_ray.engine.predictions import predict_run

    status = 0
    for record in records:
        try:
            written = predict_run(
                record, out, store_of(options), options.split, gpu=options.gpu, threads=options.threads
            )
        except MTNeuroError as error:
            # The others can do without this one.
            print(f"error: {error}", file=sys.stderr)
            status = max(status, error.exit_status)
            continue
        print(f"{markdown([_scores(record, options.split, written.metrics)])}\n")
        print(f"{written.place}: read back from there; {written.verdict}\n")
        if not written.agrees:
            print(f"error: {written.place}: {written.verdict}", file=sys.stderr)
            status = max(status, 1)
    return status


def _chosen(results: Results, options: argparse.Namespace) -> list[RunRecord]:
    """The runs that the options name, or one for each model and setting.

    Raises:
        InputError: a run is not there or has nothing to predict.
    """
    records = results.where(options.model, options.task_name).records
    if not options.run:
        chosen = representatives(records)
        if not chosen:
            raise InputError(f"{options.out}: holds no finished segmentation run; accepted: a final run of Task 2")
        return chosen
    finals = {record.run_id: record for record in records if is_final_segmentation(record)}
    return named_runs(options, finals, "segmentation run")


def _scores(record: RunRecord, split: str, metrics: Mapping[str, Any]) -> Table:
    summary, classes = record.summary, record.settings["task"]["classes"]
    title = f"{summary['model']} on {summary['task']}, seed {summary['seed']}, {split} split"
    rows: list[Sequence[Any]] = [(name, metrics[name], metrics[f"{name}_mean"]) for name in _METRICS]
    cells = [[name, *(f"{value:.4f}" for value in (*each, mean))] for name, each, mean in rows]
    return Table(title, ["Metric", *classes, "Avg."], cells)
