"""A sweep from its space to its run files: candidates, selection, seeds, and only what is missing of them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mtneuro_ray.capacity.costs import CostTable, read_table
from mtneuro_ray.config.loading import Pair
from mtneuro_ray.config.space import ExperimentSpace, ResourceSettings
from mtneuro_ray.data.ingest import open_volumes
from mtneuro_ray.data.prepare import check_encoders
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.progress import say
from mtneuro_ray.storage.checkpoints import has_weights
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord
from mtneuro_ray.sweep.outline import Outline, OutlinedRun
from mtneuro_ray.sweep.search import Plan, Search, trainings_of

if TYPE_CHECKING:
    from mtneuro_ray.cluster.stage import Shared


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


def sweep(entries: Iterable[tuple[ExperimentSpace, Pair]], resources: ResourceSettings, where: Where) -> list[str]:
    """Run what is missing of a sweep. A sweep that is done reads no voxel and joins no cluster.

    Returns:
        What went wrong, a line per run or experiment; empty where every run is done.

    Raises:
        InputError: the data do not fit the settings, the table of `packing` can't be read, or another sweep is at work
            in the output folder.
        SourceError: a volume can't be read.
        MTNeuroError: another sweep has taken over the output folder, or the cluster can't be joined.
    """
    table = None if resources.packing is None else read_table(resources.packing)
    searches = Search.of_sweep(entries, _identities)
    results = _Results(RunFolder(where.out), with_stopped=resources.scheduler == "asha")
    problems: list[str] = []
    with ExitStack() as stack:
        num_seed_runs = sum(len(search.space.seeds) for search in searches)
        stages = _Stages(stack, resources, table, where, results, num_seed_runs)
        candidates: list[Plan] = []
        while len(known := [plan for search in searches for plan in search.candidate_plans(results.of)]) > len(
            candidates
        ):
            candidates = known
            stages.run("candidates", candidates, halve=resources.scheduler == "asha")
        finals: list[Plan] = []
        for search in searches:
            best = search.best_candidate(results.of)
            if best is None:
                problems.append(f"{search.name}: no candidate has a validation value, so there is nothing to repeat")
            else:
                finals.extend(search.final_plans(best))
        pending = {plan.run.train_id for plan in finals if results.of(plan.run.run_id) is None}
        trainings = [
            replace(plan, again=plan.run.train_id in pending and not has_weights(where.out, plan.run))
            for plan in trainings_of(finals)
        ]
        stages.run("seeds", trainings)
        trained = {plan.run.run_id for plan in trainings}
        evaluations = [plan for plan in finals if plan.run.run_id not in trained]
        stages.run("evaluations", evaluations)
    for plan in (*candidates, *trainings, *evaluations):
        record = results.of(plan.run.run_id)
        if record is None or record.status == "error":
            problems.append(f"{plan}: {record.error if record else 'no result'}")
    return problems


def _identities(pair: Pair) -> list[str]:
    return [channel.identity for channel in open_volumes(pair.task, pair.task_file).channels]


class _Results:
    """The run files that count as results of this sweep.

    A run that failed in an earlier one is tried again; a candidate that was stopped there counts where this one stops
    candidates,
    too.
    """

    def __init__(self, runs: RunFolder, *, with_stopped: bool) -> None:
        self.tried: set[str] = set()
        self._runs = runs
        self._accepted = {"done", "stopped"} if with_stopped else {"done"}
        self._found: dict[str, RunRecord] = {}
        self.look()

    def look(self) -> None:
        """Read the files that were no results when last looked at, side by side: a bucket answers slowly."""
        for record in self._runs.read_all(run_id for run_id in self._runs.ids() if run_id not in self._found):
            if record.status in self._accepted or record.run_id in self.tried:
                self._found[record.run_id] = record

    def of(self, run_id: str) -> RunRecord | None:
        """What a run had ended with at the last look, or None where it is still to be trained."""
        return self._found.get(run_id)


class _Stages:
    """Runs stages on one cluster, which is joined, and fed with the data, when the first run is missing."""

    def __init__(
        self,
        stack: ExitStack,
        resources: ResourceSettings,
        table: CostTable | None,
        where: Where,
        results: _Results,
        num_seed_runs: int,
    ) -> None:
        self._outline = Outline(later=num_seed_runs)
        self._stack = stack
        self._resources = resources
        self._table = table
        self._where = where
        self._results = results
        self._connected = False
        # What the candidates have read, the seeds read again from shared memory.
        self._shared: Shared | None = None

    def run(self, label: str, plans: list[Plan], *, halve: bool = False) -> None:
        """Train the runs that have no result yet; `halve` stops those that fall behind."""
        ended = [
            (plan, record)
            for plan in plans
            if not plan.again and (record := self._results.of(plan.run.run_id)) is not None
        ]
        done = {plan.run.run_id for plan, _ in ended}
        todo = list({plan.run.run_id: plan for plan in plans if plan.run.run_id not in done}.values())
        if plans:
            say(f"{label}: {len(ended)} of {len(plans)} runs are done, {len(todo)} to run")
        self._outline.stages[label] = [
            OutlinedRun(plan.run.run_id, str(plan), plan.experiment, plan.metric, plan.mode) for plan in plans
        ]
        if label != "candidates":
            self._outline.later = 0
        if not todo:
            return
        check_encoders((plan.run.network, str(plan.pair.network_file)) for plan in todo)
        self._connect()
        self._outline.write(self._where.out)
        from mtneuro_ray.cluster.halving import Halving
        from mtneuro_ray.cluster.packing import Packing
        from mtneuro_ray.cluster.ray_tune import run_stage
        from mtneuro_ray.cluster.stage import Shared

        self._shared = self._shared or Shared()
        for plan in todo:
            self._shared.add(self._where.store, plan.pair, plan.run.network)
        halving = Halving(self._resources.asha, todo, ended) if halve else None
        packing = Packing(self._resources, self._table)
        ordered = packing.in_order(todo, trains=label != "evaluations")
        run_stage(label, ordered, self._shared, self._where.out, self._resources, halving, packing)
        self._results.tried.update(plan.run.run_id for plan in todo)
        self._results.look()

    def _connect(self) -> None:
        from mtneuro_ray.cluster.connect import connected
        from mtneuro_ray.storage.lease import only_driver

        if not self._connected:
            self._stack.enter_context(only_driver(self._where.out))
            self._stack.enter_context(connected(self._where.address, self._where.num_cpus, self._resources.of_a_trial))
            self._connected = True
