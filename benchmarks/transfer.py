"""How real the phantom is, by what is learned from it: trained on the one, tested on the other, and both ways.

The boxes are those of a task on a real slice; on the phantom the same boxes of its slice z 309 are read. Logistic
regression on texture features takes seconds; `--network` trains a network besides, once for each seed and side.

    python -m benchmarks.transfer --task ../shared/prasad2020_sample/task1_z309.json \
        [--network SUP_ResNet-18_2D --set epochs=10 --set ... --seeds 1 100 350 --out DIR]

Prints the balanced accuracy on test boxes, and the features in which a region of the phantom is farthest from the real.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.phantom_realism import texture_features
from mtneuro_ray.config.loading import moved
from mtneuro_ray.config.pairs import load_pair
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split, TaskSettings
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.ingest import ingest
from mtneuro_ray.data.resident import ResidentSplit
from mtneuro_ray.data.samples import SplitArrays, load_splits
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.engine.evaluation import evaluate
from mtneuro_ray.engine.execute import train_here
from mtneuro_ray.engine.finished import load_model
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import checkpoint_folder
from mtneuro_ray.tasks.training.base import build_task

Side = tuple[TaskSettings, tuple[str, ...], Mapping[Split, SplitArrays]]

_SIDES = ("phantom", "real")
_PLANE = 309
_FEATURES = [
    "skew",
    "kurtosis",
    *(f"percentile {p}" for p in (1, 5, 25, 75, 95, 99)),
    *(
        f"{name} at sigma {sigma}"
        for sigma in (0.7, 1.4, 2.8, 5.6)
        for name in ("variance", "curvature", "down / right", "down * right")
    ),
]


def phantom_twin(task: TaskSettings) -> TaskSettings:
    """The task on the phantom: the same boxes of its slice z 309."""
    cubes = [{**cube.model_dump(mode="json"), "z": [_PLANE + bound for bound in cube.z]} for cube in task.cubes]
    channels = {"image_chan": "bossdb://a/b/image", "annotation_chan": "bossdb://a/b/roi_labels"}
    return moved(task.replace("twin", cubes=cubes, **channels), "phantom", "twin")


def side_of(task: TaskSettings, task_file: Path, store: CutoutStore) -> Side:
    """A task with the identities of its volumes and its splits."""
    volumes = ingest(store, task, task_file)
    identities = tuple(channel.identity for channel in volumes.channels)
    return task, identities, load_splits(store, volumes.identities, task)


def features_of(arrays: SplitArrays) -> npt.NDArray[np.float64]:
    """Texture features of every image, (N, 24)."""
    return np.array([texture_features(image[0, 0].astype(np.float64)) for image in arrays.images])


def compare_features(sides: Mapping[str, Side]) -> None:
    """Print how logistic regression on texture features carries over, and what differs most in each region."""
    features = {
        name: {split: features_of(arrays) for split, arrays in splits.items()} for name, (_, _, splits) in sides.items()
    }
    for trained in _SIDES:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=3000, class_weight="balanced"))
        model.fit(features[trained]["train"], sides[trained][2]["train"].labels)
        for tested in _SIDES:
            score = balanced_accuracy_score(sides[tested][2]["test"].labels, model.predict(features[tested]["test"]))
            print(f"| texture features | {trained} | {tested} | {score:.3f} |", flush=True)
    print("\nfeatures farthest from the real ones, in standard deviations between tiles (training boxes)")
    for label, region in enumerate(sides["real"][0].classes):
        phantom, real = (features[name]["train"][sides[name][2]["train"].labels == label] for name in _SIDES)
        gaps = (phantom.mean(0) - real.mean(0)) / np.sqrt((phantom.var(0) + real.var(0)) / 2)
        worst = np.argsort(-np.abs(gaps))[:4]
        print(f"{region}: {', '.join(f'{_FEATURES[n]} {gaps[n]:+.1f}' for n in worst)}")


def compare_networks(sides: Mapping[str, Side], options: argparse.Namespace, out: Folder) -> None:
    """Print how a network that is trained on either side does on both."""
    for trained in _SIDES:
        found: dict[str, list[float]] = {name: [] for name in _SIDES}
        task, identities, splits = sides[trained]
        for seed in options.seeds:
            network = load_pair(options.task, options.network, overrides=[*options.overrides, f"seed={seed}"]).network
            run = RunSettings.of(task, network, "final", identities)
            record = train_here(run, splits, out, threads=options.threads)
            if record.status != "done":
                raise SystemExit(f"error: {record.error}")
            model = load_model(run, checkpoint_folder(out, run), torch.device("cpu"))
            for tested in _SIDES:
                test = sides[tested][2]["test"]
                split = ResidentSplit(test, torch.device("cpu"))
                scores = evaluate(build_task(run), model, split, WorkerContext())
                value = scores["balanced_accuracy"]
                assert isinstance(value, float)
                found[tested].append(value)
        for tested, values in found.items():
            spread = f" +- {statistics.stdev(values):.3f}" if len(values) > 1 else ""
            print(f"| {options.network} | {trained} | {tested} | {statistics.fmean(values):.3f}{spread} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True, help="classification task on a real slice")
    parser.add_argument("--network", help="without it only the features are compared")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", help="a temporary folder by default")
    options = parser.parse_args()
    pair = load_pair(options.task, options.network or "SUP_ResNet-18_2D")
    with tempfile.TemporaryDirectory() as scratch:
        out = Folder(options.out or scratch)
        store = CutoutStore(Folder(f"{out}/store"))
        sides = {
            "phantom": side_of(phantom_twin(pair.task), pair.task_file, store),
            "real": side_of(pair.task, pair.task_file, store),
        }
        print("| learned by | trained on | tested on | balanced accuracy |\n|---|---|---|---|")
        compare_features(sides)
        if options.network:
            print("\n| learned by | trained on | tested on | balanced accuracy |\n|---|---|---|---|")
            compare_networks(sides, options, out)


if __name__ == "__main__":
    main()
