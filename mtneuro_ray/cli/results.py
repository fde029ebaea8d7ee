"""`mtneuro-ray results`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping

from mtneuro_ray.cli.ingest import out_of
from mtneuro_ray.errors import InputError
from mtneuro_ray.results import Results, load
from mtneuro_ray.results.query import best_columns
from mtneuro_ray.results.render import FORMATS, rows_as_table
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.logs import read_log
from mtneuro_ray.storage.records import RunFolder, RunRecord

_RUN_COLUMNS: tuple[str, ...] = (
    "run_id",
    "status",
    "task",
    "model",
    "role",
    "learning_rate",
    "batch_size",
    "seed",
    "epochs",
    "seconds",
    "error",
)
_TABLES = {
    "table": Results.table,
    "proportions": Results.proportions,
    "regions": Results.regions,
    "confusion": Results.confusion,
}
# What a breakdown is made of.
_BREAKDOWNS = {
    "proportions": "finished seed runs of a segmentation task, of this version",
    "regions": "finished seed runs of a segmentation task, of this version",
    "confusion": "finished seed runs",
}


def load_runs(options: argparse.Namespace) -> tuple[Results, Folder]:
    """The results of the output folder that the options name, and the folder.

    Raises:
        InputError: it holds none.
    """
    out = out_of(options)
    results = load(out)
    if not results.records:
        raise InputError(f"{options.out}: holds no runs; accepted: the --out folder of a train or sweep")
    return results, out


def named_runs(
    options: argparse.Namespace, finals: Mapping[str, RunRecord], kind: str, condition: str = ""
) -> list[RunRecord]:
    """The runs that --run names, in its order.

    Args:
        options: With `run` and `out`.
        finals: Run id -> record of those that may be named.
        kind: What these are.
        condition: What else is asked of them.

    Raises:
        InputError: another one is named.
    """
    for run_id in options.run:
        if run_id not in finals:
            raise InputError(
                f"--run: {run_id!r} is no finished final {kind} of {options.out}{condition}; accepted: "
                f"{', '.join(finals) or 'nothing yet'}"
            )
    return [finals[run_id] for run_id in options.run]


def run(options: argparse.Namespace) -> int:
    """Print what is asked for: tables, the best candidates or all runs.

    Raises:
        InputError: a breakdown is asked for, and no run has what it is made of.
    """
    if options.watch is not None:
        return _watch(options)
    if options.run_id is not None and options.what != "log":
        raise InputError(f"results {options.what}: {options.run_id!r}: accepted: a RUN_ID after log alone")
    if options.what == "log":
        return _show_log(options)
    results, _ = load_runs(options)
    render = FORMATS[options.format]
    if options.what in _TABLES:
        tables = _TABLES[options.what](results, options.model, options.task_name)
        if options.what in _BREAKDOWNS and not any(table.cells for table in tables):
            raise InputError(f"{options.out}: {options.what}: no run has them; accepted: {_BREAKDOWNS[options.what]}")
        print(render(tables))
        return 0
    if options.what == "best":
        rows = results.best(options.model, options.task_name, metric=options.metric, mode=options.mode)
    else:
        rows = results.runs(options.model, options.task_name)
    if options.format == "json":
        print(json.dumps(rows, indent=1))
    else:
        title, columns = ("Best candidates", best_columns(rows)) if options.what == "best" else ("Runs", _RUN_COLUMNS)
        print(render([rows_as_table(title, rows, columns)]))
    return 0


def _watch(options: argparse.Namespace) -> int:
    if options.what != "runs" or options.model or options.task_name:
        raise InputError("--watch: accepted: after `results runs`, without --model and --task")
    if not options.watch > 0:
        raise InputError(f"--watch: {options.watch:g}: accepted: seconds between two looks, more than 0")
    out = out_of(options)

    from mtneuro_ray.cli.watch import watch

    return watch(out, options.watch)


def _show_log(options: argparse.Namespace) -> int:
    if options.run_id is None:
        raise InputError("results log: accepted: results log RUN_ID, a run_id of `results runs`")
    out = out_of(options)
    record, log = RunFolder(out).read(options.run_id), read_log(out, options.run_id)
    if log is None:
        told = f"its run file says: {record.error or record.status}" if record else "nor a run file"
        raise InputError(
            f"{out / f'logs/{options.run_id}.log'}: there is no such log, {told}; accepted: a run of this version"
        )
    print(log, end="")
    return 0
