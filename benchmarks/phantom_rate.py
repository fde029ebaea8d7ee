"""How fast the phantom is computed: `python benchmarks/phantom_rate.py`.

One process, one thread; each channel reads the same 64 x 256 x 256 box of each region. The yardstick is a copy of
as many bytes in memory.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.source import VolumeSource, open_volume

CORNERS = {"CTX": (900, 4600), "STR": (500, 3700), "VP": (850, 3063), "ZI": (650, 1543)}
DEPTH, SIDE = 64, 256


def best_of(action: Callable[[], object], repeats: int) -> float:
    """Processor seconds of the fastest of several calls: other work on the machine counts less."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        action()
        times.append(time.process_time() - start)
    return min(times)


def copy_rate(source: VolumeSource, repeats: int) -> float:
    """Megavoxels per second of copying one box of the source's type in memory."""
    voxels = np.ones((DEPTH, SIDE, SIDE), source.dtype)
    return voxels.size / best_of(voxels.copy, repeats) / 1e6


def main() -> None:
    """Print one line per channel and region, and one for a thin cutout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="take the fastest of so many (default: %(default)s)")
    repeats = parser.parse_args().repeats
    print(f"{'channel':>13} {'box':>22} {'MV/s':>8} {'of a copy':>10}")
    for channel in ("image", "pixel_labels", "roi_labels"):
        source = open_volume(f"phantom://thalamocortical/{channel}")
        ceiling = copy_rate(source, repeats)
        boxes = {name: Roi.at((200, *corner), (DEPTH, SIDE, SIDE)) for name, corner in CORNERS.items()}
        boxes["VP plane"] = Roi.at((200, *CORNERS["VP"]), (1, SIDE, SIDE))
        boxes["VP tile"] = Roi.at((200, *CORNERS["VP"]), (1, 128, 128))
        for name, roi in boxes.items():
            rate = roi.num_voxels / best_of(partial(source.read, roi), repeats) / 1e6
            size = f"{name} " + "x".join(map(str, roi.shape))
            print(f"{channel:>13} {size:>22} {rate:8.1f} {rate / ceiling:10.2%}")


if __name__ == "__main__":
    main()
