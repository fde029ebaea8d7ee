"""How near the phantom's texture is to the real slice at downsampling 1, 2 and 4.

Tiles of 128 x 128 voxels from the boxes of a task on the real slice, and from the same boxes of several planes of the
phantom. The boxes of the task's training and validation splits are those that the phantom was fitted to; those of its
test split only check it.

    python -m benchmarks.phantom_texture --task ../shared/prasad2020_sample/task1_z309.json [--seed N] [--planes Z ...]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mtneuro_ray.config.loading import load_task
from mtneuro_ray.config.task import Cube, TaskSettings
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.source import open_volume

Vector = npt.NDArray[np.float64]

SIDE = 128
STRIDE = 64
SCALES = (1, 2, 4)
PLANES = (129, 189, 249, 309, 369, 429)
CENTILES = (1, 5, 25, 50, 75, 95, 99)
# Octaves of spatial frequency, cycles per pixel; what is below the first holds the tile's own shape.
EDGES = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)
BANDS = ("1/32-1/16", "1/16-1/8", "1/8-1/4", "1/4-1/2")
NAMES = tuple(
    f"{name}, downsampling {scale}"
    for scale in SCALES
    for name in (
        *(f"log power {band}" for band in BANDS),
        *(f"percentile {p}" for p in CENTILES),
        "gradient",
        "steep gradient",
        "coherence",
        "skew",
        "kurtosis",
    )
)


def averaged(tile: Vector, scale: int) -> Vector:
    """A tile area-averaged along y and x."""
    height, width = tile.shape
    small: Vector = tile.reshape(height // scale, scale, width // scale, scale).mean(axis=(1, 3))
    return small


@lru_cache(maxsize=8)
def _band_of(side: int) -> npt.NDArray[np.int64]:
    """Band of every frequency of a square, flat; 0 and the last number are out of all bands."""
    frequency = np.fft.fftfreq(side)
    bands: npt.NDArray[np.int64] = np.digitize(np.hypot(frequency[:, None], frequency[None, :]).ravel(), EDGES)
    return bands


def band_powers(tile: Vector) -> Vector:
    """Variance of a square tile in each octave of `BANDS`, in squared grey values (Hann window)."""
    side = len(tile)
    window = np.outer(np.hanning(side), np.hanning(side))
    power = np.abs(np.fft.fft2((tile - tile.mean()) * window)) ** 2 / (window**2).sum() / side**2
    sums = np.bincount(_band_of(side), power.ravel(), len(EDGES) + 1)
    return sums[1 : len(EDGES)].astype(np.float64)


def _profile_at(tile: Vector) -> list[float]:
    down, right = np.gradient(tile)
    steepness = np.hypot(down, right)
    tensor = (down**2).mean(), (right**2).mean(), (down * right).mean()
    coherence = np.hypot(tensor[0] - tensor[1], 2 * tensor[2]) / (tensor[0] + tensor[1])
    flat = (tile - tile.mean()) / tile.std()
    return [
        *np.log(band_powers(tile)).tolist(),
        *np.percentile(tile, CENTILES).tolist(),
        float(steepness.mean()),
        float(np.percentile(steepness, 90)),
        float(coherence),
        float((flat**3).mean()),
        float(np.log((flat**4).mean())),
    ]


def profile(tile: Vector) -> Vector:
    """The numbers of `NAMES` of a tile."""
    return np.array([v for scale in SCALES for v in _profile_at(averaged(tile, scale))])


def cut(plane: npt.NDArray[np.uint8]) -> list[Vector]:
    """Overlapping tiles of a plane."""
    height, width = plane.shape
    corners = [(y, x) for y in range(0, height - SIDE + 1, STRIDE) for x in range(0, width - SIDE + 1, STRIDE)]
    return [plane[y : y + SIDE, x : x + SIDE].astype(np.float64) for y, x in corners]


def grey_levels(task: TaskSettings, file: Path) -> Vector:
    """The grey values that occur in the real slice: its PNG has only 19 of them."""
    source = open_volume(str(task.image_chan), file.parent)
    return np.unique(source.read(Roi((0, 1), (0, source.shape[1]), (0, source.shape[2])))).astype(np.float64)


def quantised(plane: npt.NDArray[np.uint8], levels: Vector) -> npt.NDArray[np.uint8]:
    """A plane with the nearest of some grey levels, so that the noise of the rounding is on both sides."""
    nearest = np.abs(np.arange(256)[:, None] - levels).argmin(axis=1)
    rounded: npt.NDArray[np.uint8] = levels[nearest].astype(np.uint8)[plane]
    return rounded


def profiles(address: str, base: Path, cubes: Sequence[Cube], planes: Sequence[int], levels: Vector) -> Vector:
    """Profiles (N, features) of the tiles of some boxes in some planes of a volume, rounded to grey levels."""
    source = open_volume(address, base)
    found = []
    for cube in cubes:
        for z in planes:
            voxels = source.read(Roi((z, z + 1), cube.y, cube.x))[0]
            found += [profile(tile) for tile in cut(quantised(voxels, levels))]
    return np.array(found)


def gaps(phantom: Vector, real: Vector) -> tuple[Vector, Vector]:
    """Difference of the means in standard deviations between real tiles, and log ratio of the standard deviations."""
    spread = real.std(axis=0) + 1e-6
    return (phantom.mean(axis=0) - real.mean(axis=0)) / spread, np.log((phantom.std(axis=0) + 1e-6) / spread)


def _by_region(task: TaskSettings, region: str, checked: bool) -> list[Cube]:
    return [cube for cube in task.cubes if cube.region == region and (cube.split == "test") == checked]


def _print_scales(rows: dict[str, Vector]) -> None:
    """Share of power in the octaves, some percentiles with their spread, and gradients, at each downsampling."""
    per = len(NAMES) // len(SCALES)
    for number, scale in enumerate(SCALES):
        for name, table in rows.items():
            part = table[:, number * per : (number + 1) * per]
            power = np.exp(part[:, : len(BANDS)])
            shares = (power / power.sum(axis=1, keepdims=True)).mean(axis=0)
            grey = part[:, len(BANDS) : len(BANDS) + len(CENTILES)]
            cells = [f"{v:.2f}" for v in shares]
            cells += [f"{m:.0f} ± {s:.0f}" for m, s in zip(grey.mean(axis=0), grey.std(axis=0), strict=True)]
            cells += [f"{v:.1f}" for v in part[:, -5:-3].mean(axis=0)] + [f"{part[:, -3].mean():.2f}"]
            print(f"| {scale} | {name} | {' | '.join(cells)} |")


def compare_textures(task_file: Path, seed: int, planes: Sequence[int]) -> None:
    """Print the tables of each region, and how far the phantom is from the boxes of each kind."""
    task, file = load_task(str(task_file))
    address = f"phantom://thalamocortical/image?seed={seed}"
    heads = [*BANDS, *(f"p{p}" for p in CENTILES), "gradient", "steep", "coherence"]
    levels = grey_levels(task, file)
    summary = []
    for region in task.classes:
        print(f"\n{region}\n| downsampling | tiles | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 2)}")
        rows = {}
        for kind, checked in (("fitted", False), ("checked", True)):
            cubes = _by_region(task, region, checked)
            rows[f"real, {kind}"] = real = profiles(str(task.image_chan), file.parent, cubes, [0], levels)
            rows[f"phantom, {kind}"] = phantom = profiles(address, file.parent, cubes, planes, levels)
            means, spreads = gaps(phantom, real)
            worst = ", ".join(f"{NAMES[k]} {means[k]:+.1f}" for k in np.argsort(-np.abs(means))[:3])
            mean, spread = np.median(np.abs(means)), np.median(np.abs(spreads))
            summary.append(f"| {region} | {kind} | {len(real)} | {mean:.2f} | {spread:.2f} | {worst} |")
        _print_scales(rows)
    print("\n| region | boxes | real tiles | gap of means, sd | gap of spreads, log | farthest, sd |")
    print("|---|---|---|---|---|---|")
    print("\n".join(summary))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True, type=Path, help="classification task on a real slice")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--planes", type=int, nargs="+", default=PLANES)
    options = parser.parse_args()
    compare_textures(options.task, options.seed, options.planes)


if __name__ == "__main__":
    main()
