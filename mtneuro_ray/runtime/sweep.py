"""A sweep from its space to its run files: cells, selection, seeds, and only what is missing of them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mtneuro_ray.config.loading import Pair
from mtneuro_ray.config.space import ResourceSettings, SettingSpace
from mtneuro_ray.data.ingest import open_volumes
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.results.record import RunFolder
from mtneuro_ray.runtime.progress import say
from mtneuro_ray.search import Plan, Search
from mtneuro_ray.storage import Folder

if TYPE_CHECKING:
    from mtneuro_ray.runtime.ray_data import SplitRefs


@dataclass(frozen=True, slots=True)
class Where:
    """Where a sweep runs and what it leaves.

    Attributes:
        store: Cutouts.
        out: Run files.
        address: Of a Ray cluster; see `runtime.cluster.connected`.
        num_cpus: CPUs of a cluster started here.
    """

    store: CutoutStore
    out: Folder
    address: str | None = None
    num_cpus: int | None = None


def sweep(entries: Iterable[tuple[SettingSpace, Pair]], resources: ResourceSettings, where: Where) -> list[str]:
    """Run what is missing of a sweep. A sweep that is done reads no voxel and joins no cluster.

    Returns:
        What went wrong, a line per run or setting; empty where every run is done.

    Raises:
        InputError: the data do not fit the settings.
        SourceError: a volume can't be read.
    """
    runs = RunFolder(where.out)
    searches = [Search.of(setting, pair, _identities(pair)) for setting, pair in entries]
    cells = [plan for search in searches for plan in search.cell_plans()]
    problems: list[str] = []
    with ExitStack() as stack:
        stage = _Stages(stack, resources, where)
        stage.run("cells", cells)
        finals: list[Plan] = []
        for search in searches:
            best = search.best_cell(runs.read)
            if best is None:
                problems.append(f"{search.name}: no cell could be trained, so there is nothing to repeat")
            else:
                finals.extend(search.final_plans(best))
        stage.run("seeds", finals)
    for plan in (*cells, *finals):
        record = runs.read(plan.run.run_id)
        if record is None or record.status != "done":
            problems.append(f"{plan}: {record.error if record else 'no result'}")
    return problems


def _identities(pair: Pair) -> list[str]:
    return [channel.identity for channel in open_volumes(pair.task, pair.task_file).channels]


class _Stages:
    """Runs stages on one cluster, which is joined, and fed with the data, when the first run is missing."""

    def __init__(self, stack: ExitStack, resources: ResourceSettings, where: Where) -> None:
        self._stack = stack
        self._resources = resources
        self._where = where
        self._connected = False
        # Task name -> its splits: what the cells have read, the seeds read again from shared memory.
        self._splits: dict[str, SplitRefs] = {}

    def run(self, label: str, plans: list[Plan]) -> None:
        """Train the runs that have no result yet."""
        runs = RunFolder(self._where.out)
        todo = list({plan.run.run_id: plan for plan in plans if not runs.is_done(plan.run.run_id)}.values())
        say(f"{label}: {len(plans) - len(todo)} of {len(plans)} runs are done, {len(todo)} to train")
        if not todo:
            return
        self._connect()
        from mtneuro_ray.runtime.ray_data import share_task
        from mtneuro_ray.runtime.ray_tune import run_stage

        for pair in (plan.pair for plan in todo):
            if pair.task.name not in self._splits:
                self._splits[pair.task.name] = share_task(self._where.store, pair.task, pair.task_file)
        run_stage(label, todo, self._splits, self._where.out, self._resources)

    def _connect(self) -> None:
        from mtneuro_ray.runtime.cluster import connected

        if not self._connected:
            self._stack.enter_context(connected(self._where.address, self._where.num_cpus, self._resources.of_a_trial))
            self._connected = True
