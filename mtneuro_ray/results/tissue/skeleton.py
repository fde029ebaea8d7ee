"""Length of thin structures by their skeleton: thinning to lines of voxels, which are smoothed and measured."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from skimage.morphology import skeletonize

from mtneuro_ray.roi import Roi

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Step = tuple[int, int, int]

HALO = 16
"""Voxels round a block that are thinned with it, so that its cut faces do not move the skeleton inside."""

# One of each pair of opposite steps between the 26 neighbours of a voxel.
_SIDES = (-1, 0, 1)
_STEPS: list[Step] = [s for s in itertools.product(_SIDES, _SIDES, _SIDES) if s > (0, 0, 0)]
# Rounds of smoothing, each of which reaches one voxel further: fewer than the halo.
_ROUNDS = 4


def grown(box: Roi, domain: Roi) -> Roi:
    """A box with its halo, as far as the volume reaches."""
    pairs = zip(box.ranges, domain.ranges, strict=True)
    return Roi(*((max(first, low - HALO), min(last, high + HALO)) for (low, high), (first, last) in pairs))


def lengths(mask: Mask, inner: tuple[slice, slice, slice], spacing: tuple[float, float, float]) -> tuple[Ints, Floats]:
    """Steps of the skeleton that begin in the inner part of a mask, and the length of each.

    Args:
        mask: (Z, Y, X) voxels of the structure in a block and its halo.
        inner: Place of the block in it.
        spacing: Sides of a voxel, z, y, x.

    Returns:
        (M, 3) first voxels of the steps, z, y, x in the block, and (M,) lengths in the unit of `spacing`.
    """
    if not mask[inner].any():
        return np.empty((0, 3), np.int64), np.empty(0)
    thin: Any = skeletonize  # has no types
    places, steps = _graph(thin(mask).astype(bool))
    smooth = _smoothed(places * np.array(spacing), steps)
    first = places[steps[:, 0]] - [s.start for s in inner]
    here = np.all((first >= 0) & (first < [s.stop - s.start for s in inner]), axis=1)
    one, other = steps[here].T
    return first[here], np.linalg.norm(smooth[one] - smooth[other], axis=1)


def _graph(skeleton: Mask) -> tuple[Ints, Ints]:
    """Voxels of a skeleton (N, 3), and the steps between neighbours as pairs of their numbers (M, 2).

    A diagonal step is left out where the skeleton has the shorter steps that lead to the same voxel.
    """
    number = np.full([side + 2 for side in skeleton.shape], -1)  # with a frame, so that all have their neighbours
    places = np.argwhere(skeleton)
    framed = places + 1
    number[tuple(framed.T)] = np.arange(len(places))
    steps = []
    for step in _STEPS:
        other = number[tuple((framed + step).T)]
        linked = other >= 0
        for part in itertools.product(*({0, s} for s in step)):
            if any(part) and part != step:
                linked &= number[tuple((framed + part).T)] < 0
        steps.append(np.stack([np.flatnonzero(linked), other[linked]], axis=1))
    return places, np.concatenate(steps)


def _smoothed(points: Floats, steps: Ints) -> Floats:
    """Points of a skeleton, each moved towards its two neighbours: a line of voxels zigzags and would be too long.

    Ends and branchings stay where they are.
    """
    one, other = np.concatenate([steps, steps[:, ::-1]]).T
    linked = sparse.csr_array((np.full(len(one), 0.25), (one, other)), shape=(len(points), len(points)))
    between = np.bincount(one, minlength=len(points)) == 2
    for _ in range(_ROUNDS):
        points = np.where(between[:, None], points / 2 + linked @ points, points)
    return points
