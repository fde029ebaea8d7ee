"""`mtneuro-ray results`."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any, Literal

import typer

from mtneuro_ray.cli.options import Model, OnlyTask, Out, Store, out_of, positive
from mtneuro_ray.config.space import Mode
from mtneuro_ray.errors import InputError
from mtneuro_ray.results import Results
from mtneuro_ray.results.query import best_columns, run_columns
from mtneuro_ray.results.render import rows_as_table, show
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder
from mtneuro_ray.storage.run_log import read_log

# Tables, and the runs that a breakdown requires.
_TABLES = {
    "table": (Results.table, ""),
    "proportions": (Results.proportions, "finished final runs of a segmentation task"),
    "regions": (Results.regions, "finished final runs of a segmentation task"),
    "confusion": (Results.confusion, "finished final runs of a task with classes"),
}


def load_runs(out: str) -> tuple[Results, Folder]:
    """The results of an output folder, and the folder.

    Raises:
        InputError: it holds none.
    """
    folder = out_of(out)
    results = Results(folder)
    if not results:
        raise InputError(f"{out}: holds no runs; accepted: the --out folder of a train or sweep")
    return results, folder


def run_results(
    what: Annotated[
        Literal["best", "table", "runs", "log", "proportions", "regions", "confusion", "sql", "serve"],
        typer.Argument(
            metavar="WHAT",
            help="best: best candidates; table: the paper's tables, over seeds; runs: all runs; log: what one run "
            "printed, with its traceback; proportions: of the classes in the data; regions: scores of each "
            "region; confusion: confusion matrices; sql: a DuckDB query of the tables frame and runs; serve: the page "
            "of `report`, live, on this machine alone",
        ),
    ],
    argument: Annotated[
        str | None, typer.Argument(metavar="RUN_ID|QUERY", help="for log: the run; for sql: the query")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="for runs: follow a sweep, from any machine, until it is over")
    ] = False,
    every: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", max=86_400, callback=positive, help="for --watch and serve; default: 5"),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="for serve: port on 127.0.0.1; default: a free one")] = 0,
    store: Store = None,
    out: Out = "out",
    model: Model = None,
    task: OnlyTask = None,
    metric: Annotated[
        str | None, typer.Option(help="for best: validation metric, such as val/dataset/iou_mean")
    ] = None,
    mode: Annotated[Mode | None, typer.Option(help="for best: which values are better; default: min of a loss")] = None,
    format: Annotated[Literal["md", "csv", "json", "latex"], typer.Option()] = "md",
) -> int:
    """Print tables, the best candidates, all runs, the answer of a query, or the log of a run."""
    if argument is not None and what not in ("log", "sql"):
        raise InputError(f"results {what}: {argument!r}: accepted: a RUN_ID after log, a query after sql")
    if what == "serve":
        from mtneuro_ray.cli.serve import serve

        return serve(out_of(out), store, port, every or 5.0)
    if watch or every is not None:
        if not watch or what != "runs" or model or task:
            raise InputError("--watch: accepted: after `results runs`, without --model and --task")

        from mtneuro_ray.cli.watch import watch as follow

        return follow(out_of(out), every or 5.0)
    if what == "log":
        return _show_log(out, argument)
    results = load_runs(out)[0].where(model, task)
    if what in _TABLES:
        make, needed = _TABLES[what]
        tables = make(results)
        if needed and not any(table.cells for table in tables):
            raise InputError(f"{out}: {what}: no run has them; accepted: {needed}")
        show(tables, format)
        return 0
    title, rows, columns = _rows(results, what, argument, metric, mode)
    if format == "json":
        print(json.dumps(rows, indent=1, default=str))
    elif rows:
        show([rows_as_table(title, rows, columns)], format)
    else:
        print(f"{out}: {what}: nothing was searched" if what == "best" else f"{out}: no rows", file=sys.stderr)
    return 0


def _rows(
    results: Results, what: str, query: str | None, metric: str | None, mode: Mode | None
) -> tuple[str, list[dict[str, Any]], list[str]]:
    """Title, rows and shown columns of `best`, `runs` or `sql`."""
    if what == "best":
        rows = results.best(metric=metric, mode=mode)
        return "Best candidates", rows, best_columns(rows)
    if what == "runs":
        rows = results.runs()
        return "Runs", rows, run_columns(rows)
    if query is None:
        raise InputError("results sql: accepted: results sql QUERY, of the tables frame and runs")
    rows = results.sql(query).to_dict("records")
    return "Answer", rows, [*rows[0]] if rows else []


def _show_log(out: str, run_id: str | None) -> int:
    if run_id is None:
        raise InputError("results log: accepted: results log RUN_ID, a run_id of `results runs`")
    folder = out_of(out)
    record, log = RunFolder(folder).read(run_id), read_log(folder, run_id)
    if log is None:
        known = f"its run file says: {record.error or record.status}" if record else "nor a run file"
        raise InputError(
            f"{folder / f'logs/{run_id}.log'}: there is no such log, {known}; accepted: a run of this version"
        )
    print(log, end="")
    return 0
