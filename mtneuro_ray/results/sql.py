"""DuckDB over the runs of an output folder: the tables `runs`, a row per run, and `frame`, a row per value.

The frame of 10,000 runs has more than a million rows. It is a view that joins the packed values with their keys and
runs, so that a query reads the columns that it names, and nothing is unfolded before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from mtneuro_ray.errors import InputError, nearest
from mtneuro_ray.results.frame import Run

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

Rows = Sequence[Mapping[str, Any]]

_ABOUT = ("run_id", "experiment", "model", "task", "role", "seed", "status")
_KEYS = ("split", "metric", "class", "region")


def answer(runs: Sequence[Run], entries: Callable[[], Rows], query: str, option: str = "sql") -> pa.Table:
    """DuckDB's answer to a query.

    Args:
        runs: The runs of `frame`.
        entries: Gives the rows of `runs`; called if the query may read them.
        query: A query of `frame`, `runs` or both.
        option: What the query was given by, for errors.

    Raises:
        InputError: the query is wrong, or gives no table.
    """
    import duckdb

    named = set(re.findall(r"\b(frame|runs)\b", query.lower())) or {"frame", "runs"}
    with duckdb.connect(config={"python_enable_replacements": False}) as connection:
        if "frame" in named:
            _add_frame(connection, runs, query)
        if "runs" in named:
            connection.register("runs", table_of(entries()))
        try:
            found = connection.sql(query)
            if found is not None:
                return found.to_arrow_table()
        except duckdb.Error as error:
            line = str(error).splitlines()[0]
            hint = _nearest_name(line, connection, runs)
            raise InputError(f"{option}: {line}{hint}; accepted: a query of the tables frame and runs") from None
    raise InputError(f"{option}: gives no table; accepted: a query of the tables frame and runs, such as SELECT")


def _nearest_name(line: str, connection: duckdb.DuckDBPyConnection, runs: Sequence[Run]) -> str:
    """The hint that goes with DuckDB's error about a name: the nearest column of the tables, setting, or table."""
    found = re.search(r'(?:[Cc]olumn(?: named)? "([^"]+)"|Table with name (\w+))', line)
    if found is None:
        return ""
    if found[2]:
        return nearest(found[2], ("frame", "runs"))
    rows = connection.execute("SELECT column_name FROM duckdb_columns() WHERE NOT internal").fetchall()
    return nearest(found[1], {*(name for (name,) in rows), *(path for run in runs for path in run.network)})


def _add_frame(connection: duckdb.DuckDBPyConnection, runs: Sequence[Run], query: str) -> None:
    import pyarrow as pa

    first: dict[str, int] = {}
    keys: list[Sequence[str]] = []
    for run in runs:
        if run.keys_json not in first:
            first[run.keys_json] = len(keys)
            keys += run.keys
    lengths = [len(run.values) for run in runs]
    places = [np.arange(length) + first[run.keys_json] for run, length in zip(runs, lengths, strict=True)]
    values = {
        "run": np.repeat(np.arange(len(runs)), lengths),
        "key": np.concatenate([np.empty(0, np.int64), *places]),
        "value": np.concatenate([np.empty(0), *(np.asarray(run.values, float) for run in runs)]),
    }
    settings = _settings(runs, query)
    about = [
        {
            "run": place,
            **dict(zip(_ABOUT, (run.run_id, f"{run.summary['model']}/{run.summary['task']}"), strict=False)),
            **{name: run.summary[name] for name in _ABOUT[2:-1]},
            "status": run.status,
            **own,
        }
        for place, (run, own) in enumerate(zip(runs, settings, strict=True))
    ]
    columns = list(zip(*keys, strict=True)) or [()] * len(_KEYS)
    names = dict(zip(_KEYS, (pa.array(column, pa.string()) for column in columns), strict=True))
    connection.register("_values", pa.table(values))
    connection.register("_keys", pa.table({"key": pa.array(np.arange(len(keys))), **names}))
    connection.register("_about", table_of(about, ("run", *_ABOUT)))
    shown = ", ".join(f'_keys."{name}"' for name in _KEYS)
    lead = ", ".join(f"_about.{name}" for name in _ABOUT)
    rest = ", ".join(["run", *_ABOUT])
    connection.execute(
        f"CREATE VIEW frame AS SELECT {lead}, {shown}, _values.value, _about.* EXCLUDE ({rest}) FROM _values "
        "JOIN _keys USING (key) JOIN _about USING (run)"
    )


def _settings(runs: Sequence[Run], query: str) -> list[dict[str, Any]]:
    """Keys of the network of each run that a query may read: those that it names, or all where it can't be told."""
    text = re.sub(r"count\s*\(\s*\*\s*\)", "", query.lower())
    reads_all = "*" in text or "columns" in text or not re.match(r"\s*(select|with)\b", text)
    # A path has a dot, so that it stands in double quotes.
    if not reads_all and '"' not in text and "classes" not in text:
        return [{} for _ in runs]
    paths = {path for run in runs for path in run.network if reads_all or path.lower() in text} - {"name", "seed"}
    return [{path: own for path, own in run.network.items() if path in paths} for run in runs]


def table_of(rows: Rows, columns: Sequence[str] = ()) -> pa.Table:
    """Rows as a table with the columns that any of them has; lists, and columns of several types, as text."""
    import pyarrow as pa

    names = dict.fromkeys(chain(columns, *rows))
    return pa.table({name: _array([row.get(name) for row in rows]) for name in names})


def _array(values: Sequence[Any]) -> pa.Array:
    import pyarrow as pa

    if len(values) > 1 and values.count(values[0]) == len(values) and len(set(map(type, values))) == 1:
        # Most settings are the same in all runs.
        return pa.repeat(_array(values[:1])[0], len(values))
    kinds = set(map(type, values)) - {type(None)}
    if kinds <= {int, float}:
        return pa.array(values, pa.float64() if float in kinds else pa.int64() if kinds else pa.null())
    if len(kinds) == 1 and kinds <= {str, bool}:
        return pa.array(values)
    texts = [each if each is None or isinstance(each, str) else json.dumps(each) for each in values]
    return pa.array(texts, pa.string())
