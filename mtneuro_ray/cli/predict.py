"""`mtneuro-ray predict`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from mtneuro_ray.cli.options import EvaluatedSplit, Gpu, Model, Out, Runs, Store, Threads, TrainedOn, store_of
from mtneuro_ray.cli.results import load_runs, named_runs
from mtneuro_ray.errors import InputError, MTNeuroError
from mtneuro_ray.progress import working
from mtneuro_ray.results import Results
from mtneuro_ray.results.render import markdown
from mtneuro_ray.results.selection import is_final_segmentation, representatives
from mtneuro_ray.results.tables import Table
from mtneuro_ray.storage.records import RunRecord

_METRICS = ("dataset/iou", "dataset/f1", "image/iou", "image/f1")


def run(
    run: Runs = [],
    model: Model = None,
    trained_on: TrainedOn = None,
    split: EvaluatedSplit = "test",
    threads: Threads = 0,
    gpu: Gpu = False,
    out: Out = "out",
    store: Store = None,
) -> int:
    """Write the predictions of finished runs and print their scores."""
    results, folder = load_runs(out)
    records = _chosen(results.where(model, trained_on, task_option="--trained-on"), run, out)
    cutouts = store_of(store, out)

    from mtneuro_ray.engine.predict import predict_run

    status = 0
    for record in records:
        try:
            with working(f"predicting {split} with {record.summary['model']} on {record.summary['task']}"):
                written = predict_run(record, folder, cutouts, split, gpu=gpu, threads=threads)
        except MTNeuroError as error:
            # Other runs do not depend on this one.
            print(f"error: {error}", file=sys.stderr)
            status = max(status, error.exit_status)
            continue
        print(f"{markdown([_scores(record, split, written.metrics)])}\n")
        print(f"{written.place}: read back from there; {written.verdict}\n")
        if not written.agrees:
            print(f"error: {written.place}: {written.verdict}", file=sys.stderr)
            status = max(status, 1)
    return status


def _chosen(results: Results, named: list[str], out: str) -> list[RunRecord]:
    """The runs that --run names, or one for each experiment."""
    if named:
        finals = {record.run_id: record for record in results.records if is_final_segmentation(record)}
        return named_runs(named, out, finals, "segmentation run")
    chosen = representatives(results.records)
    if not chosen:
        raise InputError(f"{out}: holds no finished segmentation run; accepted: a final run of Task 2")
    return chosen


def _scores(record: RunRecord, split: str, metrics: Mapping[str, Any]) -> Table:
    summary, classes = record.summary, record.settings["task"]["classes"]
    title = f"{summary['model']} on {summary['task']}, seed {summary['seed']}, {split} split"
    rows: list[Sequence[Any]] = [(name, metrics[name], metrics[f"{name}_mean"]) for name in _METRICS]
    cells = [[name, *(f"{value:.4f}" for value in (*each, mean))] for name, each, mean in rows]
    return Table(title, ["Metric", *classes, "Avg."], cells)
