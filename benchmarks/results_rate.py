"""Seconds of `mtneuro-ray results best | table | runs | sql | compare` on many run files, without and with the index.

    python benchmarks/results_rate.py [--runs 10000] [--out FOLDER]

Writes run files as sweeps of the benchmark's segmentation tasks leave them: candidates, and five seeds at the best one,
with metrics per class and region. Each command runs in a process of its own; cold is without OUT/index.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mtneuro_ray.config.pairs import load_pair
from mtneuro_ray.config.run import Role, RunSettings
from mtneuro_ray.storage.records import RunRecord

_TASKS = ("task2_2D_3class", "task2_2D_4class")
_NETWORKS = ("UNet_2D", "MAnet", "FPN", "UnetPlusPlus", "PAN", "PSPNet")
_DATA = ("phantom://thalamocortical/image?seed=0&version=4", "phantom://thalamocortical/pixel_labels?seed=0&version=4")
_REGIONS = ("CTX", "STR", "VP", "ZI")
_SEEDS = 5
_QUERIES = (
    "SELECT model, class, avg(value) FROM frame WHERE metric = 'dataset/iou' AND split = 'test' GROUP BY ALL",
    "SELECT model, status, count(*), avg(score) FROM runs GROUP BY ALL",
)
_COMMANDS = (("best",), ("table",), ("runs",), *(("sql", query) for query in _QUERIES), ("compare",))


def main() -> None:
    """Measure and print one line per command."""
    with folder_of_runs(str(__doc__)) as (out, number):
        for command in _COMMANDS:
            shutil.rmtree(out / "index", ignore_errors=True)
            cold, warm = seconds(command, out), min(seconds(command, out) for _ in range(3))
            print(f"results {' '.join(command)}: {number} runs, cold {told(cold)}, warm {told(warm)}")


@contextmanager
def folder_of_runs(about: str) -> Iterator[tuple[Path, int]]:
    """The folder and the number of run files that the command line asks for; `about` is the help."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--out", type=Path, help="folder of run files, made where it has none; default: temporary")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = options.out or Path(temporary)
        if not (out / "runs").is_dir():
            write_runs(out / "runs", options.runs)
        yield out, options.runs


def seconds(command: Sequence[str], out: Path) -> tuple[float, float]:
    """Wall time and processor time of one command, from its start to its end."""
    return wall_and_processor_s([sys.executable, "-m", "mtneuro_ray.cli.main", "results", *command, "--out", str(out)])


def wall_and_processor_s(line: Sequence[str]) -> tuple[float, float]:
    """Wall time and processor time of a command, from its start to its end."""
    start, before = time.perf_counter(), os.times()
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - start, used


def told(measured: tuple[float, float]) -> str:
    """A wall time and a processor time in words."""
    wall, processor = measured
    return f"{wall:.2f} s ({processor:.2f} s of processors)"


def write_runs(folder: Path, number: int) -> None:
    """Write run files of candidates and final runs."""
    folder.mkdir(parents=True)
    rng, pairs = np.random.default_rng(0), [(task, network) for task in _TASKS for network in _NETWORKS]
    bases = [load_pair(task, f"{network}_{task[-6:]}", volume="phantom", preset="smoke") for task, network in pairs]
    each = number // len(bases) + 1
    for place in range(number):
        base, nth = bases[place // each], place % each
        role: Role = "final" if nth < _SEEDS else "candidate"
        rate = 0.01 if role == "final" else float(f"{10 ** rng.uniform(-4, -1):.4g}")
        changes = {"learning_rate": rate, "seed": nth if role == "final" else 0, "weight_decay": nth * 1e-6}
        if role == "final":
            changes["weight_decay"] = 0.0
        run = RunSettings.of(base.task, base.network.replace("benchmark", **changes), role, _DATA)
        record = RunRecord(
            run.run_id,
            "done",
            run.summary(),
            run.model_dump(mode="json"),
            {split: metrics(rng, len(run.task.classes)) for split in ("val", "test")[: 1 + (role == "final")]},
            [{"epoch": epoch, "train/loss": 1.0 / epoch, "val/loss": 1.0 / epoch} for epoch in range(1, 21)],
            timings={"total_s": float(rng.uniform(10, 100))},
        )
        (folder / f"{run.run_id}.json").write_text(json.dumps(asdict(record), indent=1))


def metrics(rng: np.random.Generator, classes: int) -> dict[str, Any]:
    """Metrics of one split, with those of its regions."""

    def own() -> dict[str, Any]:
        found: dict[str, Any] = {"loss": float(rng.random())}
        for name in ("dataset/iou", "dataset/f1", "image/iou", "image/f1"):
            found[name] = rng.random(classes).tolist()
            found[f"{name}_mean"] = float(np.mean(found[name]))
        return {**found, "confusion": rng.integers(0, 10**6, (classes, classes)).tolist()}

    return {**own(), "regions": {region: {**own(), "images": 16.0} for region in _REGIONS}}


if __name__ == "__main__":
    main()
