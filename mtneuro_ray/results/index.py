"""The frame's index: OUT/index/runs.parquet, derived from the run files and refreshed by what changed.

It may be deleted at any time. A reader takes what the index has of run files that are still as they were, reads the
others, and replaces the index whole; of several readers the last one wins, and each has what it read.
"""

from __future__ import annotations

import logging
import operator
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mtneuro_ray.results.frame import Run, in_order
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

FOLDER = "index"
_NAME = "runs.parquet"
_VERSION = b"1"
_SUMMARY = ("model", "task", "role", "seed", "learning_rate", "batch_size", "epochs")
_TEXTS = ("run_id", "status", "method", "task_json", "network_json", "origin_json", "keys_json", "error")
# Run id -> stamp of its file, and the run.
_Entries = dict[str, tuple[str, Run]]


def load_runs(out: Folder) -> list[Run]:
    """All runs of an output folder, from its index where that is fresh, else from the run files.

    Args:
        out: Output folder; its index is written where that is possible.
    """
    stamps = {name.removesuffix(".json"): stamp for name, stamp in (out / "runs").stamps(".json").items()}
    known = _read(out)
    entries = {run_id: entry for run_id, entry in known.items() if entry[0] and stamps.get(run_id) == entry[0]}
    changed = [run_id for run_id in stamps if run_id not in entries]
    for record in RunFolder(out).read_all(changed):
        run = _run_of(record)
        if run is not None:
            entries[run.run_id] = (stamps[run.run_id], run)
    if changed or len(entries) != len(known):
        _write(out, entries)
    return in_order(run for _, run in entries.values())


def _run_of(record: RunRecord) -> Run | None:
    """A run file as a part of the frame; None, with a warning, where an inner key is damaged."""
    try:
        run = Run.of(record)
        for key in ("seed", "batch_size", "epochs"):
            operator.index(run.summary[key])
        float(run.summary["learning_rate"])
        texts = [str(getattr(run, name)) for name in _TEXTS] + [str(run.summary[name]) for name in _SUMMARY]
        "".join(texts).encode()
        return run
    # What a damaged settings table can raise is not one type of error.
    except Exception as error:
        logger.warning("runs/%s.json: is left out: damaged (%s: %s)", record.run_id, type(error).__name__, error)
        return None


def _read(out: Folder) -> _Entries:
    """What the index holds; nothing where there is none of this version that can be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        content = (out / FOLDER).read(_NAME)
    except FileNotFoundError:
        return {}
    try:
        # `read_table` would import pandas, which takes longer than the reading.
        table = pq.ParquetFile(pa.BufferReader(content)).read()
        if (table.schema.metadata or {}).get(b"version") != _VERSION:
            return {}
        return {run.run_id: (stamp, run) for stamp, run in _unpacked(table)}
    # What a damaged file makes of pyarrow is not one type of error.
    except Exception as error:
        logger.info("%s: is built anew (%s)", out / FOLDER / _NAME, type(error).__name__)
        return {}


def _unpacked(table: pa.Table) -> Iterable[tuple[str, Run]]:
    columns = {name: table[name].to_pylist() for name in ("stamp", *_TEXTS, *_SUMMARY, "seconds")}
    packed = table["values"].combine_chunks()
    values, ends = packed.values.to_numpy(), packed.offsets.to_numpy()
    for row, stamp in enumerate(columns["stamp"]):
        summary = {name: columns[name][row] for name in _SUMMARY}
        texts = {name: columns[name][row] for name in _TEXTS}
        own = values[ends[row] : ends[row + 1]]
        yield stamp, Run(summary=summary, values=own, seconds=columns["seconds"][row], **texts)


def _write(out: Folder, entries: _Entries) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(_packed(entries), sink, compression="zstd")
    try:
        (out / FOLDER).write(_NAME, memoryview(sink.getvalue()))
    except OSError as error:
        # The folder may be somebody else's: results are read without an index, too.
        logger.info("%s: is not kept (%s)", out / FOLDER / _NAME, error)


def _packed(entries: _Entries) -> pa.Table:
    import pyarrow as pa

    runs = [run for _, run in entries.values()]
    whole: Mapping[str, Any] = dict.fromkeys(("seed", "batch_size", "epochs"), pa.int64())
    columns: dict[str, Any] = {
        "stamp": pa.array([stamp for stamp, _ in entries.values()], pa.string()),
        **{name: pa.array([getattr(run, name) for run in runs], pa.string()) for name in _TEXTS},
        **{
            name: pa.array(
                [run.summary[name] for run in runs],
                whole.get(name, pa.float64() if name == "learning_rate" else pa.string()),
            )
            for name in _SUMMARY
        },
        "seconds": pa.array([run.seconds for run in runs], pa.float64()),
    }
    ends = np.concatenate([[0], np.cumsum([len(run.values) for run in runs])]).astype(np.int32)
    values = np.concatenate([np.empty(0), *(np.asarray(run.values, float) for run in runs)])
    columns["values"] = pa.ListArray.from_arrays(pa.array(ends), pa.array(values))
    return pa.table(columns).replace_schema_metadata({b"version": _VERSION})
