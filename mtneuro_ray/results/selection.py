"""Choice of the run that represents a model and a task in pictures and predictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from mtneuro_ray.errors import InputError
from mtneuro_ray.results.frame import Run
from mtneuro_ray.results.tasks import declared
from mtneuro_ray.storage.records import RunRecord

# Key of methods that mine views.
_MINES = "pool_ratio"


def is_final_segmentation(record: RunRecord) -> bool:
    """Whether the run is finished and has classes of voxels to predict."""
    return is_final_training(record) and _declares(record, "labels") == "voxel"


def is_final_readout(record: RunRecord) -> bool:
    """Whether the run is finished and has embeddings."""
    return _is_final(record) and bool(_declares(record, "reads_encoder"))


def is_final_training(record: RunRecord) -> bool:
    """Whether the run is finished and has weights of its own, unlike a readout."""
    return _is_final(record) and not _declares(record, "reads_encoder")


def has_mined(record: RunRecord) -> bool:
    """Whether the run is finished and has trained an encoder on mined views."""
    return is_final_training(record) and _MINES in record.settings["network"]["method"]


def _is_final(record: RunRecord) -> bool:
    return record.status == "done" and record.summary["role"] == "final"


def _declares(record: RunRecord, what: str) -> object:
    """An attribute of the declaration of the run's kind of task; None if the kind is not installed here."""
    return getattr(declared(record.settings["task"]["task"]), what, None)


def representatives(
    records: Iterable[RunRecord],
    preferred: Collection[str] = (),
    is_shown: Callable[[RunRecord], bool] = is_final_segmentation,
) -> list[RunRecord]:
    """One run per model, task and state of the data, among those that can be shown, in the order of the names.

    A run whose id is `preferred` comes first, then the method with the most seeds, then the first seed.
    """
    finals = {record.run_id: (record, Run.of(record)) for record in records if is_shown(record)}
    seeds = Counter(run.method for _, run in finals.values())

    def rank(pair: tuple[RunRecord, Run]) -> tuple[bool, int, int, str]:
        record, run = pair
        return record.run_id not in preferred, -seeds[run.method], record.summary["seed"], record.run_id

    chosen: dict[tuple[str, str, tuple[str, ...]], RunRecord] = {}
    for record, run in sorted(finals.values(), key=rank):
        chosen.setdefault((record.summary["model"], record.summary["task"], run.data), record)
    return [chosen[key] for key in sorted(chosen)]


def widest(records: Iterable[RunRecord]) -> list[RunRecord]:
    """For each image volume, the finished whole-image run that covers the most of a box; ties go to the finest."""
    chosen: dict[str, RunRecord] = {}
    whole = [record for record in records if _is_final(record) and not is_final_segmentation(record)]
    for record in sorted(whole, key=lambda record: (-_slices(record), record.settings["task"]["downsample"])):
        chosen.setdefault(record.settings["data"][0], record)
    return [chosen[key] for key in sorted(chosen)]


def _slices(record: RunRecord) -> int:
    """Number of slices read from the first box of the task, which may be cut into splits along z."""
    task = record.settings["task"]
    first = task["cubes"][0]
    depths = [
        cube["z"][1] - cube["z"][0]
        for cube in task["cubes"]
        if all(cube[key] == first[key] for key in ("region", "y", "x"))
    ]
    return sum(min(depth, task["max_slices"] or depth) for depth in depths)


def seeds_of(record: RunRecord, records: Iterable[RunRecord]) -> list[RunRecord]:
    """The finished final runs with the settings of one, by seed; the run itself is among them."""
    method = Run.of(record).method
    alike = [other for other in records if _is_final(other) and Run.of(other).method == method]
    return sorted(alike, key=lambda other: (other.summary["seed"], other.run_id))


def final_named(run_id: str, finals: Iterable[RunRecord], what: str) -> RunRecord:
    """The run of an id among some final runs; `what` they are, for errors.

    Raises:
        InputError: it is none of them.
    """
    by_id = {record.run_id: record for record in finals}
    if run_id not in by_id:
        raise InputError(
            f"--run: {run_id!r} is no finished final {what}; accepted: {', '.join(by_id) or 'nothing yet'}"
        )
    return by_id[run_id]


def best_final(entries: Iterable[Mapping[str, Any]], records: Collection[RunRecord]) -> RunRecord:
    """The final run, of the first seed, of the best candidate; or of the only experiment, where nothing was searched.

    Args:
        entries: Entries of `Results.best`.
        records: All run files, among which the candidates and final runs are.

    Raises:
        InputError: there is none, or there are several experiments.
    """
    by_id = {record.run_id: record for record in records}
    chosen = [by_id[entry["run_id"]] for entry in entries if entry["run_id"] in by_id]
    if not chosen:
        chosen = representatives(records, is_shown=is_final_training)
    names = ", ".join(sorted({f"{record.summary['model']}/{record.summary['task']}" for record in chosen}))
    if len(chosen) > 1:
        raise InputError(f"--best: there are several experiments: {names}; accepted: --model and --trained-on of one")
    finals = seeds_of(chosen[0], records) if chosen else []
    if not finals:
        raise InputError(f"--best: no final run of {names or 'any experiment'} is finished; accepted: a sweep with one")
    return finals[0]
