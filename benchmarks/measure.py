"""What `mtneuro-ray measure` finds in the phantom, against the truth; its rate; and its memory.

    python benchmarks/measure.py

Prints, for a box of 128 x 256 x 256 voxels of each region: cells that were drawn and components that were found;
length of the capillaries' middle lines and of the skeleton; the skeleton in small blocks relative to that in one piece;
seconds. Then the peak memory of boxes of growing size, each in a process of its own.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from unittest import mock

import numpy as np
import numpy.typing as npt

import mtneuro_ray
from mtneuro_ray.results.tissue import measure as module
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.phantom import cell_centres, objects

PHANTOM = "phantom://thalamocortical/pixel_labels?seed=0"
CLASSES = {"vessels": 1, "cells": 2, "axons": 3}
CORNERS = {"CTX": (900, 4600), "STR": (500, 3700), "VP": (850, 3063), "ZI": (650, 1543)}
SHAPE, SMALL = (128, 256, 256), (32, 64, 64)
DEPTHS = (64, 128, 256, 512)


def capillary_length(box: Roi) -> float:
    """Length of the middle lines of all capillaries in a box, in voxels."""
    found = []

    def follow(start: list[npt.NDArray[np.float32]], stop: object, bend: object, *_: object) -> list[object]:
        a, b, c = (np.stack(part, axis=1) for part in (start, stop, bend))  # type: ignore[call-overload]
        t = np.linspace(0, 1, 201)[:, None, None]
        path = a + (b - a) * t + c * (2 * t * (1 - t))
        middle, step = (path[1:] + path[:-1]) / 2, np.linalg.norm(np.diff(path, axis=0), axis=2)
        low, high = np.array(box.ranges).T
        found.append(step[np.all((middle >= low - 0.5) & (middle < high - 0.5), axis=2)].sum())
        return []

    with mock.patch.object(objects, "tubes", follow):
        list(objects.capillaries(0, box.ranges))
    return float(sum(found))


def main() -> None:
    """Print the tables."""
    print("region   drawn  found  at border  capillaries  skeleton  blocks/whole  seconds")
    for region, corner in CORNERS.items():
        box = Roi.at((300, *corner), SHAPE)
        started = time.perf_counter()
        [row] = mtneuro_ray.measure(PHANTOM, classes=CLASSES, boxes=[box]).boxes
        seconds = time.perf_counter() - started
        with mock.patch.object(module, "BLOCK", SHAPE):
            [whole] = mtneuro_ray.measure(PHANTOM, classes=CLASSES, boxes=[box]).boxes
        with mock.patch.object(module, "BLOCK", SMALL):
            [cut] = mtneuro_ray.measure(PHANTOM, classes=CLASSES, boxes=[box]).boxes
        cells, length = row["components"]["cells"], row["length"]["vessels"]["voxels"]
        assert whole["components"] == row["components"] == cut["components"]
        ratio = cut["length"]["vessels"]["voxels"] / whole["length"]["vessels"]["voxels"]
        print(
            f"{region:6} {len(cell_centres(0, box)):7} {cells['count']:6} {cells['at_border']:10} "
            f"{capillary_length(box):12.0f} {length:9.0f} {ratio:13.4f} {seconds:8.1f}"
        )
    for depth in DEPTHS:
        command = [sys.executable, __file__, str(depth)]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="")


def measure_depth(depth: int) -> None:
    """Print the peak memory and rate of a box of so many planes of 512 x 512 voxels."""
    box = Roi.at((100, 700, 4000), (depth, 512, 512))
    started = time.perf_counter()
    found = mtneuro_ray.measure(PHANTOM, classes=CLASSES, boxes=[box])
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    count = found.boxes[0]["components"]["cells"]["count"]
    print(f"{box.num_voxels / 1e6:.0f} megavoxels: {count} cells, {peak:.0f} MiB, {seconds:.1f} s")


if __name__ == "__main__":
    measure_depth(int(sys.argv[1])) if len(sys.argv) > 1 else main()
