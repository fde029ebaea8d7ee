"""What self-supervision adds to a random encoder: accuracy of a linear layer on frozen features, over the epochs.

Each network is trained on the training split of a task, without labels; after some of its epochs a linear layer is
trained on the encoder as it is, and evaluated on the test split (C1) and on that of another task (C2). PCA and an
encoder with random weights stand beside it, and `supervised`, the same network trained on the labels. Rows are added to
a file; what stands there already is not trained again.

    python -m benchmarks.ssl_learning --out curve.jsonl [--task task1_x4 --other task1_c2 --volume phantom]
        [--slices 67 30] [--networks random PCA SSL_BYOL_ResNet-18_2D ...] [--seeds 1 100 350] [--marks 1 3 9]
        [--set KEY=VALUE ...] [--ssl KEY=VALUE ...] [--plot curve.png]

`--slices` thins the cubes of both tasks; `--set` is for every network, `--ssl` for those
that learn from views, `--sup` for `supervised`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from mtneuro_ray.config.pairs import load_pair
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.ingest import ingest
from mtneuro_ray.data.resident import DeviceSplit
from mtneuro_ray.data.samples import load_splits
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.data.streamed import on_device
from mtneuro_ray.engine.evaluation import evaluate
from mtneuro_ray.engine.fit import Fit
from mtneuro_ray.engine.linear_probe import train_probe
from mtneuro_ray.engine.loop import method_of, set_up
from mtneuro_ray.methods.training.base import Setup, SteppedMethod
from mtneuro_ray.storage.folder import Folder

Row = dict[str, Any]

_LEARNING = {
    "BYOL": "SSL_BYOL_ResNet-18_2D",
    "MYOW": "SSL_MYOW_ResNet-18_2D",
    "MYOW-m": "SSL_MYOWMerged_ResNet-18_2D",
}
_BESIDE = {"random": "Random_ResNet-18_2D", "PCA": "PCA", "supervised": "SUP_ResNet-18_2D"}
_METRICS = ("accuracy", "balanced_accuracy")


class _Watched(Fit):
    """A fit that has the encoder scored after some epochs."""

    def __init__(self, method: SteppedMethod, marks: Collection[int], score: Callable[[int], None]) -> None:
        super().__init__(method)
        self._marks, self._score = {*marks, method.epochs}, score

    def end_epoch(self, entry: dict[str, Any]) -> None:
        super().end_epoch(entry)
        if entry["epoch"] in self._marks:
            self._score(entry["epoch"])


class Measurement:
    """Splits of the tasks, and the file of scores."""

    def __init__(self, options: argparse.Namespace, store: CutoutStore) -> None:
        self._options, self._out = options, Path(options.out)
        self.rows: list[Row] = []
        if self._out.exists():
            rows = [json.loads(line) for line in self._out.read_text().splitlines()]
            done = {(row["network"], row["seed"]) for row in rows if row["last"]}
            # What was stopped on the way is trained anew.
            self.rows = [row for row in rows if (row["network"], row["seed"]) in done]
            self._out.write_text("".join(json.dumps(row) + "\n" for row in self.rows))
        pair = load_pair(options.task, "PCA", volume=options.volume)
        changes = {"max_slices": options.slices[0], "downsample": options.downsample or pair.task.downsample}
        self._task = pair.task.replace("--slices", **changes)
        splits = load_splits(store, ingest(store, self._task, pair.task_file).identities, self._task)
        self._train, self._tests = splits["train"], {"C1": splits["test"]}
        if options.other:
            pair = load_pair(options.other, "PCA", volume=options.volume)
            task = pair.task.replace("--slices", **{**changes, "max_slices": options.slices[-1]})
            self._tests["C2"] = load_splits(store, ingest(store, task, pair.task_file).identities, task)["test"]

    def add(self, name: str, seed: int) -> None:
        """Train a network with a seed, unless its rows are there, and add them."""
        if any((row["network"], row["seed"], row["last"]) == (name, seed, True) for row in self.rows):
            return
        setup, options = self._set_up(name, seed), self._options
        tests = {key: on_device(split, setup.context.device, seed) for key, split in self._tests.items()}
        started, measuring = time.perf_counter(), 0.0
        method = method_of(setup)

        def score(epoch: int) -> None:
            nonlocal measuring
            began = time.perf_counter()
            row = {"network": name, "seed": seed, "epoch": epoch, "train_s": round(began - started - measuring)}
            row |= {"last": not isinstance(method, SteppedMethod) or epoch == method.epochs, **_scores(setup, tests)}
            self.rows.append(row)
            with self._out.open("a") as stream:
                stream.write(json.dumps(row) + "\n")
            print(row, flush=True)
            measuring += time.perf_counter() - began

        if isinstance(method, SteppedMethod):
            _Watched(method, options.marks, score).run()
        else:
            method.fit()
            score(0)

    def _set_up(self, name: str, seed: int) -> Setup:
        options = self._options
        own = options.ssl if name in _LEARNING else options.sup if name == "supervised" else ()
        overrides = [*options.overrides, *own, f"seed={seed}"]
        file = _LEARNING.get(name) or _BESIDE.get(name, name)
        network = load_pair(options.task, file, volume=options.volume, overrides=overrides).network
        run = RunSettings(task=self._task, network=network, role="final", data=("none",))
        return set_up(run, {"train": self._train}, WorkerContext(threads=options.threads))


def _scores(setup: Setup, tests: Mapping[str, DeviceSplit]) -> dict[str, float]:
    """Scores of a new linear layer on the encoder, or of a supervised network itself, by test split and metric."""
    if setup.run.network.is_frozen:
        train_probe(setup)
    found: dict[str, float] = {}
    for name, split in tests.items():
        metrics = evaluate(setup.task, setup.model, split, setup.context)
        found |= {f"{name} {metric}": round(float(str(metrics[metric])), 4) for metric in _METRICS}
    return found


def _means(rows: Iterable[Row]) -> dict[tuple[str, int], dict[str, tuple[float, float, int]]]:
    """(network, epoch) -> metric -> mean, sample standard deviation and number of seeds."""
    found: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        found.setdefault((row["network"], row["epoch"]), []).append(row)
    return {
        key: {
            metric: (
                statistics.fmean(values := [row[metric] for row in own]),
                statistics.stdev(values) if len(values) > 1 else 0.0,
                len(values),
            )
            for metric in own[0]
            if metric.endswith(_METRICS)
        }
        for key, own in found.items()
    }


def show(rows: Iterable[Row]) -> None:
    """Print means over seeds."""
    for (network, epoch), scores in _means(rows).items():
        cells = [f"{mean:.3f} +- {std:.3f}" for mean, std, _ in scores.values()]
        count = next(iter(scores.values()))[2]
        print(f"| {network} | {epoch or '-'} | {count} | {' | '.join(cells)} |  <- {', '.join(scores)}")


def plot(rows: Iterable[Row], path: str) -> None:
    """Draw accuracy over epochs, with what does not learn as lines across."""
    means = _means(rows)
    splits = sorted({metric.split()[0] for scores in means.values() for metric in scores})
    figure = Figure(figsize=(5 * len(splits), 3.6), layout="constrained")
    axes = figure.subplots(1, len(splits), sharey=True, squeeze=False)[0]
    for axis, split in zip(axes, splits, strict=True):
        metric = f"{split} accuracy"
        for number, network in enumerate(dict.fromkeys(name for name, _ in means)):
            points = {epoch: scores[metric] for (name, epoch), scores in means.items() if name == network}
            values, colour = [mean for mean, *_ in points.values()], f"C{number}"
            if list(points) == [0]:
                axis.axhline(values[0], color=colour, linestyle="--", label=network)
            else:
                axis.errorbar(
                    list(points), values, [std for _, std, _ in points.values()],
                    color=colour, marker="o", capsize=3, label=network,
                )  # fmt: skip
        axis.set(title=split, xlabel="epochs", ylabel="accuracy of a linear layer")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="file of scores, a JSON object a line")
    parser.add_argument("--task", default="task1_x4")
    parser.add_argument("--other", help="task of other cubes, whose test split is C2")
    parser.add_argument("--volume", help="volume in place of the task's, such as phantom")
    parser.add_argument("--slices", type=int, nargs="+", default=[None], help="of each cube: of --task, and of --other")
    parser.add_argument("--downsample", type=int, help="of both tasks, in place of that of --task")
    parser.add_argument("--networks", nargs="+", default=["random", "PCA", *_LEARNING])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 100, 350])
    parser.add_argument("--marks", type=int, nargs="+", default=[], help="epochs that are measured, beside the last")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--ssl", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--sup", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--store", help="folder of voxels, a temporary one by default")
    parser.add_argument("--plot")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        measurement = Measurement(options, CutoutStore(Folder(options.store or scratch)))
        for seed in options.seeds:
            for name in options.networks:
                measurement.add(name, seed)
    show(measurement.rows)
    if options.plot:
        plot(measurement.rows, options.plot)


if __name__ == "__main__":
    main()
