"""A sweep played through on devices, run by run, with the seconds that each run takes. No torch, no Ray."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count

from mtneuro_ray.storage.records import RunRecord
from mtneuro_ray.sweep.experiment import PlannedRun
from mtneuro_ray.sweep.sweep import STAGES, Stage, Sweep


@dataclass(frozen=True, slots=True)
class Load:
    """What one run takes.

    Attributes:
        seconds: Seconds that it takes by itself.
        share: Its share of one device, above 0 and at most 1.
        priority: How early it should start among the runs that are ready: larger is earlier.
    """

    seconds: float
    share: Fraction = Fraction(1)
    priority: float = 0.0


@dataclass(slots=True)
class Played:
    """What came of a sweep that was played through.

    Attributes:
        wall_s: Seconds from the start of the first run to the end of the last.
        runs: Stage -> number of its runs.
        run_s: Stage -> seconds of its runs, each by itself.
    """

    wall_s: float = 0.0
    runs: dict[Stage, int] = field(default_factory=dict)
    run_s: dict[Stage, float] = field(default_factory=dict)


def play(
    sweep: Sweep,
    load_of: Callable[[PlannedRun, Stage], Load],
    devices: int,
    most: int | None = None,
) -> Played:
    """Run a sweep to its end, in pretence: each ready run starts as soon as a device has room for its share.

    A run that finds no room waits, and those behind it wait with it. The slowest candidate is the one that is selected.

    Args:
        sweep: A sweep of which nothing is running.
        load_of: What a run takes.
        devices: Number of equal devices.
        most: Runs at once, on all devices together.
    """
    free = [Fraction(1)] * devices
    waiting: list[tuple[float, int, PlannedRun, Load]] = []
    running: list[tuple[float, int, int, PlannedRun, Load]] = []
    played, now, numbers = Played(), 0.0, count()

    def wait(planned: PlannedRun) -> None:
        stage = sweep.stage(planned)
        load = load_of(planned, stage)
        heapq.heappush(waiting, (-load.priority, next(numbers), planned, load))
        played.runs[stage] = played.runs.get(stage, 0) + 1
        played.run_s[stage] = played.run_s.get(stage, 0.0) + load.seconds

    for planned in sweep.ready():
        wait(planned)
    while waiting or running:
        place = None
        if waiting and (most is None or len(running) < most):
            share = waiting[0][3].share
            place = next((device for device, room in enumerate(free) if room >= share), None)
        if place is not None:
            _, _, planned, load = heapq.heappop(waiting)
            free[place] -= load.share
            heapq.heappush(running, (now + load.seconds, next(numbers), place, planned, load))
            continue
        now, _, place, planned, load = heapq.heappop(running)
        free[place] += load.share
        for each in sweep.end(pretended(planned, load.seconds)):
            wait(each)
    order = [stage for stage in STAGES if stage in played.runs]
    return Played(now, {stage: played.runs[stage] for stage in order}, {stage: played.run_s[stage] for stage in order})


def pretended(planned: PlannedRun, seconds: float) -> RunRecord:
    """A record of a run that took these seconds, and is the better the longer it took."""
    split, _, key = planned.metric.partition("/")
    value = seconds if planned.mode == "max" else -seconds
    return RunRecord(planned.run_id, "done", {}, {}, {split: {key: value}})
