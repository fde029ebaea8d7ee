"""`mtneuro-ray evaluate` and `mtneuro-ray predict`: weights of finished runs, without training."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mtneuro_ray.cli import whole_volume
from mtneuro_ray.cli.completion import names
from mtneuro_ray.cli.options import MOST_PROCESSORS, Address, Model, NumCpus, Out, Preset, Store, Volume, store_of
from mtneuro_ray.cli.results import load_runs
from mtneuro_ray.config.loading import load_task
from mtneuro_ray.errors import InputError, MTNeuroError
from mtneuro_ray.progress import working
from mtneuro_ray.results.printing import markdown
from mtneuro_ray.results.report import run_report
from mtneuro_ray.results.selection import final_named, is_final_segmentation, is_final_training, representatives
from mtneuro_ray.results.tables import MISSING, Table, number
from mtneuro_ray.storage.records import RunRecord

Runs = Annotated[
    list[str],
    typer.Option("--run", metavar="RUN_ID", help="may be given several times; default: every run that qualifies"),
]
TrainedOn = Annotated[
    str | None, typer.Option("--trained-on", metavar="TASK", help="only runs that were trained on it")
]
EvaluatedSplit = Annotated[Literal["train", "val", "test"], typer.Option("--split")]
Threads = Annotated[
    int,
    typer.Option(
        metavar="N", min=0, max=MOST_PROCESSORS, help="CPU threads; default: as many as the run's workers had"
    ),
]
Gpu = Annotated[bool, typer.Option("--gpu", help="compute on a GPU")]


def run_evaluate(
    run: Runs = [],
    model: Model = None,
    trained_on: TrainedOn = None,
    split: EvaluatedSplit = "test",
    task: Annotated[
        str | None,
        typer.Option(
            autocompletion=names("tasks"), help="evaluate on this task, by name or path; default: the run's own"
        ),
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
    trained = results.where(model, trained_on, task_option="--trained-on").records
    finals = [record for record in trained if is_final_training(record)]
    records = _chosen(run, out, finals, finals, "run", "Task 1 or 2", " with weights of its own")
    other, task_file = (None, Path()) if task is None else load_task(task, volume, preset)
    cutouts = store_of(store, out)

    from mtneuro_ray.engine.finished import evaluate_run, target_of

    def evaluate(record: RunRecord) -> None:
        target = target_of(record, other, task_file, eval_crops)
        with working(f"evaluating {record.summary['model']} of run {record.run_id} on {target.task.name}"):
            metrics, file = evaluate_run(record, target, folder, cutouts, split, gpu=gpu, threads=threads)
        summary = {**record.summary, "task": target.task.name}
        shown = replace(record, summary=summary, settings=target.model_dump(mode="json"), metrics={split: metrics})
        print(f"{run_report(shown)}\n\ntrained on {record.summary['task']}, run {record.run_id}")
        print(f"evaluation: {folder}/{file}\n")

    return _each(records, evaluate, names_run=True)


def run_predict(
    run: Runs = [],
    model: Model = None,
    trained_on: TrainedOn = None,
    split: EvaluatedSplit = "test",
    volume: whole_volume.Volumes = [],
    to: whole_volume.To = None,
    best: whole_volume.Best = False,
    box: whole_volume.Box = None,
    what: whole_volume.WhatOption = "classes",
    seeds: whole_volume.Seeds = False,
    flips: whole_volume.Flips = False,
    overlap: whole_volume.Overlap = 0.5,
    window: whole_volume.Window = None,
    block: whole_volume.Block = None,
    workers: whole_volume.Workers = None,
    address: Address = None,
    num_cpus: NumCpus = None,
    threads: Threads = 0,
    gpu: Gpu = False,
    out: Out = "out",
    store: Store = None,
) -> int:
    """Write the predictions of finished runs and print their scores; or, with --volume, predict a whole volume."""
    if volume or to:
        how = whole_volume.How(box, what, seeds, flips, overlap, window, block, workers, address, num_cpus)
        which = whole_volume.Which(run, best, model, trained_on, out)
        return whole_volume.predict_whole(volume, to, which, how, threads=threads, gpu=gpu)
    results, folder = load_runs(out)
    trained = results.where(model, trained_on, task_option="--trained-on").records
    finals = [record for record in trained if is_final_segmentation(record)]
    records = _chosen(run, out, finals, representatives(trained), "segmentation run", "Task 2")
    cutouts = store_of(store, out)

    from mtneuro_ray.engine.predict import predict_run

    def predict(record: RunRecord) -> None:
        with working(f"predicting {split} with {record.summary['model']} on {record.summary['task']}"):
            written = predict_run(record, folder, cutouts, split, gpu=gpu, threads=threads)
        print(f"{markdown([_scores(record, split, written.metrics)])}\n")
        print(f"{written.place}: read back from there; {written.verdict}\n")
        if not written.agrees:
            raise MTNeuroError(f"{written.place}: {written.verdict}")

    return _each(records, predict)


def _chosen(
    named: list[str],
    out: str,
    finals: list[RunRecord],
    default: list[RunRecord],
    kind: str,
    tasks: str,
    condition: str = "",
) -> list[RunRecord]:
    """The runs that --run names, which must be among `finals`, in its order; else `default`."""
    chosen = [final_named(run_id, finals, f"{kind} of {out}{condition}") for run_id in named] or default
    if not chosen:
        raise InputError(f"{out}: holds no finished {kind}; accepted: a final run of {tasks}")
    return chosen


def _each(records: list[RunRecord], work: Callable[[RunRecord], None], *, names_run: bool = False) -> int:
    """Work on each run and return the exit status; an error is one line, and does not stop the other runs."""
    status = 0
    for record in records:
        try:
            work(record)
        except MTNeuroError as error:
            named = f"run {record.run_id}"
            prefix = f"{named}: " if names_run and named not in str(error) else ""
            print(f"error: {prefix}{error}", file=sys.stderr)
            status = max(status, error.exit_status)
    return status


def _scores(record: RunRecord, split: str, metrics: Mapping[str, Any]) -> Table:
    summary, classes = record.summary, record.settings["task"]["classes"]
    title = f"{summary['model']} on {summary['task']}, seed {summary['seed']}, {split} split"
    rows = [
        [name, *(MISSING if value is None else number(value, 4) for value in (*metrics[name], metrics[f"{name}_mean"]))]
        for name in ("dataset/iou", "dataset/f1", "image/iou", "image/f1")
    ]
    return Table(title, ["Metric", *classes, "Avg."], rows)
