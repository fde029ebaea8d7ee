"""What sparse annotation costs: `python -m benchmarks.sparse_labels [--seeds N] [--slices N] [--steps N]`.

A U-Net learns the microstructure of the phantom (Task 2, three classes, 128 x 128 voxels of each region) from every
slice, and from one slice in ten (`annotated`), in the same number of steps. Prints the mean IoU over the classes of the
same densely labelled test slices, for each seed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from mtneuro_ray.config.pairs import Pair, load_pair
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data.ingest import identities_of, ingest
from mtneuro_ray.data.samples import load_splits
from mtneuro_ray.data.sampling import count_samples
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.engine.execute import train_here
from mtneuro_ray.storage.folder import Folder

SIDE = 128
BATCH = 8
EVERY = 10
FIRST = {"train": 110, "val": 380, "test": 420}


def pair_of(slices: int, steps: int, seed: int, *, sparse: bool) -> Pair:
    """The task with all slices of the training split annotated, or one in EVERY, and a network for so many steps."""
    settings = {"n_blocks": 3, "start_filters": 8, "batch_size": BATCH, "augmentations": True, "seed": seed}
    overrides = [f"{key}={str(value).lower()}" for key, value in {**settings, "learning_rate": 0.002}.items()]
    pair = load_pair("task2_2D_3class", "UNet_2D_3class", volume="phantom", overrides=overrides)
    depths = {"train": slices, "val": 8, "test": 24}
    cubes: dict[tuple[str, str], dict[str, Any]] = {}
    for cube in pair.task.cubes:
        z, y, x = FIRST[cube.split], cube.y[0] + SIDE // 2, cube.x[0] + SIDE // 2
        box = {"z": [z, z + depths[cube.split]], "y": [y, y + SIDE], "x": [x, x + SIDE]}
        cubes[cube.region, cube.split] = {**cube.model_dump(mode="json"), **box}
    changes: dict[str, Any] = {"tile_size": [SIDE, SIDE], "cubes": list(cubes.values())}
    if sparse:
        first = FIRST["train"]
        planes = [{"z": z} for z in range(first + EVERY // 2, first + slices, EVERY)]
        changes["annotated"] = [*planes, {"z": [FIRST["val"], FIRST["test"] + depths["test"]]}]
    task = pair.task.replace("sparse_labels", **changes)
    steps_per_epoch = -(-count_samples(task, "train") // BATCH)
    network = pair.network.replace("sparse_labels", epochs=max(1, round(steps / steps_per_epoch)))
    return Pair(task, network, pair.task_file, pair.network_file)


def main() -> None:
    """Train on dense and sparse labels in turn, seed by seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--slices", type=int, default=100)
    parser.add_argument("--steps", type=int, default=200)
    asked = parser.parse_args()
    scores: dict[bool, list[float]] = {False: [], True: []}
    print("| labels | images | epochs | seed | mean IoU | IoU of the classes |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        store = CutoutStore(Folder(Path(folder) / "store"))
        for seed in range(1, asked.seeds + 1):
            for sparse in (False, True):
                pair = pair_of(asked.slices, asked.steps, seed, sparse=sparse)
                volumes = ingest(store, pair.task, pair.task_file)
                data = load_splits(store, volumes.identities, pair.task)
                run = RunSettings.of(pair.task, pair.network, "final", identities_of(pair))
                test = train_here(run, data, Folder(Path(folder) / "out")).metrics["test"]
                scores[sparse].append(test["dataset/iou_mean"])
                classes = ", ".join(f"{value:.3f}" for value in test["dataset/iou"])
                name, epochs = "1 slice in 10" if sparse else "all slices", pair.network.training.epochs
                print(
                    f"| {name} | {len(data['train'])} | {epochs} | {seed} | {scores[sparse][-1]:.4f} | {classes} |",
                    flush=True,
                )
    dense, few = (statistics.fmean(scores[sparse]) for sparse in (False, True))
    print(f"mean over seeds: {dense:.4f} with all slices, {few:.4f} with one in {EVERY}; difference {dense - few:+.4f}")


if __name__ == "__main__":
    main()
