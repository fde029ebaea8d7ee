"""Which run of a sweep is handed out next, with what its trial needs, and what becomes of one that has ended.

Tune only asks and tells. No torch: the driver needs none.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from mtneuro_ray.cluster.packing import Ask, Packing
from mtneuro_ray.cluster.ray_data import SplitRefs
from mtneuro_ray.cluster.ray_metrics import tell_run
from mtneuro_ray.cluster.shared import DataKey, EncoderRef, Shared
from mtneuro_ray.config.resources import ResourceSettings
from mtneuro_ray.progress import say
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import LAST, RunFolder, RunRecord, checkpoint_folder, outcome
from mtneuro_ray.sweep.experiment import PlannedRun
from mtneuro_ray.sweep.sweep import Sweep

LOST = "its process was lost (killed, or out of memory) on every try"
# Key of a trial's configuration: its job's order.
ORDER = "order"
# Keys of what a trial reports to Tune: the metric that selects its candidate, after which epoch, and the entry of that
# epoch in the run's history, which the report at the end of a run lacks.
VALUE = "value"
EPOCH = "epoch"
ENTRY = "entry"


@dataclass(frozen=True, slots=True)
class Job:
    """One run with what its trial needs.

    Attributes:
        planned: The run.
        splits: Its data; a candidate has no test split.
        encoder: Initial weights of its encoder, where these are not random.
        out: Folder of the run files.
        resources: What a trial occupies.
        ask: What this trial asks of Ray.
        order: Of the trials that wait, the one with the smallest order starts first.
        can_stop: Whether the run may be stopped after an epoch.
        alone_after: Why the run is tried again by itself; None for the first try.
    """

    planned: PlannedRun
    splits: SplitRefs
    encoder: EncoderRef | None
    out: Folder
    resources: ResourceSettings
    ask: Ask
    order: tuple[float, ...] = ()
    can_stop: bool = False
    alone_after: str | None = None

    @property
    def placement(self) -> dict[str, Any]:
        """Entries of the run file about the trial's place, where it differs from what the settings say."""
        if self.resources.packing is None and self.alone_after is None:
            return {}
        asked = {"asked": self.ask.bundle}
        return asked if self.alone_after is None else {**asked, "alone_after": self.alone_after}

    @property
    def bundle(self) -> dict[str, float]:
        """Resources of the trial's own process."""
        if self.resources.workers_per_trial > 1:
            # The trial only waits; its workers have bundles of their own. Tune wants something to place it by, and a
            # fraction of a CPU would be missing for the last worker of a full machine.
            return {"memory": 1}
        return self.ask.bundle


class Dispatch:
    """Hands out the runs of a sweep as they become ready, and takes their ends.

    A run that exhausts memory beside others, or whose process is lost on every try, is tried once more with a device
    to itself, when nothing else is left to run; it is not stopped early, then.

    Args:
        sweep: What is needed. Runs that are ready wait in the order of their `priority`.
        shared: Data and weights.
        out: Folder of the run files.
        resources: What a trial occupies.
        packing: What each trial asks for, and which runs come first.
        ended: Called with each run of the sweep that has ended, after the sweep was told.

    Attributes:
        running: Run id -> job that is handed out and has not ended.
        warming: Number of trials that only import torch in their process, for the trials to come.
    """

    def __init__(
        self,
        sweep: Sweep,
        shared: Shared,
        out: Folder,
        resources: ResourceSettings,
        packing: Packing,
        ended: Callable[[PlannedRun, RunRecord], None] = lambda planned, record: None,
    ) -> None:
        self.running: dict[str, Job] = {}
        self.warming = self._warmed = 0
        self._sweep, self._shared, self._out = sweep, shared, out
        self._resources, self._packing, self._ended = resources, packing, ended
        self._runs = RunFolder(out)
        self._waiting: dict[DataKey, list[tuple[float, int, PlannedRun]]] = {}
        self._alone: list[tuple[PlannedRun, Ask, str]] = []
        self._count = 0
        for planned in sweep.ready():
            self._wait(planned)

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        # Tune saves what it is given, to go on from it. A sweep goes on from its run files.
        return type(None), ()

    @property
    def is_over(self) -> bool:
        """Whether no run will be handed out any more."""
        if self.running:
            return False
        return self._shared.error is not None or not (self._waiting or self._alone)

    def next(self) -> Job | None:
        """A run that can start now, or None. Where nothing runs it waits for data that are being read."""
        while self._shared.error is None:
            if self.warming and len(self.running) >= self._warmed - self.warming:
                # Each process that has become warm takes one run; without this, a run would start a process of its own.
                return None
            found = [key for key in self._waiting if self._shared.has(key)]
            if found:
                key = min(found, key=lambda key: self._waiting[key][0][:2])
                *order, planned = heapq.heappop(self._waiting[key])
                if not self._waiting[key]:
                    del self._waiting[key]
                return self._job(planned, self._packing.ask(planned.run), order)
            if self.running or self.warming:
                return None
            if not self._waiting:
                if not self._alone:
                    return None
                planned, ask, reason = self._alone.pop(0)
                return self._job(planned, ask, alone_after=reason)
            self._shared.wait(self._waiting)
        return None

    def warm_ups(self, room: Mapping[str, float]) -> list[dict[str, float]]:
        """Let the reading go on, now that there is a cluster, and start processes for the runs that wait for it.

        Returns:
            Resources of each process, as many as there is room for now.

        Args:
            room: Resources of the cluster.
        """
        first = [planned for _, _, planned in sorted(chain(*self._waiting.values()), key=lambda each: each[:2])]
        left, bundles = dict(room), list[dict[str, float]]()
        # A trial with workers of its own only waits; the data of a sweep that goes on are there already.
        is_worth = self._resources.workers_per_trial == 1 and not any(map(self._shared.has, self._waiting))
        for planned in first[: self._resources.max_concurrent] if is_worth else []:
            bundle = self._packing.ask(planned.run).bundle
            if any(left.get(kind, 0.0) < amount for kind, amount in bundle.items()):
                break
            left.update({kind: left[kind] - amount for kind, amount in bundle.items()})
            bundles.append(bundle)
        self.warming = self._warmed = len(bundles)
        self._shared.join(beside_trials=bool(bundles))
        return bundles

    def stopped(self, run_id: str, history: list[dict[str, Any]]) -> None:
        """Write the file of a run that was stopped after an epoch, which no trial is there to write."""
        run = self.running[run_id].planned.run
        settings = run.model_dump(mode="json")
        self._runs.write(RunRecord(run_id, "stopped", run.summary(), settings, history=history))
        checkpoint_folder(self._out, run).delete(LAST)

    def end(self, run_id: str, reason: str | None = None) -> None:
        """Take a run as ended.

        Args:
            run_id: A run that was handed out.
            reason: Why its trial was given up; None for one that ended, or was stopped, as it should.
        """
        job = self.running[run_id]
        record = self._recorded(job, reason)
        # Not before: a record that can't be written leaves the run open.
        del self.running[run_id]
        planned = job.planned
        if record.status == "error" and record.placement.get("out_of_memory") and job.alone_after is None:
            ask = self._packing.alone(planned.run)
            if ask is not None:
                self._alone.append((planned, ask, f"{record.error} (asked for {job.ask})"))
                say(f"{planned}: ran out of memory or was lost beside others; it has a device to itself later")
                return
        ready = self._sweep.end(record)
        tell_run(planned.run, record)
        stage = self._sweep.stage(planned)
        total = self._sweep.totals()[stage]
        told = outcome(record, planned.metric)
        say(f"[{stage} {total.done + total.failed}/{total.expected}] {planned}: {told}")
        for each in ready:
            self._wait(each)
        self._ended(planned, record)

    def _wait(self, planned: PlannedRun) -> None:
        self._count += 1
        heap = self._waiting.setdefault(self._shared.key(planned), [])
        priority = self._packing.priority(planned, trains=self._sweep.stage(planned) != "evaluate")
        heapq.heappush(heap, (-priority, self._count, planned))
        self._shared.want(planned)

    def _job(self, planned: PlannedRun, ask: Ask, order: Sequence[float] = (0,), alone_after: str | None = None) -> Job:
        halves = self._resources.scheduler == "asha" and planned.run.role == "candidate"
        job = Job(
            planned,
            self._shared.splits(planned),
            self._shared.encoder(planned),
            self._out,
            self._resources,
            ask,
            tuple(order),
            halves and alone_after is None,
            alone_after,
        )
        self.running[planned.run_id] = job
        return job

    def _recorded(self, job: Job, reason: str | None) -> RunRecord:
        """The record of a run that has ended: its file, which is written here where its trial could not."""
        run = job.planned.run
        record = self._runs.read(run.run_id)
        if record is not None and (record.status == "done" or reason is None):
            return record
        placement = job.placement
        if reason in (None, LOST):
            # The kernel and Ray kill what takes the last memory of a machine, and a lost process tells nobody why.
            reason, placement["out_of_memory"] = LOST, True
            if job.alone_after is not None:
                reason += ", with a device to itself, too; accepted: a smaller batch_size, or more memory"
        elif record is not None and record.error == reason:
            return record
        record = RunRecord.failed(run, reason, placement=placement)
        self._runs.write(record)
        return record
