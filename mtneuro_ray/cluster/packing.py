"""What a trial asks of Ray, and which come first: by what was measured, or a whole device for itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, inf
from typing import Any

import ray

from mtneuro_ray.capacity.costs import Cost, CostTable, Workload, share_of
from mtneuro_ray.capacity.estimate import seconds_of, work_of
from mtneuro_ray.config.resources import ResourceSettings
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.progress import say
from mtneuro_ray.sweep.experiment import PlannedRun

_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Ask:
    """Resources of a trial of one worker.

    Attributes:
        cpus: Of one machine.
        gpus: A share of one GPU, or whole ones.
        memory: Bytes of one machine; 0 asks for none.
    """

    cpus: float
    gpus: float = 0.0
    memory: int = 0

    @property
    def bundle(self) -> dict[str, float]:
        """As Ray names them."""
        amounts = {"CPU": self.cpus, "GPU": self.gpus, "memory": float(self.memory)}
        return {kind: amount for kind, amount in amounts.items() if amount}

    def __str__(self) -> str:
        parts = [f"{self.cpus:g} CPU", *([f"{self.gpus:g} GPU"] if self.gpus else [])]
        return ", ".join([*parts, *([f"{self.memory / 1e9:.2f} GB"] if self.memory else [])])


class Packing:
    """Chooses what each trial of a sweep asks for, and which are started first.

    Args:
        resources: Of the space. With `packing`, a trial asks for the memory that was measured for its workload; one
            that was not measured asks for a whole GPU, or on a CPU for its CPUs alone, and a line says so.
        table: Of `resources.packing`; None where there is no packing.
        voxel_bytes: Name of a task -> bytes of a voxel of its image over all channels; a byte for each by default.
    """

    def __init__(
        self,
        resources: ResourceSettings,
        table: CostTable | None = None,
        voxel_bytes: Mapping[str, int] | None = None,
    ) -> None:
        self._voxel_bytes = voxel_bytes or {}
        self._resources = resources
        self._table = table
        self._told: set[str] = set()

    def ask(self, run: RunSettings) -> Ask:
        """What a run asks for beside others."""
        resources = self._resources
        given = Ask(resources.cpus_per_worker, resources.gpus_per_worker)
        if self._table is None:
            return given
        on_gpu = resources.gpus_per_worker > 0
        workload, cost = self._cost(run, self._table)
        whole = Ask(given.cpus, max(1.0, given.gpus)) if on_gpu else given
        if cost is None or not cost.fits:
            self._tell(workload, "was not measured" if cost is None else "did not fit when it was measured", whole)
            return whole
        if on_gpu:
            return Ask(given.cpus, share_of(cost.per_device(run, self._voxel_bytes.get(run.task.name))))
        # Whole MiB, because Ray places by them.
        return Ask(given.cpus, memory=min(ceil(cost.bytes_of(run) / _MIB) * _MIB, _largest_node().memory or 2**63))

    def priority(self, planned: PlannedRun, *, trains: bool = True) -> float:
        """How early a ready run should start: larger is earlier.

        It is what the run takes together with what can only follow it, so that no long chain is left for the end:
        seconds where they were measured, infinity where the table lacks the run, and without a table an amount of work.

        Args:
            planned: The run.
            trains: Whether it trains, or only evaluates what another run has trained.
        """
        run = planned.run
        if self._table is None:
            own = work_of(run, trains=trains)
        else:
            _, cost = self._cost(run, self._table)
            own = seconds_of(run, cost, trains=trains) if cost and cost.fits else inf
        # At least one training at the selected candidate follows a search.
        return 2 * own if run.role == "candidate" else own

    def _cost(self, run: RunSettings, table: CostTable) -> tuple[Workload, Cost | None]:
        on_gpu = self._resources.gpus_per_worker > 0
        workload = Workload.of(run, on_gpu=on_gpu)
        return workload, table.find(workload, on_gpu=on_gpu, threads=self._resources.cpus_per_worker)

    def alone(self, run: RunSettings) -> Ask | None:
        """What a run asks for to have its device to itself; None where it has that anyway."""
        asked, resources = self.ask(run), self._resources
        if resources.workers_per_trial > 1 or resources.max_concurrent == 1:
            return None
        if asked.gpus:
            return None if asked.gpus >= 1 else Ask(asked.cpus, 1.0)
        node = _largest_node()
        return None if asked.cpus >= node.cpus else node

    def _tell(self, workload: Workload, what: str, instead: Ask) -> None:
        if workload.key not in self._told:
            self._told.add(workload.key)
            say(f"packing: {workload.key}: {what} ({self._resources.packing}), so each trial takes {instead}")


def _largest_node() -> Ask:
    """All that the machine with most memory, of those that take trials, offers; nothing where there is none yet."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    offers: list[dict[str, float]] = [node["Resources"] for node in nodes if node["Alive"]]
    takes_trials = [has for has in offers if has.get("CPU")]
    largest = max(takes_trials, key=lambda has: (has.get("memory", 0.0), has["CPU"]), default={})
    return Ask(largest.get("CPU", 0.0), memory=int(largest.get("memory", 0)))
