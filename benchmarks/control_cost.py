"""Processor seconds that a sweep costs the parts that a cluster has only one of: the driver and the GCS.

Slopes between a small and a large number of trials, reports and actors, so that start-up is left out; processor time,
so that other work on the machine matters less. They are what `benchmarks.cluster_model` is fed with.

    python -m benchmarks.control_cost [--rounds R]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blosc
import numpy as np
import psutil
import ray

from mtneuro_ray.cluster.connect import connected
from mtneuro_ray.cluster.driver import Where, sweep
from mtneuro_ray.config.sweeps import load_sweep
from mtneuro_ray.data.sampling import CUTOUT_SHAPE
from mtneuro_ray.data.store import CutoutStore, as_stored
from mtneuro_ray.roi import Roi
from mtneuro_ray.storage.folder import Folder
from tests.tiny import write_tiny

_FEW, _MANY = 4, 24
_ACTORS = (4, 20)


@dataclass(frozen=True, slots=True)
class _Spent:
    """Processor seconds of the driver and the GCS, and seconds by the clock."""

    driver: float
    gcs: float
    wall: float

    def slope(self, other: _Spent, count: int) -> _Spent:
        """What each of `count` more things took in `other`."""
        return _Spent(
            (other.driver - self.driver) / count, (other.gcs - self.gcs) / count, (other.wall - self.wall) / count
        )


def _spent(action: Callable[[], None]) -> _Spent:
    driver = psutil.Process()
    gcs = next(child for child in driver.children(recursive=True) if child.name() == "gcs_server")

    def now() -> _Spent:
        return _Spent(_processor_s(driver), _processor_s(gcs), time.perf_counter())

    before = now()
    action()
    return before.slope(now(), 1)


def _processor_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _sweep(folder: Path, candidates: int, epochs: int = 1, *, reports: bool = False) -> None:
    """Train candidates that are nearly empty; with `reports`, each epoch but the last is told to the driver."""
    rates = ", ".join(f"{0.001 + 1e-5 * number:.5f}" for number in range(candidates))
    tiny = write_tiny(folder.parent / "tiny", axes=f"axes.learning_rate = [{rates}]", epochs=epochs)
    text = tiny.space.read_text().replace("seeds = [1, 100]", "seeds = [1]")
    if reports:
        # Nothing is stopped before its last epoch, but the scheduler is asked after each.
        text += f'\n[run]\nscheduler = "asha"\nasha.grace_epochs = {epochs}\n'
    tiny.space.write_text(text)
    space, entries = load_sweep(str(tiny.space))
    out = Folder(folder / "out")
    # One store for all of them, so that only the first ingests.
    problems = sweep(entries, space.run, Where(CutoutStore(Folder(folder.parent / "store")), out))
    assert not problems, problems


@ray.remote(num_cpus=0)
class _Nothing:
    def ready(self) -> None:
        pass


def _start_actors(count: int) -> None:
    actors: list[Any] = [_Nothing.remote() for _ in range(count)]  # type: ignore[attr-defined]
    ray.get([each.ready.remote() for each in actors])


def _store_cpu_s_per_byte(folder: Path) -> float:
    """Processor seconds to unpack, convert and store a cutout of labels of 8 bytes, by the bytes asked for."""
    labels = np.zeros(CUTOUT_SHAPE, np.uint64)
    labels[:, ::3, ::5] = np.random.default_rng(0).integers(0, 4, labels[:, ::3, ::5].shape)
    packed = blosc.compress(labels.tobytes(), typesize=8)
    store = CutoutStore(Folder(folder))
    began, rounds = time.process_time(), 5
    for number in range(rounds):
        roi = Roi.at((number * CUTOUT_SHAPE[0], 0, 0), CUTOUT_SHAPE)
        voxels = np.frombuffer(blosc.decompress(packed), np.uint64).reshape(CUTOUT_SHAPE)
        store.write("labels", roi, as_stored(voxels))
    return (time.process_time() - began) / rounds / labels.nbytes


def _measure(temporary: Path, number: int) -> dict[str, float]:
    few, many = (_spent(lambda count=count: _sweep(temporary / f"{number}-{count}", count)) for count in (_FEW, _MANY))  # type: ignore[misc]
    trial = few.slope(many, _MANY - _FEW)
    short, long = (
        _spent(lambda epochs=epochs: _sweep(temporary / f"{number}-reports-{epochs}", _FEW, epochs, reports=True))  # type: ignore[misc]
        for epochs in (_FEW, 10 * _FEW)
    )
    report = short.slope(long, _FEW * 9 * _FEW)
    one, more = (_spent(lambda count=count: _start_actors(count)) for count in _ACTORS)  # type: ignore[misc]
    actor = one.slope(more, _ACTORS[1] - _ACTORS[0])
    return {
        "driver, a trial": trial.driver,
        "GCS, a trial": trial.gcs,
        "driver, a reported epoch": report.driver,
        "GCS, an actor": actor.gcs,
        "an actor on this machine, by the clock": actor.wall,
        "to store a MB that was asked for": 1e6 * _store_cpu_s_per_byte(temporary / f"{number}-labels"),
    }


def main() -> None:
    """Print medians and extremes over the rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"load averages {', '.join(f'{value:.2f}' for value in os.getloadavg())}")
    with tempfile.TemporaryDirectory() as temporary, connected("local", num_cpus=2):
        # Uncounted: imports, and the first actors.
        _sweep(Path(temporary) / "warm", 2)
        rounds = [_measure(Path(temporary), number) for number in range(options.rounds)]
    print("\n| | median, ms | least | most |\n|---|---|---|---|")
    for name in rounds[0]:
        values = [1000 * each[name] for each in rounds]
        print(f"| {name} | {statistics.median(values):.2f} | {min(values):.2f} | {max(values):.2f} |")


if __name__ == "__main__":
    main()
