"""Seconds that Ray Tune, Optuna and the run files add to a trial, in a sweep of 25 near-empty candidates.

A trial trains one epoch of a tiny U-Net on a few images. What is left after its own seconds is overhead.

    python -m benchmarks.trial_overhead
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from mtneuro_ray.cluster.connect import connected
from mtneuro_ray.cluster.ray_metrics import TrainingMetrics
from mtneuro_ray.cluster.sweep import Where, sweep
from mtneuro_ray.config.loading import load_sweep
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.results import Results
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunRecord
from tests.tiny import write_tiny

_AXES = "axes.learning_rate = [0.1, 0.05, 0.01, 0.005, 0.001]\naxes.batch_size = [2, 4, 6, 8, 10]"
_TELLINGS = 1000


def _sweep(folder: Path) -> tuple[list[float], list[RunRecord]]:
    """When each candidate was finished, and its record; one trial at a time."""
    tiny = write_tiny(folder / "tiny", axes=_AXES, epochs=1)
    task = json.loads(tiny.task.read_text())
    tiny.task.write_text(json.dumps({**task, "max_slices": 2}))
    tiny.space.write_text(tiny.space.read_text() + "\n[run]\nmax_concurrent = 1\n")
    space, entries = load_sweep(str(tiny.space))
    out = Folder(folder / "out")
    problems = sweep(entries, space.run, Where(CutoutStore(out / "store"), out))
    assert not problems, problems
    candidates = [record for record in Results(out).records if record.summary["role"] == "candidate"]
    ends = sorted((folder / "out" / "runs" / f"{record.run_id}.json").stat().st_mtime for record in candidates)
    return ends, candidates


def _metrics_s(record: RunRecord) -> float:
    """Seconds to tell Ray's metrics of an epoch, in a process that is on a cluster."""
    metrics = TrainingMetrics(RunSettings.load(record.settings, "run file"), images=8)
    began = time.perf_counter()
    for _ in range(_TELLINGS):
        metrics.tell(record.history[0])
    return (time.perf_counter() - began) / _TELLINGS


def main() -> None:
    """Print the overhead of each trial after the first."""
    with tempfile.TemporaryDirectory() as temporary, connected("local"):
        ends, candidates = _sweep(Path(temporary))
        telling = _metrics_s(candidates[0])
    own = [record.timings["total_s"] for record in candidates]
    between = [later - earlier for earlier, later in pairwise(ends)]
    overhead = statistics.fmean(between) - statistics.fmean(own)
    print(
        f"{len(ends)} candidates, one at a time: {ends[-1] - ends[0]:.1f} s from the end of the first to that of the "
        f"last"
    )
    print(f"a trial's own training: {statistics.fmean(own):.3f} s")
    print(
        f"overhead of a trial after the first: {overhead:.3f} s, {overhead / statistics.fmean(own):.1f} x its own time"
    )
    share = telling / statistics.fmean(own)
    print(f"telling Ray's metrics of an epoch: {1e6 * telling:.0f} us, {share:.3%} of a trial's own time")
    print(f"longest gap between two trials: {max(between):.2f} s")


if __name__ == "__main__":
    main()
