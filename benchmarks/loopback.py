"""A BossDB on this machine in a process of its own, which answers late, for benchmarks of ingest."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np

from tests.bossdb_server import BossServer

SIDE = 256
URI = "bossdb://lab/brain/image"


@dataclass(frozen=True, slots=True)
class Loopback:
    """A server that runs.

    Attributes:
        host: For `BossSettings`; the protocol is http.
        pid: Of its process.
    """

    host: str
    pid: int
    _pipe: Connection

    def asked(self) -> int:
        """Voxels that were asked for since this was last called."""
        self._pipe.send("count")
        asked: int = self._pipe.recv()
        return asked


@contextmanager
def loopback_boss(depth: int, latency_s: float) -> Iterator[Loopback]:
    """Serve a volume of `depth` planes of 256 x 256 bytes; every answer is held back for `latency_s`."""
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    server = context.Process(target=_serve, args=(depth, latency_s, theirs), daemon=True)
    server.start()
    assert server.pid is not None
    try:
        yield Loopback(pipe.recv(), server.pid, pipe)
    finally:
        pipe.send("stop")
        server.join()


def _serve(depth: int, latency_s: float, pipe: Connection) -> None:
    # Smooth, so that blosc has about the work of real images and not that of pure noise.
    plane = np.linspace(0, 255, SIDE * SIDE, dtype=np.uint8).reshape(SIDE, SIDE)
    volume = np.stack([np.roll(plane, z, axis=0) for z in range(depth)])
    with BossServer({"lab/brain/image": volume}, latency_s=latency_s) as server:
        pipe.send(server.host)
        while pipe.recv() == "count":
            pipe.send(sum(roi.num_voxels for _, roi in server.boxes))
            server.boxes.clear()
