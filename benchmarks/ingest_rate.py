"""Ingest from a BossDB 20 ms away, against one plain `intern` client that reads the same boxes one by one.

The loopback server runs in a process of its own and delays every answer. Ray is started before the clock is.

    python -m benchmarks.ingest_rate [--depth Z] [--latency S] [--rounds R]
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from multiprocessing.connection import Connection

import numpy as np
from intern.remote.boss import BossRemote

from mtneuro_ray.data.bossdb import BossSettings, BossSource
from mtneuro_ray.data.ingest import Cutout
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.plan import missing
from mtneuro_ray.roi import Roi
from mtneuro_ray.runtime.cluster import connected
from mtneuro_ray.runtime.ray_data import fetch_all
from mtneuro_ray.storage import Folder
from tests.bossdb_server import BossServer

_SIDE = 256


def _serve(depth: int, latency_s: float, pipe: Connection) -> None:
    # Smooth, so that blosc has about the work of real images and not that of pure noise.
    plane = np.linspace(0, 255, _SIDE * _SIDE, dtype=np.uint8).reshape(_SIDE, _SIDE)
    volume = np.stack([np.roll(plane, z, axis=0) for z in range(depth)])
    with BossServer({"lab/brain/image": volume}, latency_s=latency_s) as server:
        pipe.send(server.host)
        while pipe.recv() == "count":
            pipe.send(sum(roi.num_voxels for _, roi in server.boxes))
            server.boxes.clear()


def _by_one_client(host: str, boxes: list[Roi]) -> float:
    remote = BossRemote({"protocol": "http", "host": host, "token": "public"})
    channel = remote.get_channel("image", "lab", "brain")
    started = time.perf_counter()
    for roi in boxes:
        remote.get_cutout(channel, 0, list(roi.x), list(roi.y), list(roi.z), parallel=False)
    return time.perf_counter() - started


def _by_ingest(host: str, boxes: list[Roi]) -> float:
    source = BossSource("bossdb://lab/brain/image", BossSettings(host, "http"))
    with tempfile.TemporaryDirectory() as folder:
        store = CutoutStore(Folder(folder))
        started = time.perf_counter()
        fetch_all(store, [Cutout(source, roi) for roi in boxes], lambda num_bytes: None)
        return time.perf_counter() - started


def main() -> None:
    """Print seconds, voxels asked of the server and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depth", type=int, default=1024)
    parser.add_argument("--plane-boxes", type=int, default=2, help="slices of a box that is read")
    parser.add_argument("--latency", type=float, default=0.02)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    whole = Roi((0, options.depth), (0, _SIDE), (0, _SIDE))
    boxes = list(whole.split((options.plane_boxes, _SIDE, _SIDE)))
    assert sum(roi.num_voxels for roi in missing([whole], [])) == whole.num_voxels
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    server = context.Process(target=_serve, args=(options.depth, options.latency, theirs), daemon=True)
    server.start()
    host = pipe.recv()
    print(f"{len(boxes)} boxes of {boxes[0].shape}, {options.latency * 1000:.0f} ms latency")
    with connected("local"):
        _by_ingest(host, boxes[:16])
        for _ in range(options.rounds):
            seconds = {}
            for name, read in (("one intern client", _by_one_client), ("ingest", _by_ingest)):
                pipe.send("count")
                pipe.recv()
                seconds[name] = read(host, boxes)
                pipe.send("count")
                asked = pipe.recv() / whole.num_voxels
                print(f"  {name:18} {seconds[name]:7.2f} s, each voxel asked {asked:.2f} times")
            print(f"  ingest is {seconds['one intern client'] / seconds['ingest']:.2f} x the single client")
    pipe.send("stop")
    server.join()


if __name__ == "__main__":
    main()
