"""Ingest from a BossDB 20 ms away, against one plain `intern` client that reads the same boxes one by one.

The loopback server runs in a process of its own and delays every answer. Ray is started before the clock is.

    python -m benchmarks.ingest_rate [--depth Z] [--latency S] [--rounds R]
"""

from __future__ import annotations

import argparse
import tempfile
import time

from intern.remote.boss import BossRemote

from benchmarks.loopback import SIDE, URI, loopback_boss
from mtneuro_ray.cluster.connect import connected
from mtneuro_ray.cluster.ray_data import fetch_all
from mtneuro_ray.data.ingest import Cutout
from mtneuro_ray.data.sampling import missing
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.roi import Roi
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.volumes.bossdb import BossSettings, BossSource


def _by_one_client(host: str, boxes: list[Roi]) -> float:
    remote = BossRemote({"protocol": "http", "host": host, "token": "public"})
    channel = remote.get_channel("image", "lab", "brain")
    started = time.perf_counter()
    for roi in boxes:
        remote.get_cutout(channel, 0, list(roi.x), list(roi.y), list(roi.z), parallel=False)
    return time.perf_counter() - started


def _by_ingest(host: str, boxes: list[Roi]) -> float:
    source = BossSource(URI, BossSettings(host, "http"))
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
    whole = Roi((0, options.depth), (0, SIDE), (0, SIDE))
    boxes = list(whole.split((options.plane_boxes, SIDE, SIDE)))
    assert sum(roi.num_voxels for roi in missing([whole], [])) == whole.num_voxels
    print(f"{len(boxes)} boxes of {boxes[0].shape}, {options.latency * 1000:.0f} ms latency")
    with loopback_boss(options.depth, options.latency) as boss, connected("local"):
        _by_ingest(boss.host, boxes[:16])
        for _ in range(options.rounds):
            seconds = {}
            for name, read in (("one intern client", _by_one_client), ("ingest", _by_ingest)):
                boss.asked()
                seconds[name] = read(boss.host, boxes)
                asked = boss.asked() / whole.num_voxels
                print(f"  {name:18} {seconds[name]:7.2f} s, each voxel asked {asked:.2f} times")
            print(f"  ingest is {seconds['one intern client'] / seconds['ingest']:.2f} x the single client")


if __name__ == "__main__":
    main()
