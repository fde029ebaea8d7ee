"""`mtneuro-ray evaluate`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from mtneuro_ray.cli.options import (
    EvaluatedSplit,
    Gpu,
    Model,
    Out,
    Preset,
    Runs,
    Store,
    Threads,
    TrainedOn,
    Volume,
    store_of,
)
from mtneuro_ray.cli.results import load_runs, named_runs
from mtneuro_ray.config.loading import load_task
from mtneuro_ray.errors import InputError, MTNeuroError
from mtneuro_ray.progress import working
from mtneuro_ray.results import Results
from mtneuro_ray.results.report import run_report
from mtneuro_ray.results.selection import is_final_training
from mtneuro_ray.storage.records import RunRecord


def run(
    run: Runs = [],
    model: Model = None,
    trained_on: TrainedOn = None,
    split: EvaluatedSplit = "test",
    task: Annotated[
        str | None,
        typer.Option(help="evaluate on this task, by name or path; default: the run's own"),
    ] = None,
    eval_crops: Annotated[
        str | None,
        typer.Option(
            metavar="CROPS",
            help="what is shown of an image (Task 1): whole, corners, pooled or dense; default: the run's own",
        ),
    ] = None,
    volume: Volume = None,
    preset: Preset = None,
    threads: Threads = 0,
    gpu: Gpu = False,
    out: Out = "out",
    store: Store = None,
) -> int:
    """Evaluate the weights of finished runs on a split of their own or of another task."""
    if task is None and (volume or preset):
        raise InputError("--volume, --preset: change a task, and there is none; accepted: with --task")
    results, folder = load_runs(out)
    records = _chosen(results.where(model, trained_on, task_option="--trained-on"), run, out)
    other, task_file = (None, Path()) if task is None else load_task(task, volume, preset)
    cutouts = store_of(store, out)

    from mtneuro_ray.engine.finished import evaluate_run, target_of

    status = 0
    for record in records:
        try:
            target = target_of(record, other, task_file, eval_crops)
            with working(f"evaluating {record.summary['model']} of run {record.run_id} on {target.task.name}"):
                metrics, file = evaluate_run(record, target, folder, cutouts, split, gpu=gpu, threads=threads)
        except MTNeuroError as error:
            # Other runs do not depend on this one.
            named = f"run {record.run_id}"
            print(f"error: {error}" if named in str(error) else f"error: {named}: {error}", file=sys.stderr)
            status = max(status, error.exit_status)
            continue
        summary = {**record.summary, "task": target.task.name}
        shown = replace(record, summary=summary, settings=target.model_dump(mode="json"), metrics={split: metrics})
        print(f"{run_report(shown)}\n\ntrained on {record.summary['task']}, run {record.run_id}")
        print(f"evaluation: {folder}/{file}\n")
    return status


def _chosen(results: Results, named: list[str], out: str) -> list[RunRecord]:
    finals = {record.run_id: record for record in results.records if is_final_training(record)}
    if named:
        return named_runs(named, out, finals, "run", " with weights of its own")
    if not finals:
        raise InputError(f"{out}: holds no finished run; accepted: a final run of Task 1 or 2")
    return list(finals.values())
