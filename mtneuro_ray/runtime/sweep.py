"""A sweep from its space to its run files: ingest, cells, selection, seeds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mtneuro_ray.config.loading import Pair
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.space import ResourceSettings, SettingSpace, SweepSpace
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.results.record import RunFolder
from mtneuro_ray.runtime.prepare import ingest
from mtneuro_ray.runtime.progress import say
from mtneuro_ray.runtime.ray_data import SplitRefs, fetch_all, share_splits
from mtneuro_ray.runtime.ray_tune import Trial, run_stage
from mtneuro_ray.search import Cell, Search, unfinished
from mtneuro_ray.storage import Folder


@dataclass(frozen=True, slots=True)
class _Ready:
    """A search whose data is stored and shared."""

    search: Search
    splits: SplitRefs

    def trial(self, run: RunSettings, cell: Cell) -> Trial:
        point = {"setting": self.search.name, **cell}
        if run.role == "final":
            point["seed"] = run.network.seed
            return Trial(run, point, self.search.metric, self.splits)
        # The test split never reaches a cell.
        splits: SplitRefs = {split: ref for split, ref in self.splits.items() if split != "test"}
        return Trial(run, point, self.search.metric, splits)


def sweep(
    space: SweepSpace, entries: Iterable[tuple[SettingSpace, Pair]], store: CutoutStore, out: Folder
) -> list[str]:
    """Run what is missing of a sweep. Needs a connected Ray.

    Returns:
        What went wrong, a line per run or setting; empty where every run is done.

    Raises:
        InputError: the data do not fit the settings.
        SourceError: a volume can't be read.
    """
    runs = RunFolder(out)
    ready = _prepare(entries, store)
    cells = {r.search.name: r.search.space.search.cells for r in ready}
    _stage(
        "cells",
        [r.trial(r.search.cell_run(cell), cell) for r in ready for cell in cells[r.search.name]],
        out,
        space.run,
    )
    finals: list[Trial] = []
    problems: list[str] = []
    for r in ready:
        best = r.search.best_cell(runs.read)
        if best is None:
            problems.append(f"{r.search.name}: no cell could be trained, so there is nothing to repeat")
            continue
        finals.extend(r.trial(run, best) for run in r.search.final_runs(best))
    _stage("seeds", finals, out, space.run)
    expected = [r.search.cell_run(cell) for r in ready for cell in cells[r.search.name]] + [t.run for t in finals]
    for run in expected:
        record = runs.read(run.run_id)
        if record is None or record.status != "done":
            problems.append(f"{run.run_id}: {record.error if record else 'no result'}")
    return problems


def _prepare(entries: Iterable[tuple[SettingSpace, Pair]], store: CutoutStore) -> list[_Ready]:
    """Ingest and share the data of each task once, however many networks are trained on it."""
    shared: dict[str, tuple[tuple[str, ...], SplitRefs]] = {}
    ready = []
    for setting, pair in entries:
        key = pair.task.model_dump_json()
        if key not in shared:
            volumes = ingest(store, pair.task, pair.task_file, fetch_all)
            identities = tuple(channel.identity for channel in volumes.channels)
            shared[key] = (identities, share_splits(store, pair.task, volumes))
        identities, splits = shared[key]
        ready.append(_Ready(Search.of(setting, pair, identities), splits))
    return ready


def _stage(label: str, trials: list[Trial], out: Folder, resources: ResourceSettings) -> None:
    waiting = {run.run_id for run in unfinished((trial.run for trial in trials), RunFolder(out).is_done)}
    todo = [trial for trial in trials if trial.run.run_id in waiting]
    say(f"{label}: {len(trials) - len(todo)} of {len(trials)} runs are done, {len(todo)} to train")
    if todo:
        run_stage(label, todo, out, resources)
