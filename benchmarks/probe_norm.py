"""What standardised features do to the linear layer: `python -m benchmarks.probe_norm [--slices N] [--epochs N]`.

Each encoder of Task 1 is made once on the phantom at downsampling 4 (ROI-C1, the first seeds of the paper), and two
linear layers are trained on it, with `probe_norm` "standard" and "none". Prints the accuracy on test slices of the
same cubes (ROI-C1) and on other cubes (ROI-C2), mean and sample standard deviation over the seeds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from mtneuro_ray.config.pairs import Pair, load_pair
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.ingest import identities_of, ingest
from mtneuro_ray.data.samples import SplitArrays, load_splits
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.data.streamed import on_device
from mtneuro_ray.engine.fit import Fit
from mtneuro_ray.engine.linear_probe import train_probe
from mtneuro_ray.engine.loop import method_of, set_up
from mtneuro_ray.methods.training.base import SteppedMethod
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.tasks.training.base import build_task, features_of

NETWORKS = ("PCA", "NMF", "Random_ResNet-18_2D", "SSL_BYOL_ResNet-18_2D")
NORMS = ("standard", "none")
TESTS = {"task1": "ROI-C1", "task1_c2": "ROI-C2"}


def pair_of(task: str, network: str, seed: int, slices: int, epochs: int) -> Pair:
    """A pair at downsampling 4; `epochs` are those of the self-supervised training, in batches of 32."""
    changes = {"seed": seed}
    if network.startswith("SSL"):
        changes |= {"method.epochs": epochs, "method.batch_size": 32}
    pair = load_pair(task, network, volume="phantom", overrides=[f"{key}={value}" for key, value in changes.items()])
    return replace(pair, task=pair.task.replace(task, downsample=4, max_slices=slices))


def scores_of(pair: Pair, data: Mapping[str, Mapping[Split, SplitArrays]]) -> dict[tuple[str, str], float]:
    """Accuracy for each norm and test, of one encoder."""
    run = RunSettings.of(pair.task, pair.network, "final", identities_of(pair))
    setup = set_up(run, data["task1"], WorkerContext())
    method = method_of(setup)
    if isinstance(method, SteppedMethod):
        Fit(method).run()
    else:
        method.fit()
    others = on_device(data["task1_c2"]["test"], setup.context.device)
    crops = {
        name: features_of(setup.task, setup.classifier, split, setup.context, setup.task.crops)
        for name, split in (("task1", setup.splits["test"]), ("task1_c2", others))
    }
    found = {}
    for norm in NORMS:
        network = pair.network.replace("probe_norm", probe_norm=norm)
        task = build_task(run.model_copy(update={"network": network}), scaling=setup.task.scaling)
        train_probe(replace(setup, task=task))
        for name, features in crops.items():
            labels = torch.from_numpy(data[name]["test"].labels).unsqueeze(1)
            with torch.no_grad():
                found[norm, name] = float((setup.classifier.head(features).argmax(2) == labels).double().mean())
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--slices", type=int, default=64, help="slices of each cube and split")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 100, 350])
    asked = parser.parse_args()
    print(f"| encoder | probe_norm | {' | '.join(TESTS.values())} | seconds a seed |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        store, data = CutoutStore(Folder(Path(folder) / "store")), {}
        for name in TESTS:
            pair = pair_of(name, "PCA", 1, asked.slices, asked.epochs)
            data[name] = load_splits(store, ingest(store, pair.task, pair.task_file).identities, pair.task)
        for network in asked.networks:
            began = time.monotonic()
            seeds = [
                scores_of(pair_of("task1", network, seed, asked.slices, asked.epochs), data) for seed in asked.seeds
            ]
            seconds = (time.monotonic() - began) / len(seeds)
            for norm in NORMS:
                values = [[found[norm, name] for found in seeds] for name in TESTS]
                cells = [f"{statistics.fmean(own):.3f} +- {statistics.stdev(own):.3f}" for own in values]
                print(f"| {network} | {norm} | {' | '.join(cells)} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
