"""False positives and power of `results compare` on simulated experiments that are equal, with correlated images.

    python -m benchmarks.compare_calibration [--replicates 4000]

Two experiments are evaluated on the same cubes. The difference of each image is a Gaussian field along z, which differs
from cube to cube, plus a field and white noise of each seed, plus a deviation of each seed. Both experiments have the
same mean, so each "difference" is a false positive. A naive bootstrap takes every image for independent; the block
bootstrap takes percentiles over resampled seeds and blocks of the rule's length.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mtneuro_ray.results.compare.correlation import blocks_of, correlation_of
from mtneuro_ray.results.compare.effect import LEVEL, Effect, of_images
from mtneuro_ray.results.compare.series import Places, Series

Floats = npt.NDArray[np.float64]
_DRAWS = 400
_NOWHERE = Places(np.zeros(0, np.int64), 0, np.zeros(0, np.int64), np.zeros((0, 4), np.int64))


class Setting(NamedTuple):
    """A simulated comparison.

    Attributes:
        seeds: Pairs of seeds.
        cubes: Cubes of the test split, each a piece of tissue.
        slices: Slices of each cube.
        length: Slices after which the correlation has fallen to 1/e; 0 for independent slices.
        kernel: "exponential" or "gaussian" correlation.
        seed: Standard deviation of the difference between seeds; that of an image is about 1.
        own: Standard deviation of the field of a single seed.
        noise: Standard deviation of the white noise of an image.
        metric: "mean" over images, or "iou" of counts summed over images.
        classes: Classes of the images, the same in each cube: the metric is the mean of one mean for each class.
    """

    seeds: int
    cubes: int
    slices: int
    length: float
    kernel: str = "exponential"
    seed: float = 0.0
    own: float = 0.5
    noise: float = 0.5
    metric: str = "mean"
    classes: int = 1


SETTINGS = [
    *(Setting(1, 4, 50, length) for length in (0, 2, 5, 10)),
    *(Setting(1, 4, 50, length, "gaussian") for length in (2, 5, 10)),
    *(Setting(1, 4, 25, length) for length in (0, 2, 5, 10)),
    *(Setting(1, cubes, slices, 5) for cubes, slices in ((2, 50), (2, 100), (8, 50), (12, 20), (30, 10))),
    *(Setting(seeds, 4, 50, length, seed=seed) for seeds in (3, 5) for length in (2, 8) for seed in (0.0, 0.3, 1.0)),
    *(Setting(seeds, 12, 20, 2, seed=0.3) for seeds in (3, 5)),
    *(Setting(seeds, 4, 50, 5, metric="iou") for seeds in (1, 3, 5)),
    *(
        Setting(1, 1, slices, length)
        for slices, length in ((50, 5), (200, 2), (200, 5), (200, 10), (400, 5), (400, 10))
    ),
    *(Setting(1, cubes, 50, length, classes=4) for cubes in (4, 8, 16) for length in (0, 2, 5)),
    *(Setting(3, cubes, 50, length, seed=0.3, classes=4) for cubes in (4, 8) for length in (2, 5)),
]


def simulated(setting: Setting, replicates: int, random: np.random.Generator) -> Floats:
    """Differences (R, S, cubes, slices) of images under the null hypothesis.

    For "iou" they are the first-order parts of images in the difference, plus that difference.
    """
    if setting.metric == "iou":
        fields = [_fields(setting, replicates, random) for _ in range(5)]
        return np.stack([_iou_differences(*each) for each in zip(*fields, strict=True)])
    return _fields(setting, replicates, random)


def _iou_differences(size: Floats, *wrong: Floats) -> Floats:
    """Differences of the IoU of two models, whose missed and false voxels vary from image to image, (S, cubes, slices).

    Args:
        size: Decides the voxels of the class, the same for all seeds and both models.
        wrong: Decides missed and false voxels of the first model, then of the second.
    """
    voxels = 1000 * np.exp(0.5 * size[:1])
    parts = []
    for missed, false in (wrong[:2], wrong[2:]):
        share = 1 / (1 + np.exp(1.5 - 0.5 * missed))
        counts = np.stack([voxels * (1 - share), voxels * share, 0.2 * voxels * np.exp(0.5 * false)], axis=-1)
        for own in counts:
            sums = own.reshape(-1, 3)
            weights = sums.sum(1, keepdims=True)
            series = Series(_NOWHERE, sums, weights, lambda totals: totals[..., 0] / totals.sum(-1))
            parts.append(series.shares() * len(series.sums) + series.total)
    half = len(parts) // 2
    found: Floats = np.stack([one - other for one, other in zip(parts[:half], parts[half:], strict=True)])
    return found.reshape(-1, *size.shape[1:])


def _fields(setting: Setting, replicates: int, random: np.random.Generator) -> Floats:
    distance = np.abs(np.subtract.outer(np.arange(setting.slices), np.arange(setting.slices)))
    power = 1 if setting.kernel == "exponential" else 2
    covariance = np.exp(-((distance / max(setting.length, 1e-3)) ** power)) + 1e-9 * np.eye(setting.slices)
    root = np.linalg.cholesky(covariance)
    shape = (replicates, setting.seeds, setting.cubes, setting.slices)
    field = random.normal(size=(replicates, 1, *shape[2:])) @ root.T
    own = setting.own * random.normal(size=shape) @ root.T
    noise = setting.noise * random.normal(size=shape)
    found: Floats = field + own + noise + setting.seed * random.normal(size=(*shape[:2], 1, 1))
    return found


def judged(images: Floats, classes: int = 1) -> Effect:
    """The effect in differences (S, cubes, slices) of images: the mean over classes of the mean over images.

    Cubes have the classes in turn.
    """
    seeds, cubes, slices = images.shape
    flat = images.reshape(seeds, -1)
    weights = np.eye(classes)[np.repeat(np.arange(cubes) % classes, slices)]
    share = weights / weights.sum(0)
    means = flat @ share
    shares = (flat - means @ weights.T) * share.sum(1) / weights.shape[1]
    return of_images(means.mean(1), shares, weights, np.repeat(np.arange(cubes), slices), flat.shape[1])


def bootstrapped(images: Floats, random: np.random.Generator, *, in_blocks: bool) -> bool:
    """Whether 0 lies outside of the percentile interval of resampled seeds, and images or blocks of them."""
    seeds, cubes, slices = images.shape
    flat, pieces = images.reshape(seeds, -1), np.repeat(np.arange(cubes), slices)
    blocks = np.arange(flat.shape[1])
    if in_blocks:
        blocks = blocks_of(pieces, correlation_of(flat.mean(0), pieces).block)
    size = int(blocks.max()) + 1
    sums, counts = np.stack([np.bincount(blocks, own, size) for own in flat]), np.bincount(blocks, minlength=size)
    of_blocks = random.multinomial(size, np.full(size, 1 / size), _DRAWS)
    of_seeds = random.multinomial(seeds, np.full(seeds, 1 / seeds), _DRAWS) / seeds
    means = (of_seeds * (of_blocks @ sums.T / (of_blocks @ counts)[:, None])).sum(1)
    low, high = np.percentile(means, (100 * LEVEL / 2, 100 * (1 - LEVEL / 2)))
    return not low <= 0 <= high


class Rates(NamedTuple):
    """Results of a setting: shares of the replicates, and medians over them.

    A comparison that is refused finds nothing: it is no false positive, and has no power.
    """

    refused: float
    found: float
    blocked: float
    naive: float
    blocks: float
    power: float


def rates_of(setting: Setting, replicates: int, random: np.random.Generator) -> Rates:
    """False positives of the three methods, and the power for a difference of three true standard errors."""
    images = simulated(setting, replicates, random)
    effects = [judged(each, setting.classes) for each in images]
    needed = "seeds and images" if setting.seeds > 2 else "images"
    known = [effect for effect in effects if effect.basis == needed]
    shift = 3 * float(images.mean((1, 2, 3)).std())
    found = [effect.p < LEVEL for effect in known]
    power = [abs(effect.difference + shift) > effect.interval[1] - effect.difference for effect in known]
    judged_share = len(known) / len(effects)
    few = images[: max(1, replicates // 8)]
    return Rates(
        1 - judged_share,
        judged_share * _share(found),
        _share([bootstrapped(each, random, in_blocks=True) for each in few]),
        _share([bootstrapped(each, random, in_blocks=False) for each in few]),
        float(np.median([effect.layout.blocks for effect in known])) if known else math.nan,
        judged_share * _share(power),
    )


def _share(found: Sequence[bool]) -> float:
    return float(np.mean(found)) if found else 0.0


def main() -> None:
    """Print a row per setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=4000)
    replicates, started = parser.parse_args().replicates, time.perf_counter()
    print(
        "| seeds | cubes x slices | classes | length | seed std | metric | blocks | compare, % | block bootstrap, % |",
        end="",
    )
    print(" naive, % | power, % | refused, % |\n|---|---|---|---|---|---|---|---|---|---|---|---|")
    for number, setting in enumerate(SETTINGS):
        rates = rates_of(setting, replicates, np.random.default_rng(number))
        kernel = "" if setting.kernel == "exponential" or not setting.length else " (Gaussian)"
        shares = (rates.found, rates.blocked, rates.naive)
        print(
            f"| {setting.seeds} | {setting.cubes} x {setting.slices} | {setting.classes} "
            f"| {setting.length:g}{kernel} | {setting.seed:g} "
            f"| {setting.metric} | {rates.blocks:.0f} | {' | '.join(f'{100 * share:.1f}' for share in shares)} "
            f"| {100 * rates.power:.0f} | {100 * rates.refused:.0f} |",
            flush=True,
        )
    print(
        f"\n{replicates} replicates each, an eighth of them for the bootstraps; {time.perf_counter() - started:.0f} s"
    )


if __name__ == "__main__":
    main()
