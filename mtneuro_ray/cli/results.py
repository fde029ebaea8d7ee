"""`mtneuro-ray results`."""

from __future__ import annotations

import argparse
import json

from mtneuro_ray.errors import InputError
from mtneuro_ray.results import Results, load
from mtneuro_ray.results.query import BEST_COLUMNS
from mtneuro_ray.results.render import FORMATS, rows_as_table
from mtneuro_ray.storage import Folder

_RUN_COLUMNS: tuple[str, ...] = (
    "run_id",
    "status",
    "setting",
    "model",
    "role",
    "learning_rate",
    "batch_size",
    "seed",
    "epochs",
    "seconds",
    "error",
)


def load_runs(options: argparse.Namespace) -> tuple[Results, Folder]:
    """The results of the output folder that the options name, and the folder.

    Raises:
        InputError: it holds none.
    """
    out = Folder(options.out)
    results = load(out)
    if not results.records:
        raise InputError(f"{options.out}: holds no runs; accepted: the --out folder of a train or sweep")
    return results, out


def run(options: argparse.Namespace) -> int:
    """Print the best cells, the tables or all runs."""
    results, _ = load_runs(options)
    render = FORMATS[options.format]
    if options.what == "table":
        print(render(results.table(options.model, options.setting)))
        return 0
    if options.what == "best":
        rows = results.best(options.model, options.setting, metric=options.metric, mode=options.mode)
    else:
        rows = results.runs(options.model, options.setting)
    if options.format == "json":
        print(json.dumps(rows, indent=1))
    else:
        title, columns = ("Best cells", BEST_COLUMNS) if options.what == "best" else ("Runs", _RUN_COLUMNS)
        print(render([rows_as_table(title, rows, columns)]))
    return 0
