"""Correlation of the slices of a box: the paper's Figure A1, and the distance that it derives from it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from mtneuro_ray.data.mosaic import EMPTY, Mosaic
from mtneuro_ray.data.store import Bytes
from mtneuro_ray.results.charts.curves import mean_curve
from mtneuro_ray.results.figures.colors import SERIES
from mtneuro_ray.results.frame import grouped

Matrix = npt.NDArray[np.float32]

# Slices with less correlation count as different: one explains 4 % of the variance of the other.
THRESHOLD = 0.2
# Slices between the training and the test split (paper, Appendix 1.1).
GAP = 10
# Slices along a side of the close-up.
_CLOSE_UP = 50
# Number of missing slices from which a line is drawn, and number of labels of an axis.
_JUMP = 8
_TICKS = 5


class Stack(NamedTuple):
    """Slices of one box, not always adjacent: region, (N,) rising z in the volume, (N, Y, X) grey values."""

    region: str
    z: npt.NDArray[np.int64]
    images: Bytes


def stacks_of(mosaics: Iterable[Mosaic]) -> list[Stack]:
    """The slices of each region's first box, joined from the splits along z, without slices that were not read."""
    stacks = []
    for region, own in grouped(mosaics, lambda mosaic: mosaic.region).items():
        pieces = [mosaic for mosaic in own if mosaic.offset[1:] == own[0].offset[1:]]
        z = np.concatenate([mosaic.offset[0] + np.arange(len(mosaic.pixels)) for mosaic in pieces])
        images = np.concatenate([mosaic.pixels for mosaic in pieces])
        order = [int(n) for n in np.argsort(z, kind="stable") if (images[n] != EMPTY).any()]
        stacks.append(Stack(region, z[order], images[order]))
    return stacks


def correlations(images: Bytes) -> Matrix:
    """Correlation coefficient over the pixels of each pair of images (N, Y, X): (N, N); 0 with an image of one grey."""
    # Single precision: all slices at full resolution are some hundred megabytes of it.
    pixels = images.reshape(len(images), -1).astype(np.float32)
    pixels -= pixels.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(pixels, axis=1, keepdims=True)
    pixels /= np.where(norms > 0, norms, np.float32(1))
    found: Matrix = pixels @ pixels.T
    return found


def decay(matrix: Matrix, z: npt.NDArray[np.int64]) -> dict[int, float]:
    """Distance in slices, from 1 on -> mean correlation (N, N) of slices that far apart."""
    upper = np.triu_indices(len(z), 1)
    distances = z[upper[1]] - z[upper[0]]
    counts = np.bincount(distances)
    sums = np.bincount(distances, weights=matrix[upper])
    return {int(distance): float(sums[distance] / counts[distance]) for distance in np.flatnonzero(counts)}


def reach(curve: dict[int, float], threshold: float = THRESHOLD) -> int | None:
    """The smallest distance at which the correlation is below the threshold; None if it stays above."""
    return min((distance for distance, value in curve.items() if value < threshold), default=None)


def describe(stacks: Sequence[Stack]) -> str:
    """The number of slices after which images are different, and the correlation at the gap between splits."""
    curves = {stack.region: decay(correlations(stack.images), stack.z) for stack in stacks}
    mean = mean_curve(list(curves.values()))
    parts = ", ".join(f"{region} {_slices(reach(curve))}" for region, curve in curves.items())
    gap = f"; at {GAP} slices it is {mean[GAP]:.2f}" if GAP in mean else ""
    return f"mean correlation below {THRESHOLD:g} after {_slices(reach(mean))} slices ({parts}){gap}"


def _slices(distance: int | None) -> str:
    return "no number of" if distance is None else str(distance)


def draw_correlations(stacks: Sequence[Stack], title: str) -> Figure:
    """A close-up of the first region, all regions together, each by itself, and the decay with distance."""
    columns = max(2, math.ceil(len(stacks) / 2))
    figure = Figure(figsize=(3.1 * (columns + 2) + 1.0, 6.4), layout="constrained")
    figure.suptitle(f"{title}\n{describe(stacks)}", fontsize=11)
    parts: Any = figure.subfigures(1, 3, width_ratios=(1.15, columns, 1.25))
    left, middle, right = parts
    matrices = [correlations(stack.images) for stack in stacks]
    close_up, whole = left.subplots(2, 1)
    first = stacks[0]
    _draw_matrix(close_up, matrices[0][:_CLOSE_UP, :_CLOSE_UP], first.z[:_CLOSE_UP], f"{first.region}, first slices")
    _draw_all(whole, stacks)
    axes = middle.subplots(2, columns, squeeze=False).ravel()
    for axis, stack, matrix in zip(axes, stacks, matrices, strict=False):
        picture = _draw_matrix(axis, matrix, stack.z, stack.region)
    for axis in axes[len(stacks) :]:
        axis.set_axis_off()
    middle.colorbar(picture, ax=list(axes), label="correlation", shrink=0.6)
    _draw_decay(right.subplots(), stacks, matrices)
    return figure


def _draw_matrix(axis: Any, matrix: Matrix, z: npt.NDArray[np.int64], title: str) -> Any:
    """Draw one matrix, with a row per slice, and lines where many slices are missing."""
    picture = axis.imshow(matrix, cmap="magma", vmin=0, vmax=1, interpolation="nearest")
    _draw_lines(axis, np.flatnonzero(np.diff(z) > _JUMP) + 0.5, 0.7)
    ticks = np.linspace(0, len(z) - 1, min(_TICKS, len(z))).round().astype(int)
    axis.set_xticks(ticks, z[ticks])
    axis.set_yticks(ticks, z[ticks])
    axis.set_title(title, fontsize=10)
    axis.set_xlabel("slice z", fontsize=9)
    axis.tick_params(labelsize=8)
    return picture


def _draw_all(axis: Any, stacks: Sequence[Stack]) -> None:
    """Draw the matrix of the slices of all regions, one region after the other."""
    images = np.concatenate([stack.images for stack in stacks])
    axis.imshow(correlations(images), cmap="magma", vmin=0, vmax=1, interpolation="nearest")
    lengths = np.array([len(stack.z) for stack in stacks])
    ends = np.cumsum(lengths)
    middles = ends - lengths / 2
    _draw_lines(axis, ends[:-1] - 0.5, 0.5)
    axis.set_xticks(middles, [stack.region for stack in stacks], fontsize=8)
    axis.set_yticks(middles, [stack.region for stack in stacks], fontsize=8)
    axis.set_title("all slices", fontsize=10)


def _draw_lines(axis: Any, places: npt.NDArray[np.floating[Any]], width: float) -> None:
    for place in places:
        axis.axhline(place, color="white", lw=width)
        axis.axvline(place, color="white", lw=width)


def _draw_decay(axis: Any, stacks: Sequence[Stack], matrices: Sequence[Matrix]) -> None:
    """Draw the mean correlation against the distance of slices."""
    curves = [decay(matrix, stack.z) for matrix, stack in zip(matrices, stacks, strict=True)]
    for number, (stack, curve) in enumerate(zip(stacks, curves, strict=True)):
        axis.plot(list(curve), list(curve.values()), lw=1, color=SERIES[number % len(SERIES)], label=stack.region)
    mean = mean_curve(curves)
    axis.plot(list(mean), list(mean.values()), lw=2.4, color="black", label="mean")
    axis.axhline(THRESHOLD, color="#888888", lw=0.8, ls="--")
    axis.axvline(GAP, color="#888888", lw=0.8, ls=":", label="gap of the splits")
    axis.set(xscale="log", xlabel="distance, slices", ylabel="mean correlation", ylim=(min([0, *mean.values()]), 1))
    axis.set_title("decay", fontsize=10)
    axis.legend(frameon=False, fontsize=9)
