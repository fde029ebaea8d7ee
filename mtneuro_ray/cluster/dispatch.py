"""Which run of a sweep is handed out next, and what becomes of one that has ended. Tune only asks and tells."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

from mtneuro_ray.cluster.job import Job
from mtneuro_ray.cluster.packing import Ask, Packing
from mtneuro_ray.cluster.ray_metrics import tell_run
from mtneuro_ray.cluster.shared import Shared
from mtneuro_ray.config.resources import ResourceSettings
from mtneuro_ray.progress import say
from mtneuro_ray.storage.checkpoints import LAST, checkpoint_folder
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord, outcome
from mtneuro_ray.sweep.experiment import PlannedRun
from mtneuro_ray.sweep.sweep import Sweep

LOST = "its process was lost (killed, or out of memory) on every try"


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
        self._sweep, self._shared, self._out = sweep, shared, out
        self._resources, self._packing, self._ended = resources, packing, ended
        self._runs = RunFolder(out)
        self._waiting: dict[tuple[Any, ...], list[tuple[float, int, PlannedRun]]] = {}
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

    def priority(self, planned: PlannedRun) -> float:
        """How early a run should start: larger is earlier."""
        return self._packing.priority(planned, trains=self._sweep.stage(planned) != "evaluate")

    def next(self) -> Job | None:
        """A run that can start now, or None. Where nothing runs it waits for data that are being read."""
        while self._shared.error is None:
            found = [key for key in self._waiting if self._shared.has(key)]
            if found:
                key = min(found, key=lambda key: self._waiting[key][0][:2])
                _, _, planned = heapq.heappop(self._waiting[key])
                if not self._waiting[key]:
                    del self._waiting[key]
                return self._job(planned, self._packing.ask(planned.run))
            if self.running:
                return None
            if not self._waiting:
                return self._next_alone()
            self._shared.wait(self._waiting)
        return None

    def stopped(self, run_id: str, history: list[dict[str, Any]]) -> None:
        """Write the file of a run that was stopped after an epoch, which no trial is there to write."""
        run = self.running[run_id].planned.run
        settings = run.model_dump(mode="json")
        self._runs.write(RunRecord(run_id, "stopped", run.summary(), settings, history=history))
        checkpoint_folder(self._out, run).delete(LAST)

    def end(self, run_id: str, reason: str | None = None) -> None:
        """Take a run as ended.

        Args:
            run_id: One that was handed out.
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
        self._tell(planned, record)
        for each in ready:
            self._wait(each)
        self._ended(planned, record)

    def _wait(self, planned: PlannedRun) -> None:
        self._count += 1
        key = self._shared.key(planned)
        heap = self._waiting.setdefault(key, [])
        heapq.heappush(heap, (-self.priority(planned), self._count, planned))
        self._shared.want(planned)

    def _next_alone(self) -> Job | None:
        if not self._alone:
            return None
        planned, ask, reason = self._alone.pop(0)
        return self._job(planned, ask, reason)

    def _job(self, planned: PlannedRun, ask: Ask, alone_after: str | None = None) -> Job:
        halves = self._resources.scheduler == "asha" and planned.run.role == "candidate"
        job = Job(
            planned,
            self._shared.splits(planned),
            self._shared.encoder(planned),
            self._out,
            self._resources,
            ask,
            halves and alone_after is None,
            alone_after,
        )
        self.running[planned.run_id] = job
        return job

    def _recorded(self, job: Job, reason: str | None) -> RunRecord:
        """What became of a run: its file, which is written here where its trial could not."""
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

    def _tell(self, planned: PlannedRun, record: RunRecord) -> None:
        tell_run(planned.run, record)
        stage = self._sweep.stage(planned)
        total = self._sweep.totals()[stage]
        told = outcome(record, planned.metric)
        say(f"[{stage} {total.done + total.failed}/{total.expected}] {planned}: {told}")
