"""What all schedules of faults share: a task in a BossDB that can fail, a cluster, and the undisturbed sweep."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mtneuro_ray.volumes.bossdb import BossSettings, BossSource
from tests.bossdb_server import BossServer
from tests.bossdb_server import Fault as Answer
from tests.faults.fleet import Fleet
from tests.ray_cluster import ROOT
from tests.tiny import write_tiny

EPOCHS = 12
RUNS = 6
_CHANNELS = ("image", "labels")
_SPACE = """
[run]
checkpoint_interval_s = 0
max_failures = 2
"""


class Source(BossServer):
    """A BossDB that fails for a while."""

    def __init__(self, channels: dict[str, Any]) -> None:
        super().__init__(channels)
        self._guard = threading.Lock()
        self.heal()

    def heal(self) -> None:
        """Answer every request again."""
        with self._guard:
            self._spoils_metadata, self._skip, self._left, self.spoiled = False, 0, 0.0, 0
            self._answer: Answer = "503"

    def spoil(self, answer: Answer, skip: int, count: float, metadata: bool = False) -> None:
        """Let `skip` cutouts (or requests of metadata) pass, and spoil the next `count`."""
        self.heal()
        with self._guard:
            self._spoils_metadata, self._skip, self._left, self._answer = metadata, skip, count, answer

    def next_fault(self, metadata: bool) -> Answer | None:
        """The fault of the request that has just arrived."""
        with self._guard:
            if metadata != self._spoils_metadata or not self._left:
                return None
            if self._skip:
                self._skip -= 1
                return None
            self._left -= 1
            self.spoiled += 1
            return self._answer


@dataclass
class Bench:
    """What all schedules share: the task, the source, and what the undisturbed sweep has left."""

    space: Path
    source: Source
    env: dict[str, str]
    identities: list[str]
    logs: Path
    workers: int
    fleet: Fleet
    table: str = ""
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    images_an_epoch: dict[str, float] = field(default_factory=dict)

    def renew(self) -> list[str]:
        """Start a new cluster in the place of one that has lost its head; tell what of the old one did not end."""
        for node in list(self.fleet.workers):
            self.fleet.kill(node)
        left = self.fleet.stop()
        self.fleet = Fleet(self.logs, self.env, self.workers)
        return left


@contextmanager
def bench(folder: Path, workers: int = 2) -> Iterator[Bench]:
    """A tiny task whose volumes lie in a BossDB on this machine, and a cluster.

    Raises:
        AssertionError: at the end a process of the cluster is left.
    """
    tiny = write_tiny(folder / "tiny", epochs=EPOCHS)
    channels = {f"tiny/tiny/{name}": np.load(folder / "tiny" / f"{name}.npy") for name in _CHANNELS}
    task = json.loads(tiny.task.read_text())
    task |= {"image_chan": "bossdb://tiny/tiny/image", "annotation_chan": "bossdb://tiny/tiny/labels"}
    tiny.task.write_text(json.dumps(task))
    tiny.space.write_text(tiny.space.read_text() + _SPACE)
    with Source(channels) as source:
        env = {"BOSSDB_HOST": source.host, "BOSSDB_PROTOCOL": "http", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        settings = BossSettings(host=source.host, protocol="http")
        identities = [BossSource(f"bossdb://{name}", settings).identity for name in channels]
        bench = Bench(tiny.space, source, env, identities, folder, workers, Fleet(folder, env, workers))
        try:
            yield bench
        finally:
            left = bench.fleet.stop()
        assert not left, f"left running: {', '.join(left)}"
