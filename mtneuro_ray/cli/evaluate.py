"""`mtneuro-ray evaluate`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from mtneuro_ray.cli.ingest import store_of
from mtneuro_ray.cli.results import load_runs, named_runs
from mtneuro_ray.config.loading import load_task
from mtneuro_ray.errors import InputError, MTNeuroError
from mtneuro_ray.results import Results
from mtneuro_ray.results.run_report import run_report
from mtneuro_ray.results.selection import is_final_training
from mtneuro_ray.storage.records import RunRecord


def run(options: argparse.Namespace) -> int:
    """Measure what finished runs' weights score on a split that they need not have been trained for."""
    if options.threads < 0:
        raise InputError("--threads: accepted: 1 or more, or 0 for as many as the run had")
    if options.task is None and (options.volume or options.preset):
        raise InputError("--volume, --preset: change a task, and there is none; accepted: with --task")
    results, out = load_runs(options)
    records = _chosen(results, options)
    task, task_file = None, Path()
    if options.task is not None:
        task, task_file = load_task(options.task, options.volume, options.preset)

    from mtneuro_ray.engine.evaluate import evaluate_run, target_of

    status = 0
    for record in records:
        try:
            target = target_of(record, task, task_file, options.eval_crops)
            found = evaluate_run(
                record, target, out, store_of(options), options.split, gpu=options.gpu, threads=options.threads
            )
        except MTNeuroError as error:
            # The others can do without this one.
            print(f"error: run {record.run_id}: {error}", file=sys.stderr)
            status = max(status, error.exit_status)
            continue
        summary = {**record.summary, "task": target.task.name}
        shown = replace(
            record, summary=summary, settings=target.model_dump(mode="json"), metrics={options.split: found.metrics}
        )
        print(f"{run_report(shown)}\n\ntrained on {record.summary['task']}, run {record.run_id}")
        print(f"evaluation: {out}/{found.file}\n")
    return status


def _chosen(results: Results, options: argparse.Namespace) -> list[RunRecord]:
    """The finished runs that the options name.

    Raises:
        InputError: there is none.
    """
    records = results.where(options.model, options.task_name).records
    finals = {record.run_id: record for record in records if is_final_training(record)}
    if options.run:
        return named_runs(options, finals, "run", " with weights of its own")
    if not finals:
        raise InputError(f"{options.out}: holds no finished run; accepted: a final run of Task 1 or 2")
    return list(finals.values())
