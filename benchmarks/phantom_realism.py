"""How near the phantom is to the real tissue: `python -m benchmarks.phantom_realism [--sample DIR] [--out DIR]`.

Prints class proportions, grey statistics and how far a linear model on simple features gets in Task 1; with
`--sample` (the folder that holds z309_image.png and task1_z309.json) the real slice stands beside the phantom, region
by region at downsampling 1, 2 and 4 (`phantom_texture.py`), with the boxes for fitting and for checking apart.
With `--out` it saves pictures: those named real_* or versus_* hold real data, the others only the phantom.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.phantom_texture import PLANES, compare_textures
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.source import VolumeSource, open_volume

Picture = npt.NDArray[np.uint8]
Vector = npt.NDArray[np.float64]
Reader = Callable[[int, int, int], Picture]

REGIONS = ("CTX", "STR", "VP", "ZI")
SIDE = 256
MIDDLE_Z = 309
# Lowest corners y, x of the cubes, Tables A1 and A2 of the paper, in the order of REGIONS.
CUBES = {
    "A": ((900, 4600), (500, 3700), (850, 3063), (650, 1543)),
    "C": ((644, 5056), (400, 3344), (950, 2151), (906, 1031)),
    "D": ((400, 4600), (244, 3800), (694, 2295), (650, 1799)),
}
# Per cent background, vessels, cells, axons: the paper, Appendix 4.2.3.
PAPER = {
    "CTX": (93.0, 2.33, 4.64, 0.0),
    "STR": (72.63, 2.5, 5.66, 19.22),
    "VP": (22.75, 4.73, 5.73, 66.8),
    "ZI": (32.15, 5.4, 9.41, 53.04),
}
COLOURS = np.array([[0, 0, 0], [255, 60, 60], [60, 255, 60], [60, 120, 255]], np.uint8)


def reader(source: VolumeSource) -> Reader:
    """Slices of 256 x 256 voxels of a volume by z, y, x of their lowest corner."""
    return lambda z, y, x: source.read(Roi.at((z, y, x), (1, SIDE, SIDE)))[0].astype(np.uint8)


def proportions(labels: VolumeSource, corner: tuple[int, int], step: int) -> Vector:
    """Per cent of the four classes in a cube, from every `step`-th plane of z 110..470."""
    planes = [labels.read(Roi.at((z, *corner), (1, SIDE, SIDE))) for z in range(110, 470, step)]
    counts = np.bincount(np.concatenate(planes).ravel().astype(np.int64), minlength=4)
    shares: Vector = 100 * counts / counts.sum()
    return shares


def decay_length(tile: Picture, axis: int) -> float:
    """Lag in voxels along an axis at which the unbiased autocorrelation falls to 1/e."""
    centred = np.moveaxis(tile - tile.mean(), axis, -1)
    size = centred.shape[-1]
    spectrum = np.abs(np.fft.rfft(centred, 2 * size, axis=-1)) ** 2
    covariance = np.fft.irfft(spectrum, axis=-1)[:, :size].sum(axis=0) / (size - np.arange(size))
    correlation = covariance / covariance[0]
    below = int(np.argmax(correlation < np.exp(-1)))
    high, low = correlation[below - 1], correlation[below]
    return float(below - 1 + (high - np.exp(-1)) / (high - low))


def spectrum_slope(tile: Picture, low: float = 1 / 64, high: float = 1 / 4) -> float:
    """Exponent of the power spectrum between two frequencies in cycles per voxel (Hann window, log bins)."""
    window = np.hanning(SIDE)[:, None] * np.hanning(SIDE)[None, :]
    power = np.abs(np.fft.fft2((tile - tile.mean()) * window)) ** 2
    frequency = np.fft.fftfreq(SIDE)
    radius = np.hypot(frequency[:, None], frequency[None, :])
    edges = np.geomspace(1 / 64, 1 / 4, 17)
    which = np.digitize(radius.ravel(), edges) - 1
    bins = [k for k in range(16) if low <= np.sqrt(edges[k] * edges[k + 1]) <= high]
    mean = [power.ravel()[which == k].mean() for k in bins]
    centre = [radius.ravel()[which == k].mean() for k in bins]
    return float(np.polyfit(np.log(centre), np.log(mean), 1)[0])


def dark_blobs(tile: Picture) -> int:
    """Dark blobs of the tile: extrema over space and scale of its Laplacian of Gaussian."""
    dark = np.maximum(0, ndimage.median_filter(tile, 41).astype(float) - tile) / 90
    sigmas = np.arange(1.5, 6.01, 0.5)
    stack = np.stack([-(s**2) * ndimage.gaussian_laplace(dark, s) for s in sigmas])
    return int(((stack == ndimage.maximum_filter(stack, 3)) & (stack > 0.36)).sum())


def grey_row(tile: Picture) -> list[float]:
    """Mean, standard deviation, percentiles 1 5 25 50 75 95 99, decay x and y, slopes, dark blobs."""
    centiles = np.percentile(tile, [1, 5, 25, 50, 75, 95, 99])
    slopes = [spectrum_slope(tile), spectrum_slope(tile, high=1 / 16), spectrum_slope(tile, low=1 / 16)]
    lengths = [decay_length(tile, 1), decay_length(tile, 0)]
    return [float(tile.mean()), float(tile.std()), *centiles.tolist(), *lengths, *slopes, dark_blobs(tile)]


def tiles(read: Reader, cube: str, planes: Sequence[int]) -> Iterator[tuple[int, Vector]]:
    """Class and 64 x 64 picture (area-averaged by 2) of each corner of each slice of a cube set."""
    for label, (y, x) in enumerate(CUBES[cube]):
        for z in planes:
            half = read(z, y, x).reshape(SIDE // 2, 2, SIDE // 2, 2).mean(axis=(1, 3))
            for part in np.split(half, 2):
                for tile in np.split(part, 2, axis=1):
                    yield label, tile


def mean_and_std(tile: Vector) -> list[float]:
    """The two features that must not solve Task 1."""
    return [float(tile.mean()), float(tile.std())]


def texture_features(tile: Vector) -> list[float]:
    """Features blind to mean and contrast: band energies, their directions and the skew of the grey values."""
    flat = (tile - tile.mean()) / tile.std()
    row = [float((flat**3).mean()), float((flat**4).mean()), *np.percentile(flat, [1, 5, 25, 75, 95, 99])]
    for sigma in (0.7, 1.4, 2.8, 5.6):
        smooth = ndimage.gaussian_filter(flat, sigma)
        down, right = np.gradient(smooth)
        row += [float(np.log(smooth.var())), float(np.log(ndimage.laplace(smooth).var()))]
        row += [float(np.log((down**2).mean() / (right**2).mean())), float((down * right).mean())]
    return row


def linear_scores(read: Reader, features: Callable[[Vector], list[float]], step: int) -> list[float]:
    """Balanced accuracy on cube A z 420..470, C and D of logistic regression trained on cube A z 110..379."""

    def table(cube: str, planes: Sequence[int]) -> tuple[Vector, npt.NDArray[np.int64]]:
        rows = [(label, features(tile)) for label, tile in tiles(read, cube, planes)]
        return np.array([row for _, row in rows]), np.array([label for label, _ in rows])

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    model.fit(*table("A", range(110, 379, step)))
    tests = [table("A", range(420, 470, step)), *(table(c, range(110, 470, step)) for c in "CD")]
    return [float(balanced_accuracy_score(y, model.predict(x))) for x, y in tests]


def print_rows(title: str, rows: dict[str, Sequence[float]]) -> None:
    """A table of numbers, one line per row."""
    print(f"\n{title}")
    for name, values in rows.items():
        print(f"{name:>16}", *(f"{v:7.2f}" for v in values))


def picture_of(read: Reader) -> Picture:
    """The four dense boxes at z 309: CTX, STR above VP, ZI."""
    boxes = [read(MIDDLE_Z, y, x) for y, x in CUBES["A"]]
    return np.block([[boxes[0], boxes[1]], [boxes[2], boxes[3]]])


def save_pictures(out: Path, image: VolumeSource, labels: VolumeSource, real: Picture | None) -> None:
    """Crops, their labels and the whole slice; beside the real ones where there are any."""
    out.mkdir(parents=True, exist_ok=True)
    crops, classes = picture_of(reader(image)), COLOURS[picture_of(reader(labels))]
    blend = (0.6 * crops[..., None] + 0.4 * classes).astype(np.uint8)
    _, height, width = image.shape
    whole = image.read(Roi((MIDDLE_Z, MIDDLE_Z + 1), (0, height), (0, width)))[0].astype(np.uint8)
    small = np.asarray(Image.fromarray(whole).resize((width // 4, height // 4), Image.Resampling.BOX))
    Image.fromarray(crops).save(out / "crops.png", optimize=True)
    Image.fromarray(blend).save(out / "labels.png", optimize=True)
    Image.fromarray(small).save(out / "overview.png", optimize=True)
    if real is not None:
        beside = np.hstack([crops, picture_of(lambda _, y, x: real[y : y + SIDE, x : x + SIDE])])
        Image.fromarray(beside).save(out / "versus_crops.png")
        shrunk = np.asarray(Image.fromarray(real).resize(small.shape[::-1], Image.Resampling.BOX))
        Image.fromarray(np.vstack([small, shrunk])).save(out / "versus_overview.png")


def main() -> None:
    """Print the tables, save the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=Path, help="folder of the real slice; without it only the phantom is shown")
    parser.add_argument("--out", type=Path, help="folder for the pictures; without it none are saved")
    parser.add_argument("--step", type=int, default=12, help="use every STEP-th plane (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    image, labels = (
        open_volume(f"phantom://thalamocortical/{channel}?seed={args.seed}") for channel in ("image", "pixel_labels")
    )
    real = None if args.sample is None else np.asarray(Image.open(args.sample / "z309_image.png"))
    if real is None:
        print("no --sample: the real slice is not shown")
    shares: dict[str, Sequence[float]] = {}
    greys: dict[str, Sequence[float]] = {}
    for region, (y, x) in zip(REGIONS, CUBES["A"], strict=True):
        shares[f"{region} phantom"] = proportions(labels, (y, x), args.step).tolist()
        shares[f"{region} paper"] = PAPER[region]
        phantom = [grey_row(reader(image)(z, y, x)) for z in (200, MIDDLE_Z, 420)]
        greys[f"{region} phantom"] = np.mean(phantom, axis=0).tolist()
        if real is not None:
            greys[f"{region} real"] = grey_row(real[y : y + SIDE, x : x + SIDE])
    print_rows("class proportions, %: background, vessels, cells, axons", shares)
    print_rows(
        "grey values: mean std | p1 p5 p25 p50 p75 p95 p99 | decay x y | slope 1/64-1/4, -1/16, 1/16- | blobs", greys
    )
    scores = {f.__name__: linear_scores(reader(image), f, args.step) for f in (mean_and_std, texture_features)}
    print_rows("Task 1 by logistic regression, balanced accuracy: A z 420-470, C, D", {**scores})
    if args.sample is not None:
        compare_textures(args.sample / "task1_z309.json", args.seed, PLANES)
    if args.out is not None:
        save_pictures(args.out, image, labels, real)


if __name__ == "__main__":
    main()
