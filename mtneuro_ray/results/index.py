"""The frame's index: OUT/index/runs.parquet, derived from the run files and refreshed by what changed.

It may be deleted at any time. A reader takes from it the runs whose files are unchanged, reads the others, and replaces
the index whole; among several readers the last one wins, and each has what it read.
"""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mtneuro_ray.results.frame import Run, in_order
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord, uncollected

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

FOLDER = "index"
_NAME = "runs.parquet"
_VERSION = b"2"
_SUMMARY = ("model", "task", "role", "seed", "learning_rate", "batch_size", "epochs")
_TEXTS = ("run_id", "status", "method", "task_json", "network_json", "origin_json", "keys_json", "error")
# Long texts that many runs share: read and kept once.
_SHARED = ("task_json", "origin_json", "keys_json")
# Run id -> stamp of its file, and the run.
_Entries = dict[str, tuple[str, Run]]


def load_runs(out: Folder, *, keeps_records: bool = False) -> list[Run]:
    """All runs of an output folder, from its index if that is fresh, else from the run files.

    The index is written anew if that is possible. With `keeps_records` the run files that were read stay with their
    runs, for who needs all of them.
    """
    # The answers of a bucket take so long that memory has to be collected meanwhile.
    with uncollected() if out.is_local else nullcontext():
        stamps = {name.removesuffix(".json"): stamp for name, stamp in (out / "runs").stamps(".json").items()}
        known = _read(out)
        entries = {run_id: entry for run_id, entry in known.items() if entry[0] and stamps.get(run_id) == entry[0]}
        changed = [run_id for run_id in stamps if run_id not in entries]
        for run in filter(None, map(_run_of, RunFolder(out).read_all(changed))):
            # The records of many runs are large, and few commands need them.
            entries[run.run_id] = (stamps[run.run_id], run if keeps_records else replace(run, record=None))
        if changed or len(entries) != len(known):
            _write(out, entries)
        return in_order(run for _, run in entries.values())


def _run_of(record: RunRecord) -> Run | None:
    """A run file as a part of the frame; None, with a warning, if it has a whole number that no float can hold."""
    try:
        run = Run.of(record)
        float(run.summary["learning_rate"]), float(run.seconds or 0.0)
    except OverflowError as error:
        logger.warning("runs/%s.json: is left out: damaged (%s: %s)", record.run_id, type(error).__name__, error)
        return None
    return run


def _read(out: Folder) -> _Entries:
    """The runs of the index; none if it is missing, damaged or of another version."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        content = (out / FOLDER).read(_NAME)
    except FileNotFoundError:
        return {}
    try:
        # `read_table` and `to_numpy` would import pandas, which takes longer than the reading.
        table = pq.ParquetFile(pa.BufferReader(content), read_dictionary=_SHARED).read()
        if (table.schema.metadata or {}).get(b"version") != _VERSION:
            return {}
        columns = [_column(table, name) for name in (*_TEXTS, *_SUMMARY, "seconds", "stamp")]
        packed = table["values"].combine_chunks()
        values: Any = np.from_dlpack(packed.values)
        ends = np.from_dlpack(packed.offsets).tolist()
        entries: _Entries = {}
        for start, stop, row in zip(ends, ends[1:], zip(*columns, strict=True), strict=False):
            texts = dict(zip(_TEXTS, row, strict=False))
            summary = dict(zip(_SUMMARY, row[len(_TEXTS) :], strict=False))
            run = Run(summary=summary, values=values[start:stop], seconds=row[-2], **texts)
            entries[run.run_id] = (row[-1], run)
        return entries
    # What a damaged file makes of pyarrow is not one type of error.
    except Exception as error:
        logger.info("%s: is built anew (%s)", out / FOLDER / _NAME, type(error).__name__)
        return {}


def _column(table: pa.Table, name: str) -> list[Any]:
    """A column as Python objects; equal texts of a shared column are one object."""
    column = table[name].combine_chunks()
    if name not in _SHARED:
        return list(column.to_pylist())
    texts = column.dictionary.to_pylist()
    return [texts[place] for place in column.indices.to_pylist()]


def _write(out: Folder, entries: _Entries) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    runs = [run for _, run in entries.values()]
    types = {
        **dict.fromkeys(("seed", "batch_size", "epochs"), pa.int64()),
        **dict.fromkeys(("learning_rate", "seconds"), pa.float64()),
    }
    columns = {
        "stamp": [stamp for stamp, _ in entries.values()],
        **{name: [getattr(run, name) for run in runs] for name in _TEXTS},
        **{name: [run.summary[name] for run in runs] for name in _SUMMARY},
        "seconds": [run.seconds for run in runs],
    }
    arrays: dict[str, Any] = {name: pa.array(own, types.get(name, pa.string())) for name, own in columns.items()}
    ends = np.cumsum([0, *(len(run.values) for run in runs)], dtype=np.int32)
    values = np.concatenate([np.empty(0), *(np.asarray(run.values, float) for run in runs)])
    arrays["values"] = pa.ListArray.from_arrays(pa.array(ends), pa.array(values))
    sink = pa.BufferOutputStream()
    table = pa.table(arrays).replace_schema_metadata({b"version": _VERSION})
    pq.write_table(table, sink, compression="zstd")
    try:
        (out / FOLDER).write(_NAME, memoryview(sink.getvalue()))
    except OSError as error:
        # The folder may be somebody else's: results are read without an index, too.
        logger.info("%s: is not kept (%s)", out / FOLDER / _NAME, error)
