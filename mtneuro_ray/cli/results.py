"""`mtneuro-ray results`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

import typer

from mtneuro_ray.cli.completion import words
from mtneuro_ray.cli.listing import Format, Output, ordered
from mtneuro_ray.cli.options import Model, OnlyTask, Outs, Store, out_of, path, positive
from mtneuro_ray.config.space import Mode
from mtneuro_ray.errors import InputError
from mtneuro_ray.progress import working
from mtneuro_ray.results import Results, index
from mtneuro_ray.results.compare.comparison import Comparison
from mtneuro_ray.results.query import best_columns, run_columns
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
_TITLES = {"best": "Best candidates", "runs": "Runs"}


_What = Literal["best", "table", "runs", "log", "proportions", "regions", "confusion", "sql", "compare", "serve"]
What = Annotated[
    _What,
    typer.Argument(
        metavar="WHAT",
        autocompletion=words(*get_args(_What), "push", "bundle", "leaderboard"),
        help="best: best candidates; table: the paper's tables, over seeds; runs: all runs; log: what one run "
        "printed, with its traceback; proportions: of the classes in the data; regions: scores of each "
        "region; confusion: confusion matrices; sql: a DuckDB query of the tables frame and runs; compare: which "
        "differences of experiments seeds and images do not explain; serve: the page of `report`, live, on this "
        "machine alone",
    ),
]
Word = Annotated[str | None, typer.Argument(metavar="RUN_ID|QUERY", help="for log: the run; for sql: the query")]
Watch = Annotated[bool, typer.Option("--watch", help="for runs: follow a sweep, from any machine, until it is over")]
Every = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", max=86_400, callback=positive, help="for --watch and serve; default: 5"),
]
Port = Annotated[
    int, typer.Option(min=0, max=65535, show_default=False, help="for serve: port on 127.0.0.1; default: a free one")
]
Where = Annotated[str | None, typer.Option(metavar="SQL", help="only runs of which this holds, such as 'seed < 3'")]
Sort = Annotated[str | None, typer.Option(metavar="COLUMN[:desc]", help="for best and runs: their order")]
Metric = Annotated[
    str | None,
    typer.Option(help="for best: validation metric, such as val/dataset/iou_mean; for compare: METRIC[:CLASS]"),
]
ModeOption = Annotated[
    Mode | None, typer.Option("--mode", help="for best: which values are better; default: min of a loss")
]
Pairs = Annotated[bool, typer.Option("--pairs", help="for compare: all pairs; default: each experiment with the best")]
Paper = Annotated[bool, typer.Option("--paper", help="for compare: with the paper's values")]
Block = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="for compare: neighbouring images of a block; default: by their correlation"),
]
FormatOption = Annotated[Format | None, typer.Option("--format", help="default: by the suffix of --to, else md")]
To = Annotated[str | None, typer.Option("--to", metavar="FILE", callback=path, help="default: stdout")]


def load_runs(out: str, *, keeps_records: bool = False) -> tuple[Results, Folder]:
    """The results of an output folder, and the folder; `keeps_records` is that of `index.load_runs`.

    Raises:
        InputError: it holds none.
    """
    folder = out_of(out)
    with working(f"reading the runs of {out}"):
        results = Results(folder, index.load_runs(folder, keeps_records=keeps_records))
    if not results:
        raise InputError(f"{out}: holds no runs; accepted: the --out folder of a train or sweep")
    return results, folder


def run_results(
    what: What,
    argument: Word = None,
    watch: Watch = False,
    every: Every = None,
    port: Port = 0,
    store: Store = None,
    out: Outs = ["out"],
    model: Model = None,
    task: OnlyTask = None,
    where: Where = None,
    sort: Sort = None,
    metric: Metric = None,
    mode: ModeOption = None,
    pairs: Pairs = False,
    paper: Paper = False,
    block: Block = None,
    format: FormatOption = None,
    to: To = None,
) -> int:
    """Print tables, the best candidates, all runs, comparisons, the answer of a query, or the log of a run."""
    _check(what, argument, out, sort, metric, mode, block if block is not None else (pairs or paper or None))
    if what == "serve":
        from mtneuro_ray.cli.serve import serve

        return serve(out_of(out[0]), store, port, every or 5.0)
    if watch or every is not None:
        if not watch or what != "runs" or model or task or where or sort or to:
            raise InputError("--watch: accepted: after `results runs`, without --model, --task, --where, --sort, --to")

        from mtneuro_ray.cli.watch import watch as follow

        return follow(out_of(out[0]), every or 5.0)
    if what == "log":
        return _show_log(out[0], argument)
    output = Output.of(format, to)
    folders = [load_runs(each)[0].where(model, task) for each in out]
    folders = [each if where is None else each.matching(where) for each in folders]
    if what in _TABLES:
        _show_tables(folders[0], what, output)
    elif what == "compare":
        with working("comparing"):
            found = folders[0].compare(*folders[1:], metric=metric, pairs=pairs, paper=paper, block=block)
        _show_comparisons(found, output)
    elif what == "sql":
        answer = folders[0].answer(str(argument))
        _show_rows(folders[0], "sql", "Answer", answer.to_pylist(), answer.column_names, output)
    else:
        rows = folders[0].best(metric=metric, mode=mode) if what == "best" else folders[0].runs()
        columns = best_columns(rows) if what == "best" else run_columns(rows)
        name = (sort or "").removesuffix(":desc").removesuffix(":asc")
        shown = [*columns, *([name] if name and name not in columns else [])]
        _show_rows(folders[0], what, _TITLES[what], ordered(rows, sort), shown, output)
    return 0


def _check(
    what: str,
    argument: str | None,
    out: list[str],
    sort: str | None,
    metric: str | None,
    mode: Mode | None,
    compares: object,
) -> None:
    """Refuse words and options that go with another WHAT."""
    if argument is not None and what not in ("log", "sql"):
        raise InputError(f"results {what}: {argument!r}: accepted: a RUN_ID after log, a query after sql")
    if argument is None and what == "sql":
        raise InputError("results sql: accepted: results sql QUERY, of the tables frame and runs")
    if what != "compare" and len(out) > 1:
        raise InputError("--out: stands twice; accepted: once, or several times for compare")
    if what != "compare" and compares is not None:
        raise InputError(f"--pairs, --paper, --block: results {what}; accepted: for compare")
    if sort is not None and what not in ("best", "runs"):
        raise InputError(f"--sort: results {what}; accepted: for best and runs")
    if metric is not None and what not in ("best", "compare"):
        raise InputError(f"--metric: results {what}; accepted: for best and compare")
    if mode is not None and what != "best":
        raise InputError(f"--mode: results {what}; accepted: for best")


def _show_comparisons(found: list[Comparison], output: Output) -> None:
    if output.format in ("md", "latex"):
        output.tables([table for comparison in found for table in comparison.tables], "compare")
    else:
        rows = [row for comparison in found for row in comparison.rows]
        output.rows("Differences", rows, [*rows[0]], whole=True)


def _show_tables(results: Results, what: str, output: Output) -> None:
    make, needed = _TABLES[what]
    tables = make(results)
    if needed and not any(table.cells for table in tables):
        raise InputError(f"{results.out}: {what}: no run has them; accepted: {needed}")
    output.tables(tables, what)


def _show_rows(
    results: Results, what: str, title: str, rows: Sequence[Mapping[str, Any]], columns: list[str], output: Output
) -> None:
    if rows or output.format in ("json", "parquet"):
        output.rows(title, rows, columns, whole=what == "sql")
    else:
        told = "nothing was searched" if what == "best" else "no rows"
        print(f"{results.out}: {what}: {told}", file=sys.stderr)


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
