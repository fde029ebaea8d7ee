"""Which faults a schedule holds, and when: drawn from a seed, in terms of what can be seen of the sweep."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal

Kind = Literal["worker", "raylet", "driver", "head", "disk", "source"]
Phase = Literal["start", "ingest", "checkpoint", "run"]

KINDS: tuple[Kind, ...] = ("worker", "raylet", "driver", "head", "disk", "source")
# Where a fault of a kind can hit something.
_PHASES: dict[Kind, tuple[Phase, ...]] = {
    "worker": ("checkpoint", "run"),
    "raylet": ("ingest", "checkpoint", "run"),
    "driver": ("start", "ingest", "checkpoint", "run"),
    "head": ("start", "checkpoint", "run"),
    "disk": ("ingest", "checkpoint", "run"),
    "source": ("start",),
}
_ORDER: tuple[Phase, ...] = ("start", "ingest", "checkpoint", "run")
_MOST = {"start": 0, "ingest": 1, "checkpoint": 8, "run": 1}
# Seconds between what is waited for and the fault.
_DELAY_S = {"start": 12.0, "ingest": 0.5, "checkpoint": 1.0, "run": 2.0}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        kind: What fails.
        phase: What is waited for: the start of a submission, or new shards, checkpoints or finished runs.
        count: How many of them, counted from the fault before.
        delay_s: Seconds from there to the fault.
        hold_s: Seconds until what failed is replaced or mended.
        choice: Decides between several victims, and forms of the fault; 0 to 1.
    """

    kind: Kind
    phase: Phase
    count: int
    delay_s: float
    hold_s: float
    choice: float

    def __str__(self) -> str:
        when = f"{self.delay_s:.1f} s after the {self.phase}" if self.phase == "start" else ""
        return f"{self.kind} {when or f'{self.delay_s:.1f} s after {self.phase} +{self.count}'}"


def draw(seed: int, kinds: tuple[Kind, ...] = KINDS) -> list[Fault]:
    """Two or three faults of different kinds, in the order in which they are waited for.

    Args:
        seed: Of the draw. Any `len(kinds)` seeds in a row have each kind in turn among their faults.
        kinds: What may be drawn.
    """
    random = Random(f"faults {seed}")
    first = kinds[seed % len(kinds)]
    others = [kind for kind in kinds if kind != first]
    faults = []
    for kind in (first, *random.sample(others, min(len(others), random.choice((1, 2))))):
        phase = random.choice(_PHASES[kind])
        count = random.randint(1, max(1, _MOST[phase]))
        delay_s = 0.0 if kind == "source" else random.uniform(0, _DELAY_S[phase])
        faults.append(Fault(kind, phase, count, delay_s, random.uniform(1, 8), random.random()))
    return sorted(faults, key=lambda fault: (_ORDER.index(fault.phase), fault.delay_s))
