"""A sweep on a cluster as a discrete-event simulation: what each machine, and each shared part, is busy with when.

What is modelled is how this package uses Ray: ingest task by task before the first trial; a driver that handles one
event at a time; trial actors that are started once and reused; splits that a node fetches once, from the one node that
has made them; trials that are handed out as soon as they can start; an autoscaler that looks every few seconds. Times
are seconds, sizes bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

import simpy

from mtneuro_ray.retry import LONGEST_PAUSE_S
from mtneuro_ray.volumes.bossdb import BossSettings, BossSource

_NEVER_S = 1e12
_TICK_S = 1e-3
_PATIENCE_OF_BOSS_S = 1.0
_PATIENCE = BossSettings()

Process = Generator[simpy.Event, Any, None]


@dataclass(frozen=True, slots=True)
class Trial:
    """A run as the cluster sees it.

    Attributes:
        seconds: On its share of a node, alone.
        task: Whose splits it reads.
        reports: Epochs after which the driver hears of it.
        run_id: Run of a sweep that it stands for.
    """

    seconds: float
    task: str = ""
    reports: int = 0
    run_id: str = ""


Release = Callable[[Trial | None], Sequence[Trial]]


def _nothing(ended: Trial | None) -> Sequence[Trial]:
    return ()


def in_turn(stages: Sequence[Sequence[Trial]]) -> Release:
    """Trials that are released when all of the list before theirs have ended."""
    left = [0]
    coming = iter(stages)

    def release(ended: Trial | None) -> Sequence[Trial]:
        nonlocal coming
        if ended is None:
            coming, left[0] = iter(stages), 1
        left[0] -= 1
        if left[0]:
            return []
        trials = next(coming, [])
        left[0] = len(trials)
        return trials

    return release


# A trial that the driver has asked for, and its place among those.
_Proposed = tuple[Trial, simpy.resources.resource.Request]


@dataclass(frozen=True, slots=True)
class Reading:
    """The ingest of one task: its cutouts by their bytes, in blocks that are Ray tasks of their own."""

    blocks: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Work:
    """A whole sweep.

    Attributes:
        readings: Ingests, one after another, before the first trial.
        release: Called with None once, and with each trial that has ended; returns the trials that can start now, in
            the order in which they are proposed.
        split_bytes: Task -> bytes of its splits, which every node that trains on it fetches once.
    """

    readings: Sequence[Reading] = ()
    release: Release = _nothing
    split_bytes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Costs:
    """What the shared parts take. All of them are 0 or without limit by default.

    Attributes:
        driver_trial_s: The driver, a trial; half at its start, half at its end.
        driver_report_s: The driver, a reported epoch.
        gcs_trial_s: The GCS on the head, a trial.
        gcs_actor_s: The GCS, an actor that is started.
        actor_start_s: A fresh actor on its node, until it trains.
        transfer_bytes_s: Of the node that holds the splits, to all others together.
        boss_requests_s: That BossDB takes, from all together.
        boss_bytes_s: That BossDB sends, to all together.
        boss_latency_s: Until an answer begins.
        boss_refuses: Whether BossDB refuses a request (HTTP 429) that it would answer after more than a second, in
            place of letting it wait. It is tried again after pauses as those of `mtneuro_ray.retry`.
        store_s_per_byte: Of a CPU, to unpack and store what was read.
    """

    driver_trial_s: float = 0.0
    driver_report_s: float = 0.0
    gcs_trial_s: float = 0.0
    gcs_actor_s: float = 0.0
    actor_start_s: float = 0.0
    transfer_bytes_s: float = math.inf
    boss_requests_s: float = math.inf
    boss_bytes_s: float = math.inf
    boss_latency_s: float = 0.0
    boss_refuses: bool = False
    store_s_per_byte: float = 0.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """The machines, and who starts them.

    Attributes:
        nodes: At most.
        trials_per_node: At once.
        cpus_per_node: For ingest.
        parallel_reads: Requests that an ingest task has in flight.
        attempts: Of a request, at most.
        backoff_s: Scale of the pause before the second; that of later ones doubles.
        max_concurrent: Trials that the driver has asked for and that have not ended.
        up: Nodes that run from the start.
        boot_s: From the request of a node until it takes work.
        upscaling_speed: Nodes that are requested at once, as a multiple of those that run.
        most_launches: Nodes that are requested at once, whatever the speed (Ray: 10).
        look_s: Between two looks of the autoscaler.
        idle_s: A node without work is given back after it.
        ahead: Whether all nodes are asked for at the submit, and not the few that ingest takes.
    """

    nodes: int
    trials_per_node: int = 1
    cpus_per_node: int = 1
    parallel_reads: int = BossSource.parallel_reads
    attempts: int = _PATIENCE.attempts
    backoff_s: float = _PATIENCE.backoff_s
    max_concurrent: int = 128
    up: int = 0
    boot_s: float = 0.0
    upscaling_speed: float = 10.0
    most_launches: int = 10
    look_s: float = 5.0
    idle_s: float = math.inf
    ahead: bool = False


@dataclass(slots=True)
class Outcome:
    """What a simulated sweep took.

    Attributes:
        ingest_s: Seconds until the first trial is proposed.
        trials_s: Seconds from then to the last result.
        node_s: That nodes were paid for, from request to the end.
        slot_s: That trials were trained.
        busy_s: Of each shared part.
        most_nodes: That were there at once.
        refused: Requests that BossDB refused.
        lost: Those that were given up; one of them would end the ingest.
    """

    ingest_s: float = 0.0
    trials_s: float = 0.0
    node_s: float = 0.0
    slot_s: float = 0.0
    busy_s: dict[str, float] = field(default_factory=dict)
    most_nodes: int = 0
    refused: int = 0
    lost: int = 0

    @property
    def total_s(self) -> float:
        """From the submit to the last result."""
        return self.ingest_s + self.trials_s


class _Part:
    """Something that serves one at a time, in the order of arrival."""

    def __init__(self, env: simpy.Environment) -> None:
        self._env = env
        self._free_at = 0.0
        self.busy_s = 0.0

    @property
    def wait_s(self) -> float:
        """Until the next to arrive would be served."""
        return max(0.0, self._free_at - self._env.now)

    def serve(self, seconds: float) -> simpy.Event:
        """An event that comes when this has been served."""
        self._free_at = max(self._free_at, self._env.now) + seconds
        self.busy_s += seconds
        return self._env.timeout(self._free_at - self._env.now)


class _Node:
    """A machine, with the tasks whose splits it has."""

    def __init__(self, requested_at: float) -> None:
        self.requested_at = requested_at
        self.slots = 0
        self.busy = 0
        self.idle_since = requested_at
        self.fetched: dict[str, simpy.Event] = {}


class _Simulation:
    def __init__(self, work: Work, cluster: Cluster, costs: Costs) -> None:
        self.work, self.cluster, self.costs = work, cluster, costs
        self.env = env = simpy.Environment()
        self.outcome = Outcome()
        self._random = Random(0)
        self.parts = {name: _Part(env) for name in ("driver", "GCS", "transfer", "BossDB requests", "BossDB bytes")}
        # What waits for a place on a node: released trials, and ingest's CPUs.
        self.pending: simpy.Store = simpy.Store(env)
        self.cpus: simpy.Store = simpy.Store(env)
        self.concurrent = simpy.Resource(env, cluster.max_concurrent)
        self.blocks_left = 0
        self.busy = 0
        self.booting = 0
        self.nodes: list[_Node] = []
        self.ingesting = True
        self._left = 0
        self._over = env.event()

    def run(self) -> Outcome:
        for _ in range(min(self.cluster.up, self.cluster.nodes)):
            self._join(_Node(0.0))
        self.env.process(self._autoscale())
        self.env.run(until=self.env.process(self._sweep()))
        outcome, now = self.outcome, self.env.now
        outcome.node_s += sum(now - node.requested_at for node in self.nodes)
        outcome.busy_s = {name: part.busy_s for name, part in self.parts.items()}
        return outcome

    def _sweep(self) -> Process:
        for reading in self.work.readings:
            self.blocks_left = len(reading.blocks)
            yield self.env.all_of([self.env.process(self._fetch(block)) for block in reading.blocks])
        self.ingesting = False
        self.outcome.ingest_s = self.env.now
        self._propose(None)
        if self._left:
            yield self._over
        self.outcome.trials_s = self.env.now - self.outcome.ingest_s

    def _propose(self, ended: Trial | None) -> None:
        """Enter the trials that can start now, and count the one that has ended."""
        self._left -= ended is not None
        for trial in self.work.release(ended):
            self._left += 1
            self.env.process(self._ask(trial))
        if not self._left and ended is not None:
            self._over.succeed()

    def _ask(self, trial: Trial) -> Process:
        place = self.concurrent.request()
        yield place
        self.pending.put((trial, place))

    def _fetch(self, block: tuple[int, ...]) -> Process:
        """A task of the ingest: its reads, so many at a time, on one CPU."""
        cpu = yield self.cpus.get()
        reads = simpy.Resource(self.env, self.cluster.parallel_reads)
        yield self.env.all_of([self.env.process(self._read(reads, size)) for size in block])
        yield self.env.timeout(sum(block) * self.costs.store_s_per_byte)
        self.blocks_left -= 1
        self.cpus.put(cpu)

    def _read(self, reads: simpy.Resource, size: int) -> Process:
        requests = self.parts["BossDB requests"]
        with reads.request() as turn:
            yield turn
            attempt = 0
            while self.costs.boss_refuses and requests.wait_s > _PATIENCE_OF_BOSS_S:
                self.outcome.refused += 1
                attempt += 1
                if attempt == self.cluster.attempts:
                    self.outcome.lost += 1
                    return
                pause = min(LONGEST_PAUSE_S, self.cluster.backoff_s * 2 ** (attempt - 1))
                yield self.env.timeout(self._random.uniform(0.0, pause))
            yield requests.serve(1 / self.costs.boss_requests_s)
            yield self.env.timeout(self.costs.boss_latency_s)
            yield self.parts["BossDB bytes"].serve(size / self.costs.boss_bytes_s)

    def _autoscale(self) -> Process:
        cluster = self.cluster
        while True:
            waiting = math.ceil((len(self.pending.items) + self.busy) / cluster.trials_per_node)
            if self.ingesting:
                waiting = cluster.nodes if cluster.ahead else math.ceil(self.blocks_left / cluster.cpus_per_node)
            wanted = min(cluster.nodes, waiting) - len(self.nodes) - self.booting
            at_once = max(1, math.ceil(cluster.upscaling_speed * max(len(self.nodes), 1)))
            for _ in range(min(wanted, at_once, cluster.most_launches)):
                self.booting += 1
                self.env.process(self._boot())
            yield self.env.timeout(cluster.look_s)

    def _boot(self) -> Process:
        node = _Node(self.env.now)
        yield self.env.timeout(self.cluster.boot_s)
        self.booting -= 1
        self._join(node)

    def _join(self, node: _Node) -> None:
        self.nodes.append(node)
        self.outcome.most_nodes = max(self.outcome.most_nodes, len(self.nodes))
        for _ in range(self.cluster.cpus_per_node):
            self.cpus.put(node)
        node.slots, node.idle_since = self.cluster.trials_per_node, self.env.now
        for _ in range(node.slots):
            self.env.process(self._slot(node))

    def _slot(self, node: _Node) -> Process:
        """One trial's place on a node: an actor, and one trial after another in it."""
        started = False
        while True:
            work = self.pending.get()
            yield work | self.env.timeout(self._idle_left(node))
            if not work.triggered:
                work.cancel()
                # Less than this is a rounding error, after which the clock would not move.
                if self._idle_left(node) > _TICK_S:
                    continue
                break
            trial, place = cast(_Proposed, work.value)
            node.busy += 1
            self.busy += 1
            if not started:
                started = True
                yield self.parts["GCS"].serve(self.costs.gcs_actor_s)
                yield self.env.timeout(self.costs.actor_start_s)
            yield self.parts["driver"].serve(self.costs.driver_trial_s / 2)
            yield self.parts["GCS"].serve(self.costs.gcs_trial_s)
            yield self._splits(node, trial.task)
            yield from self._train(trial)
            yield self.parts["driver"].serve(self.costs.driver_trial_s / 2)
            self.busy -= 1
            node.busy -= 1
            node.idle_since = self.env.now
            self.concurrent.release(place)
            self._propose(trial)
        node.slots -= 1
        if not node.slots:
            self.nodes.remove(node)
            self.outcome.node_s += self.env.now - node.requested_at

    def _idle_left(self, node: _Node) -> float:
        """Seconds until a node is given back, if nothing comes; never 0 while it works."""
        longest = min(self.cluster.idle_s, _NEVER_S)
        if self.ingesting or node.busy:
            return longest
        return max(0.0, longest - (self.env.now - max(node.idle_since, self.outcome.ingest_s)))

    def _splits(self, node: _Node, task: str) -> simpy.Event:
        """The arrival of a task's splits on a node; later trials wait for the same."""
        if task not in node.fetched:
            size = self.work.split_bytes.get(task, 0)
            node.fetched[task] = self.parts["transfer"].serve(size / self.costs.transfer_bytes_s)
        event = node.fetched[task]
        return self.env.timeout(0) if event.processed else event

    def _train(self, trial: Trial) -> Process:
        self.outcome.slot_s += trial.seconds
        for _ in range(trial.reports):
            yield self.env.timeout(trial.seconds / trial.reports)
            yield self.parts["driver"].serve(self.costs.driver_report_s)
        if not trial.reports:
            yield self.env.timeout(trial.seconds)


def simulate(work: Work, cluster: Cluster, costs: Costs | None = None) -> Outcome:
    """Run a sweep on a cluster that does not exist."""
    return _Simulation(work, cluster, costs or Costs()).run()
