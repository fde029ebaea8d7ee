"""How alike the slices of a box are: the paper's Figure A1, and the number that it draws from it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from mtneuro_ray.data.mosaic import EMPTY, Mosaic
from mtneuro_ray.data.store import Bytes

Matrix = npt.NDArray[np.float32]

# Below it slices are taken for different: one explains 4 % of what varies in the other.
THRESHOLD = 0.2
# Slices between the training and the test split (paper, Appendix 1.1).
GAP = 10
# Slices along a side of the close-up.
_CLOSE_UP = 50
# Slices that are missing where a line is drawn, and labels of an axis.
_JUMP = 8
_TICKS = 5
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


@dataclass(frozen=True, slots=True)
class Stack:
    """Slices of one box, not always adjacent ones.

    Attributes:
        region: Of the box.
        z: (N,) slices of the volume, rising.
        images: (N, Y, X) grey values.
    """

    region: str
    z: npt.NDArray[np.int64]
    images: Bytes


def stacks_of(mosaics: Iterable[Mosaic]) -> list[Stack]:
    """The slices of each region's first box, put together from the splits that it was cut into along z."""
    places: dict[str, tuple[int, ...]] = {}
    pieces: dict[str, list[Mosaic]] = {}
    for mosaic in mosaics:
        if places.setdefault(mosaic.region, mosaic.offset[1:]) == mosaic.offset[1:]:
            pieces.setdefault(mosaic.region, []).append(mosaic)
    return [_joined(region, own) for region, own in pieces.items()]


def _joined(region: str, mosaics: Sequence[Mosaic]) -> Stack:
    """One stack of the slices of several boxes that lie above each other; slices that were not read are left out."""
    z = np.concatenate([mosaic.offset[0] + np.arange(len(mosaic.pixels)) for mosaic in mosaics])
    images = np.concatenate([mosaic.pixels for mosaic in mosaics])
    order = [int(n) for n in np.argsort(z, kind="stable") if (images[n] != EMPTY).any()]
    return Stack(region, z[order], images[order])


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
    """Mean correlation of slices (N, N) that lie so many slices apart, from 1 on."""
    upper = np.triu_indices(len(z), 1)
    distances = z[upper[1]] - z[upper[0]]
    counts = np.bincount(distances)
    sums = np.bincount(distances, weights=matrix[upper])
    return {int(distance): float(sums[distance] / counts[distance]) for distance in np.flatnonzero(counts)}


def mean_decay(curves: Sequence[dict[int, float]]) -> dict[int, float]:
    """The mean over regions, at the distances that all of them have."""
    common = sorted(set.intersection(*map(set, curves)))
    return {distance: math.fsum(curve[distance] for curve in curves) / len(curves) for distance in common}


def reach(curve: dict[int, float], threshold: float = THRESHOLD) -> int | None:
    """The smallest distance at which the correlation is below the threshold; None where it stays above."""
    return min((distance for distance, value in curve.items() if value < threshold), default=None)


def describe(stacks: Sequence[Stack]) -> str:
    """After how many slices images are taken for different, and what is left of their correlation at the gap."""
    curves = {stack.region: decay(correlations(stack.images), stack.z) for stack in stacks}
    mean = mean_decay(list(curves.values()))
    parts = ", ".join(f"{region} {_slices(reach(curve))}" for region, curve in curves.items())
    gap = f"; at {GAP} slices it is {mean[GAP]:.2f}" if GAP in mean else ""
    return f"mean correlation below {THRESHOLD:g} after {_slices(reach(mean))} slices ({parts}){gap}"


def _slices(distance: int | None) -> str:
    return "no number of" if distance is None else str(distance)


def draw_correlations(stacks: Sequence[Stack], title: str) -> Figure:
    """A close-up of the first region, all regions together, each by itself, and the decay with distance.

    Args:
        stacks: One per region, the cortex first.
        title: Of the figure.
    """
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
    """One matrix, a row for each slice that there is; lines where many are missing."""
    picture = axis.imshow(matrix, cmap="magma", vmin=0, vmax=1, interpolation="nearest")
    for place in np.flatnonzero(np.diff(z) > _JUMP):
        axis.axhline(place + 0.5, color="white", lw=0.7)
        axis.axvline(place + 0.5, color="white", lw=0.7)
    ticks = np.linspace(0, len(z) - 1, min(_TICKS, len(z))).round().astype(int)
    axis.set_xticks(ticks, z[ticks])
    axis.set_yticks(ticks, z[ticks])
    axis.set_title(title, fontsize=10)
    axis.set_xlabel("slice z", fontsize=9)
    axis.tick_params(labelsize=8)
    return picture


def _draw_all(axis: Any, stacks: Sequence[Stack]) -> None:
    """The matrix of the slices of all regions, one region after the other."""
    images = np.concatenate([stack.images for stack in stacks])
    axis.imshow(correlations(images), cmap="magma", vmin=0, vmax=1, interpolation="nearest")
    ends = np.cumsum([len(stack.z) for stack in stacks])
    middles = ends - np.array([len(stack.z) for stack in stacks]) / 2
    for end in ends[:-1]:
        axis.axhline(end - 0.5, color="white", lw=0.5)
        axis.axvline(end - 0.5, color="white", lw=0.5)
    axis.set_xticks(middles, [stack.region for stack in stacks], fontsize=8)
    axis.set_yticks(middles, [stack.region for stack in stacks], fontsize=8)
    axis.set_title("all slices", fontsize=10)


def _draw_decay(axis: Any, stacks: Sequence[Stack], matrices: Sequence[Matrix]) -> None:
    """Mean correlation against the distance of slices."""
    curves = [decay(matrix, stack.z) for matrix, stack in zip(matrices, stacks, strict=True)]
    for number, (stack, curve) in enumerate(zip(stacks, curves, strict=True)):
        axis.plot(list(curve), list(curve.values()), lw=1, color=_COLOURS[number % len(_COLOURS)], label=stack.region)
    mean = mean_decay(curves)
    axis.plot(list(mean), list(mean.values()), lw=2.4, color="black", label="mean")
    axis.axhline(THRESHOLD, color="#888888", lw=0.8, ls="--")
    axis.axvline(GAP, color="#888888", lw=0.8, ls=":", label="gap of the splits")
    axis.set(xscale="log", xlabel="distance, slices", ylabel="mean correlation", ylim=(min([0, *mean.values()]), 1))
    axis.set_title("decay", fontsize=10)
    axis.legend(frameon=False, fontsize=9)
