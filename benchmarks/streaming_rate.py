"""Training from splits that stream against the same splits in memory: steps per second, and peak memory.

Volumes are noise, which no codec makes small. Rates are those of U-Net 2D (128 x 128, batch 8) and 3D U-Net
(8 x 64 x 64, batch 8) in the first steps of an epoch, in which both contenders take turns; the split is ten times the
budget. Memory is the peak of a process without Ray that trains an epoch of a small U-Net on a split of some times the
budget, and evaluates it.

    python -m benchmarks.streaming_rate [--steps N] [--rounds R] [--budget-mb M] [--threads T] [--ray] [--skip-memory]

With --ray the batches of the rates come from Ray Data on a cluster of this machine, else from a thread of the process.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import take_turns
from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.identities import Identities
from mtneuro_ray.data.samples import SplitData, load_splits
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.data.stored import StoredSplit, splits_of
from mtneuro_ray.engine.fit import global_batches
from mtneuro_ray.engine.loop import method_of, set_up, train
from mtneuro_ray.methods.training.base import SteppedMethod
from mtneuro_ray.rng import epoch_order
from mtneuro_ray.roi import Roi
from mtneuro_ray.storage.folder import Folder

_IDENTITIES = Identities(("image",), "labels")
_SHARD = (32, 256, 256)
_TIMES = (2, 5, 10)
# Voxels of image and mask that one shard stands for.
_SHARD_BYTES = 2 * math.prod(_SHARD)


def _fill(folder: Path, shards: int) -> CutoutStore:
    """Noise, brighter where labels are higher; shards lie along z, and two more are for validation and test."""
    store, random = CutoutStore(Folder(folder)), np.random.default_rng(0)
    for number in range(shards + 2):
        roi = Roi.at((_SHARD[0] * number, 0, 0), _SHARD)
        labels = random.integers(0, 4, [side // 8 for side in _SHARD], np.uint8).repeat(8, 0).repeat(8, 1).repeat(8, 2)
        image = np.clip(40 * labels + random.normal(60, 15, _SHARD), 0, 255).astype(np.uint8)
        store.write("image", roi, image)
        store.write("labels", roi, labels)
    return store


def _run(tile: int, depth: int, shards: int, **network: Any) -> RunSettings:
    ends = {"train": (0, shards), "val": (shards, shards + 1), "test": (shards + 1, shards + 2)}
    task = {
        "name": "noise",
        "task": "segmentation",
        "image_chan": "file:image.npy",
        "annotation_chan": "file:labels.npy",
        "classes": ["0", "1", "2", "3"],
        "tile_size": [tile, tile],
        "volume_z": depth,
        "cubes": [
            {"region": "A", "split": split, "z": [32 * first, 32 * last], "y": [0, 256], "x": [0, 256]}
            for split, (first, last) in ends.items()
        ],
    }
    model = {"model": "UNet", "dim": 2 if depth == 1 else 3, "n_blocks": 4, "start_filters": 32}
    settings = {"name": "net", **model, "classes": 4, "learning_rate": 1e-3, "epochs": 1, "batch_size": 8, **network}
    return RunSettings(
        task=TaskSettings.load(task, "task"),
        network=NetworkSettings.load(settings, "network"),
        role="final",
        data=("image", "labels"),
    )


def _streamed(store: CutoutStore, run: RunSettings, budget: int, *, on_ray: bool = False) -> dict[Any, SplitData]:
    found = dict(splits_of(store, _IDENTITIES, run.task, budget))
    if on_ray:
        from mtneuro_ray.cluster.streaming import streaming

        return {split: streaming(data) for split, data in found.items()}
    return found


def _steps(method: SteppedMethod, count: int) -> None:
    batches = global_batches(epoch_order(method.count, 0, 0), method.batch_size)[:count]
    with method.announced(batches, 0):
        for number, indices in enumerate(batches):
            method.step(indices, 0, number, len(batches))


def _rates(name: str, run: RunSettings, store: CutoutStore, options: argparse.Namespace) -> None:
    context = WorkerContext(threads=options.threads)
    budget = run.task.count_images(run.task.cubes[0]) * run.task.volume_z * math.prod(run.task.tile_size) * 2 // 10
    contenders: dict[str, Callable[[], object]] = {}
    for kind, data in (
        ("resident", load_splits(store, _IDENTITIES, run.task)),
        ("streamed", _streamed(store, run, budget, on_ray=options.ray)),
    ):
        assert isinstance(data["train"], StoredSplit) == (kind == "streamed")
        method = method_of(set_up(run, data, context))
        assert isinstance(method, SteppedMethod)
        method.module.train()
        contenders[kind] = partial(_steps, method, options.steps)
    seconds = take_turns(contenders, options.rounds)
    images = options.steps * run.network.data.batch_size
    print(f"\n{name}, {options.threads} thread(s), budget {budget / 2**20:.1f} MiB of {10 * budget / 2**20:.0f} MiB")
    for kind, value in seconds.items():
        print(f"  {kind:9} {images / value:8.2f} images/s   {seconds['resident'] / value:6.3f} of the resident rate")


def _peak(folder: str, shards: int, budget: int | None) -> int:
    """Peak memory in bytes of a process that trains one epoch; without a budget the split is in memory."""
    asked = json.dumps([folder, shards, budget])
    command = [sys.executable, "-m", "benchmarks.streaming_rate", "--measure", asked]
    return int(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()[-1])


def _measure(folder: str, shards: int, budget: int | None) -> None:
    run, store = _run(128, 1, shards, start_filters=4, n_blocks=2), CutoutStore(Folder(folder))
    train(
        run,
        load_splits(store, _IDENTITIES, run.task) if budget is None else _streamed(store, run, budget),
        WorkerContext(),
    )
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    print(1024 * int(found[1]))


def _memory(folder: str, options: argparse.Namespace) -> None:
    shards = options.budget_mb * 10**6 // _SHARD_BYTES
    budget = shards * _SHARD_BYTES
    peaks = {times: _peak(folder, times * shards, budget - 1) for times in _TIMES}
    resident = _peak(folder, _TIMES[-1] * shards, None)
    print(f"\npeak memory of a process, budget {budget / 2**20:.0f} MiB")
    for times, peak in peaks.items():
        change = peak / peaks[_TIMES[0]] - 1
        print(f"  split of {times:3} x the budget, streamed {peak / 2**20:8.0f} MiB   {change:+7.1%}")
    print(f"  split of {_TIMES[-1]:3} x the budget, resident {resident / 2**20:8.0f} MiB")


def main() -> None:
    """Print rates, then peaks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--budget-mb", type=int, default=17)
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--skip-memory", action="store_true")
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ray:
        from mtneuro_ray.cluster.connect import connected

        with connected("local", 2):
            _all(options)
    elif options.measure:
        _measure(*options.measure)
    else:
        _all(options)


def _all(options: argparse.Namespace) -> None:
    shards = max(10, _TIMES[-1] * (options.budget_mb * 10**6 // _SHARD_BYTES))
    with tempfile.TemporaryDirectory() as folder:
        store = _fill(Path(folder), shards)
        _rates("U-Net 2D, 128 x 128, batch 8", _run(128, 1, shards), store, options)
        _rates("3D U-Net, 8 x 64 x 64, batch 8", _run(64, 8, shards), store, options)
        if not options.skip_memory:
            _memory(folder, options)


if __name__ == "__main__":
    main()
