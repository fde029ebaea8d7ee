"""What the sweep itself costs: seconds it adds to a trial, memory of its driver, and how busy it keeps the CPUs.

    python -m benchmarks.sweep_engine [--trials 25 250 2500]
    python -m benchmarks.sweep_engine --space smoke
    python -m benchmarks.sweep_engine --space task2/all --preset smoke

The first form sweeps over near-empty trials: one epoch of a tiny U-Net on a few images, two at a time, in a process of
its own for each number of trials. The second runs `mtneuro-ray sweep` on a space in an empty folder, and reads from the
run files which share of the CPUs' time a trial trained in, from the start of the first to the end of the last.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from mtneuro_ray.cluster.driver import Where, sweep
from mtneuro_ray.config.sweeps import load_sweep
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord
from tests.tiny import write_tiny

_CPUS = 2


def busy_share(records: Sequence[RunRecord], cpus: int) -> float:
    """Share of the CPUs' time in which a trial of one CPU ran, from the first trial's start to the last one's end."""
    trained = sum(record.timings["ended_at"] - record.timings["began_at"] for record in records)
    return trained / (cpus * _span_s(records))


def overhead_s(records: Sequence[RunRecord], cpus: int) -> float:
    """Seconds of a CPU that the sweep adds to each trial."""
    return (1 - busy_share(records, cpus)) * cpus * _span_s(records) / len(records)


def _span_s(records: Sequence[RunRecord]) -> float:
    began = min(record.timings["began_at"] for record in records)
    return max(record.timings["ended_at"] for record in records) - began


def _near_empty(trials: int) -> None:
    """Sweep over near-empty trials in this process, and print what it took as JSON."""
    rates = ", ".join(f"{1e-3 + 1e-5 * number:.5f}" for number in range(trials))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tiny = write_tiny(folder / "tiny", axes=f"axes.learning_rate = [{rates}]", epochs=1)
        task = json.loads(tiny.task.read_text())
        tiny.task.write_text(json.dumps({**task, "max_slices": 2}))
        space, entries = load_sweep(str(tiny.space))
        out = Folder(folder / "out")
        before = psutil.Process().cpu_times()
        problems = sweep(entries, space.run, Where(CutoutStore(out / "store"), out, num_cpus=_CPUS))
        assert not problems, problems
        after = psutil.Process().cpu_times()
        driver_mb = psutil.Process().memory_info().rss / 1e6  # before the run files are read here
        records = RunFolder(out).all()
    found = {
        "runs": len(records),
        "overhead_s": overhead_s(records, _CPUS),
        "own_s": sum(record.timings["total_s"] for record in records) / len(records),
        "driver_cpu_s": (after.user + after.system - before.user - before.system) / len(records),
        "driver_mb": driver_mb,
    }
    print(json.dumps(found))


def _space(space: str, preset: str | None) -> None:
    """Run a space with the command, in an empty folder, and print how busy the CPUs were."""
    with tempfile.TemporaryDirectory() as temporary:
        command = [sys.executable, "-m", "mtneuro_ray", "sweep", "--space", space, "--out", temporary]
        command += ["--num-cpus", str(_CPUS), *(["--preset", preset] if preset else [])]
        began = time.time()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        wall = time.time() - began
        records = RunFolder(Folder(temporary)).all()
    first = min(record.timings["began_at"] for record in records) - began
    print(f"{space}: {len(records)} runs in {wall:.0f} s; the first trial begins {first:.1f} s after the command")
    print(f"share of {_CPUS} CPUs in which a trial trains: {busy_share(records, _CPUS):.3f}")


def main() -> None:
    """Print a table over numbers of trials, or one space's figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[25, 250])
    parser.add_argument("--space")
    parser.add_argument("--preset")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        _near_empty(options.one)
    elif options.space is not None:
        _space(options.space, options.preset)
    else:
        print("| runs | overhead of a trial, CPU s | its own s | driver CPU s a trial | driver MB |")
        print("|---|---|---|---|---|")
        for trials in options.trials:
            command = [sys.executable, "-m", "benchmarks.sweep_engine", "--one", str(trials)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            row = json.loads(done.stdout.splitlines()[-1])
            print(
                f"| {row['runs']} | {row['overhead_s']:.3f} | {row['own_s']:.3f} | {row['driver_cpu_s']:.3f} "
                f"| {row['driver_mb']:.0f} |"
            )


if __name__ == "__main__":
    main()
