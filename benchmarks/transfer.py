r"""How real the phantom is, by what is learned from it and tested on real tiles.

    python -m benchmarks.transfer --task ../shared/prasad2020_sample/task1_z309.json \
        [--network SUP_ResNet-18_2D --downsample 2 4 --seeds 1 100 350 --set ... --candidate learning_rate=0.001 ...]

Without a network, logistic regression on texture features, trained on the phantom or on the real slice and tested on
both: the boxes are those of a task on the real slice, and the same boxes of the phantom's slice z 309. Also the
features in which a region of the phantom is farthest from the real one.

With a network, it is trained on the phantom alone: one tile at each of many places of every region, which are judged
at other places. Each candidate is trained with the first seed; the one with the least loss there is trained with every
seed and tested on the test boxes of the real slice. No real tile takes part in the choice.

Every image has its own brightness and contrast removed and is flipped and turned in training, unless `--set` says
otherwise: the phantom's scanner is not the real one, and its fibres run their own ways.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

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
from mtneuro_ray.roi import Roi
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord, checkpoint_folder
from mtneuro_ray.tasks.training.base import build_task
from mtneuro_ray.volumes.source import open_volume

Side = tuple[TaskSettings, tuple[str, ...], Mapping[Split, SplitArrays]]


class Trained(NamedTuple):
    """A trained network."""

    run: RunSettings
    model: torch.nn.Module
    record: RunRecord


_SIDES = ("phantom", "real")
_PLANE = 309
_LABELS = {"CTX": 1, "STR": 2, "VP": 4, "ZI": 5}  # in the phantom's region labels
_TISSUE = ((0, 720), (0, 1420), (0, 5805))  # z, y, x where places are looked for
_SETTINGS = ("data.normalization=image", "augmentations=true")
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


def _places(label: int, count: int, side: int, rng: np.random.Generator) -> list[tuple[int, int, int]]:
    """Lowest corners z, y, x of squares apart, in one region of the phantom by its value in the region labels."""
    labels = open_volume("phantom://thalamocortical/roi_labels?seed=0")
    found: list[tuple[int, int, int]] = []
    while len(found) < count:
        z, y, x = (int(rng.integers(low, high - side)) for low, high in _TISSUE)
        beside = any(abs(z - oz) < 8 and max(abs(y - oy), abs(x - ox)) < side for oz, oy, ox in found)
        if not beside and np.all(labels.read(Roi.at((z, y, x), (1, side, side))) == label):
            found.append((z, y, x))
    return found


def phantom_task(task: TaskSettings, places: Mapping[Split, int]) -> TaskSettings:
    """Tiles of the task's size from the phantom: one at each of a number of places of every region and split."""
    side, rng = task.tile_size[0], np.random.default_rng(0)
    cubes: list[dict[str, object]] = []
    for label, region in enumerate(task.classes):
        corners = iter(_places(_LABELS[region], sum(places.values()), side, rng))
        for split, count in places.items():
            for z, y, x in itertools.islice(corners, count):
                box = {"z": [z, z + 1], "y": [y, y + side], "x": [x, x + side]}
                cubes.append({"region": region, "label": label, "split": split, **box})
    changes = {"image_chan": "phantom://thalamocortical/image?seed=0", "annotation_chan": None, "tile_stride": None}
    return task.replace("phantom", cubes=cubes, **changes)


def trained(options: argparse.Namespace, side: Side, candidate: str, seed: int, out: Folder) -> Trained:
    """A network that a candidate's settings and a seed make of the phantom."""
    task, identities, splits = side
    overrides = [*_SETTINGS, *options.overrides, *candidate.split(), f"seed={seed}"]
    network = load_pair(options.task, options.network, overrides=overrides).network
    run = RunSettings.of(task, network, "final", identities)
    record = train_here(run, splits, out, threads=options.threads)
    if record.status != "done":
        raise SystemExit(f"error: {record.error}")
    return Trained(run, load_model(run, checkpoint_folder(out, run), torch.device("cpu")), record)


def score(found: Trained, arrays: SplitArrays, metric: str) -> float:
    """One metric of a trained network on a split."""
    split = ResidentSplit(arrays, torch.device("cpu"))
    value = evaluate(build_task(found.run), found.model, split, WorkerContext())[metric]
    assert isinstance(value, float)
    return value


def transfer_networks(task: TaskSettings, task_file: Path, options: argparse.Namespace, out: Folder) -> None:
    """Print the balanced accuracy on real tiles of a network that has only seen the phantom, at each downsampling."""
    store = CutoutStore(Folder(f"{out}/store"))
    places: dict[Split, int] = {"train": options.places, "val": options.val_places, "test": 1}
    for downsample in options.downsample:
        scaled = task.replace("scaled", downsample=downsample)
        real = side_of(scaled, task_file, store)[2]["test"]
        side = side_of(phantom_task(scaled, places), task_file, store)
        val = side[2]["val"]
        first = {text: trained(options, side, text, options.seeds[0], out) for text in options.candidate}
        losses = {text: score(found, val, "loss") for text, found in first.items()}
        chosen = min(losses, key=losses.__getitem__)
        for text, loss in losses.items():
            print(f"downsampling {downsample}: {text or 'as given'}: loss {loss:.4f} on the phantom's val", flush=True)
        networks = [first[chosen], *(trained(options, side, chosen, seed, out) for seed in options.seeds[1:])]
        for found in networks:
            RunFolder(out).write(found.record)
        for name, arrays in (("phantom, val", val), ("real, test", real)):
            values = [score(found, arrays, "balanced_accuracy") for found in networks]
            spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
            each = ", ".join(f"{v:.3f}" for v in values)
            print(
                f"| {downsample} | {name} ({len(arrays)}) | {statistics.fmean(values):.3f}{spread} ({each}) |",
                flush=True,
            )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True, help="classification task on a real slice")
    parser.add_argument("--network", help="without it only the features are compared")
    parser.add_argument("--downsample", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--places", type=int, default=150, help="of each region for training (default: %(default)s)")
    parser.add_argument("--val-places", type=int, default=50, help="of each region (default: %(default)s)")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--candidate", action="append", metavar="'KEY=VALUE ...'", help="settings to choose from")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 100, 350])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", help="folder of weights, with run files of what was chosen; temporary by default")
    options = parser.parse_args()
    options.candidate = options.candidate or [""]
    pair = load_pair(options.task, options.network or "SUP_ResNet-18_2D")
    with tempfile.TemporaryDirectory() as scratch:
        out = Folder(options.out or scratch)
        if options.network:
            print("| downsampling | tiles | balanced accuracy |\n|---|---|---|")
            transfer_networks(pair.task, pair.task_file, options, out)
            return
        store = CutoutStore(Folder(f"{out}/store"))
        sides = {
            "phantom": side_of(phantom_twin(pair.task), pair.task_file, store),
            "real": side_of(pair.task, pair.task_file, store),
        }
        print("| learned by | trained on | tested on | balanced accuracy |\n|---|---|---|---|")
        compare_features(sides)


if __name__ == "__main__":
    main()
