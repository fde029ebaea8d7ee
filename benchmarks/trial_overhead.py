"""Seconds that Ray Tune, Optuna and the run files add to a trial, in a sweep of 25 near-empty cells.

A trial trains one epoch of a tiny U-Net on a few images. What is left after its own seconds is overhead.

    python -m benchmarks.trial_overhead
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

from mtneuro_ray.config.loading import load_sweep
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.results import load
from mtneuro_ray.runtime.cluster import connected
from mtneuro_ray.runtime.sweep import Where, sweep
from mtneuro_ray.storage import Folder
from tests.tiny import write_tiny

_AXES = "axes.learning_rate = [0.1, 0.05, 0.01, 0.005, 0.001]\naxes.batch_size = [2, 4, 6, 8, 10]"


def _sweep(folder: Path, name: str, axes: str) -> tuple[float, list[float]]:
    """Wall seconds of a sweep with one trial at a time, and the seconds of its trials themselves."""
    tiny = write_tiny(folder / name, axes=axes, epochs=1)
    task = json.loads(tiny.task.read_text())
    tiny.task.write_text(json.dumps({**task, "max_slices": 2}))
    tiny.space.write_text(tiny.space.read_text() + "\n[run]\nmax_concurrent = 1\n")
    space, entries = load_sweep(str(tiny.space))
    out = Folder(folder / f"{name}-out")
    started = time.perf_counter()
    problems = sweep(entries, space.run, Where(CutoutStore(out / "store"), out))
    assert not problems, problems
    wall = time.perf_counter() - started
    return wall, [record.timings["total_s"] for record in load(out).records]


def main() -> None:
    """Print the overhead of the first trial and of each further one, by two sweeps that differ in length."""
    with tempfile.TemporaryDirectory() as temporary, connected("local"):
        folder = Path(temporary)
        _sweep(folder, "warm", "axes.learning_rate = [0.01]")
        short, own_short = _sweep(folder, "short", "axes.learning_rate = [0.01]")
        long, own_long = _sweep(folder, "long", _AXES)
    trials = len(own_long) - len(own_short)
    per_trial = (long - sum(own_long) - (short - sum(own_short))) / trials
    print(f"sweep of 1 cell + 2 seeds:   {short:6.1f} s, of which training {sum(own_short):6.1f} s")
    print(f"sweep of 25 cells + 2 seeds: {long:6.1f} s, of which training {sum(own_long):6.1f} s")
    print(f"overhead of each trial after the first: {per_trial:.2f} s")
    print(f"ratio of overhead to a near-empty trial's own time: {per_trial / (sum(own_long) / len(own_long)):.1f}")


if __name__ == "__main__":
    main()
