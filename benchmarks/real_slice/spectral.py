"""A learned representation of multi-scale inputs on the real slice, chosen without its test boxes.

Inputs are statistics of a tile over four scales, or with `--networks OUT` the features of networks that
`benchmarks.transfer` trained on the phantom alone. A hidden layer of 64 learns on them, or logistic regression does.
Tiles are classified by the mean log-probability of all tiles within `smoothing` voxels. Candidates are judged by the
mean of five balanced accuracies: the val boxes, learned from the train boxes, and four folds of both, in each of which
a block of every region is left out with the tiles that overlap it. A candidate within 0.005 of the best that has fewer
parts is preferred.

    python -m benchmarks.real_slice.spectral --task DIR/task1_z309.json [--networks OUT] [--test]

`--test` also evaluates the candidate that was chosen, on the test boxes (benchmarks/real_slice/LOG.md has every look).
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional as F

from benchmarks.phantom_realism import texture_features
from mtneuro_ray.config.loading import load_task
from mtneuro_ray.config.task import Split, TaskSettings
from mtneuro_ray.data.sampling import samples
from mtneuro_ray.models.nets.resnet import EncoderClassifier
from mtneuro_ray.results.query import Results

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SEEDS = (1, 100, 350)
SMOOTHINGS = (0, 48, 96)
_FOLDS, _SIDE, _HIDDEN = 4, 128, 64


def band_features(tile: Floats) -> list[float]:
    """Of four bands of a tile log energy, quantiles, coherence and patchiness; quantiles of its grey values."""
    flat = (tile - tile.mean()) / (tile.std() + 1e-6)
    row: list[float] = []
    above = flat
    for sigma in (0.7, 1.4, 2.8, 5.6):
        low = ndimage.gaussian_filter(flat, sigma)
        band, above = above - low, low
        deviation = band.std() + 1e-6
        down, right = np.gradient(low)
        energy = (right**2).mean() + (down**2).mean() + 1e-9
        coherence = np.hypot((right**2).mean() - (down**2).mean(), 2 * (right * down).mean()) / energy
        local = ndimage.uniform_filter(band**2, 9)
        quantiles = np.quantile(band / deviation, (0.02, 0.1, 0.25, 0.75, 0.9, 0.98))
        row += [float(np.log(deviation)), *quantiles, coherence, float(np.log(local.std() / local.mean() + 1e-3))]
    return [*row, *np.quantile(flat, (0.01, 0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95, 0.99))]


# Pictures (N, 64, 64) -> inputs (N, F): one array, or one for each seed of what makes them.
Inputs = Callable[[Floats], list[Floats]]


def statistics_by(features: Callable[[Floats], list[float]]) -> Inputs:
    """Inputs by a function of one picture."""
    return lambda pictures: [np.array([features(picture) for picture in pictures])]


STATISTICS: dict[str, Inputs] = {
    "texture (24)": statistics_by(texture_features),
    "bands (45)": statistics_by(band_features),
    "both (69)": statistics_by(lambda tile: [*texture_features(tile), *band_features(tile)]),
}


def network_inputs(out: str) -> dict[str, Inputs]:
    """The features (N, 512) by the networks of a folder, one array for each seed, at every downsampling."""
    results, found = Results(out), dict[int, list[EncoderClassifier]]()
    for record in sorted(results.records, key=lambda each: each.summary["seed"]):
        network = cast(EncoderClassifier, results.model(record.run_id))
        found.setdefault(int(record.settings["task"]["downsample"]), []).append(network)
    return {
        f"phantom's ResNet-18, downsampling {scale}": partial(_features, networks, scale)
        for scale, networks in sorted(found.items())
    }


def _features(networks: Sequence[EncoderClassifier], scale: int, pictures: Floats) -> list[Floats]:
    side = pictures.shape[1] * 2 // scale  # pictures have downsampling 2
    small = pictures.reshape(len(pictures), side, pictures.shape[1] // side, side, -1).mean(axis=(2, 4))
    centred = small - small.mean(axis=(1, 2), keepdims=True)
    images = torch.from_numpy(centred / (small.std(axis=(1, 2), keepdims=True) + 1e-6)).float()[:, None]
    found = []
    with torch.no_grad():
        for network in networks:
            batches = [network.features(images[start : start + 64]) for start in range(0, len(images), 64)]
            found.append(torch.cat(batches).double().numpy())
    return found


@dataclass(frozen=True)
class Tiles:
    """Tiles of some splits at downsampling 2: pictures (N, 64, 64), classes (N,) and lowest voxels y, x (N, 2)."""

    pictures: Floats
    labels: Ints
    places: Ints

    @classmethod
    def of(cls, task: TaskSettings, plane: npt.NDArray[np.float32], *splits: Split) -> Tiles:
        """The tiles of the splits, in their order."""
        found = [sample for split in splits for sample in samples(task, split)]
        places = np.array([sample.roi.origin[1:] for sample in found])
        cut = [plane[y : y + _SIDE, x : x + _SIDE] for y, x in places]
        half = [each.reshape(_SIDE // 2, 2, -1, 2).mean(axis=(1, 3), dtype=np.float32) for each in cut]
        return cls(np.stack(half).astype(np.float64), np.array([sample.label for sample in found]), places)


def folds(tiles: Tiles) -> Iterator[tuple[Ints, Ints]]:
    """Numbers of the tiles that are learned from and left out: blocks of each region along its longer side."""
    blocks = np.zeros(len(tiles.labels), np.int64)
    for label in np.unique(tiles.labels):
        own = np.flatnonzero(tiles.labels == label)
        places = tiles.places[own]
        along = places[:, int(np.ptp(places[:, 1]) > np.ptp(places[:, 0]))]
        cuts = np.quantile(along, np.linspace(0, 1, _FOLDS + 1)[1:-1])
        blocks[own] = np.searchsorted(cuts, along, side="right")
    for block in range(_FOLDS):
        out, kept = np.flatnonzero(blocks == block), np.flatnonzero(blocks != block)
        distance = np.abs(tiles.places[kept][:, None] - tiles.places[out][None]).max(-1)
        yield kept[~(distance < _SIDE).any(1)], out


def smoothed(scores: Floats, places: Ints, radius: int) -> Floats:
    """Mean of the scores (N, classes) of all tiles within so many voxels along y and x."""
    near = np.abs(places[:, None] - places[None]).max(-1) <= radius
    mean: Floats = (near @ scores) / near.sum(1, keepdims=True)
    return mean


class Hidden(nn.Module):
    """Inputs (B, F) -> learned representation (B, 64) -> logits (B, 4)."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.a = nn.Sequential(nn.Dropout(0.1), nn.Linear(inputs, _HIDDEN), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Linear(_HIDDEN, 4)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits."""
        logits: torch.Tensor = self.head(self.a(inputs))
        return logits


def learned(inputs: Floats, labels: Ints, others: Floats, seed: int) -> Floats:
    """Log-probabilities of other inputs by a hidden layer: 60 epochs of AdamW on noisy inputs, every class alike."""
    torch.manual_seed(seed)
    network, random = Hidden(inputs.shape[1]), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=1e-2)
    known, truth = torch.from_numpy(inputs).float(), torch.from_numpy(labels)
    weights = torch.as_tensor(1 / np.bincount(labels, minlength=4)[labels]).float()
    for _ in range(60 * len(labels) // 64):
        batch = torch.multinomial(weights, 64, True, generator=random)
        seen = known[batch]
        seen = seen + 0.2 * torch.randn(seen.shape, generator=random)
        loss = F.cross_entropy(network(seen), truth[batch], label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    network.eval()
    with torch.no_grad():
        scores: Floats = network(torch.from_numpy(others).float()).log_softmax(1).numpy()
    return scores


def fitted(kind: str, inputs: Sequence[Floats], labels: Ints, others: Sequence[Floats]) -> list[Floats]:
    """Log-probabilities of other inputs, one array for each seed; logistic regression on statistics has none."""
    found: list[Floats] = []
    pairs = list(zip(inputs, others, strict=True))
    if kind == "hidden layer":
        pairs *= len(SEEDS) // len(pairs)
    for seed, (each, other) in zip(SEEDS, pairs, strict=False):
        scaler = StandardScaler().fit(each)
        known, asked = scaler.transform(each), np.clip(scaler.transform(other), -4, 4)
        if kind == "hidden layer":
            found.append(learned(known, labels, asked, seed))
        else:
            model = LogisticRegression(C=0.1, max_iter=3000, class_weight="balanced").fit(known, labels)
            found.append(model.predict_log_proba(asked))
    return found


def scores_of(found: Sequence[Floats], tiles: Tiles, out: Ints, radius: int) -> list[float]:
    """Balanced accuracy of each seed, then that of the mean over the seeds."""
    every = [*found, np.mean(found, axis=0)]
    return [
        float(balanced_accuracy_score(tiles.labels[out], smoothed(each, tiles.places[out], radius).argmax(1)))
        for each in every
    ]


def main() -> None:
    """Print the candidates, and with `--test` the one that was chosen on the test boxes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True)
    parser.add_argument("--networks", help="output folder of benchmarks.transfer, whose networks are the inputs")
    parser.add_argument("--test", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    task, file = load_task(asked.task)
    plane = np.asarray(Image.open(Path(file).parent / task.image_addresses[0].removeprefix("file:"))).astype(np.float32)
    tiles, train = Tiles.of(task, plane, "train", "val"), Tiles.of(task, plane, "train")
    count = len(train.labels)
    parts = [*folds(tiles), (np.arange(count), np.arange(count, len(tiles.labels)))]
    choices = network_inputs(asked.networks) if asked.networks else STATISTICS
    chosen = (0.0, "", "", 0)
    print("| inputs | learned by | smoothing | four folds, val | mean | with the mean of the seeds |")
    print("|---|---|---|---|---|---|")
    for name, features in choices.items():
        rows = features(tiles.pictures)
        for kind in ("logistic", "hidden layer"):
            found = [
                fitted(kind, [each[kept] for each in rows], tiles.labels[kept], [each[out] for each in rows])
                for kept, out in parts
            ]
            for radius in SMOOTHINGS:
                each = [scores_of(own, tiles, out, radius) for own, (_, out) in zip(found, parts, strict=True)]
                alone = [statistics.fmean(values[:-1]) for values in each]
                mean, together = statistics.fmean(alone), statistics.fmean(values[-1] for values in each)
                cells = ", ".join(f"{value:.3f}" for value in alone)
                print(f"| {name} | {kind} | {radius} | {cells} | {mean:.3f} | {together:.3f} |", flush=True)
                # Logistic regression on statistics learns no representation.
                if (kind == "hidden layer" or asked.networks) and mean > chosen[0] + 0.005:
                    chosen = (mean, name, kind, radius)
    _, name, kind, radius = chosen
    print(f"chosen: {name}, {kind}, smoothing {radius}")
    if asked.test:
        test = Tiles.of(task, plane, "test")
        found_test = fitted(kind, choices[name](train.pictures), train.labels, choices[name](test.pictures))
        for radius in SMOOTHINGS:
            values = scores_of(found_test, test, np.arange(len(test.labels)), radius)
            told = ", ".join(f"{value:.3f}" for value in values[:-1])
            spread = f"{statistics.fmean(values[:-1]):.3f} +- {statistics.stdev(values[:-1]):.3f}"
            print(f"test, smoothing {radius}: {told}; {spread}; mean of the seeds {values[-1]:.3f}")


if __name__ == "__main__":
    main()
