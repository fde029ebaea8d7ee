from __future__ import annotations

import numpy as np
import pytest

from mtneuro_ray.results.tissue.skeleton import HALO, grown, lengths
from mtneuro_ray.roi import Roi

CUBE = (1.0, 1.0, 1.0)


def tube(
    shape: tuple[int, int, int], start: np.ndarray, stop: np.ndarray, radius: float, spacing: np.ndarray
) -> np.ndarray:
    """Voxels within `radius` of a line segment, all in the unit of `spacing`."""
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1) * spacing
    along = stop - start
    part = np.clip(((places - start) @ along) / (along @ along), 0, 1)
    mask: np.ndarray = ((places - (start + part[..., None] * along)) ** 2).sum(axis=-1) < radius**2
    return mask


def whole(mask: np.ndarray, spacing: tuple[float, float, float] = CUBE) -> float:
    full = (slice(0, mask.shape[0]), slice(0, mask.shape[1]), slice(0, mask.shape[2]))
    return float(lengths(mask, full, spacing)[1].sum())


@pytest.mark.parametrize(("spacing", "off"), [(CUBE, 0.01), ((5.0, 1.0, 1.0), 0.1)])
def test_lines_of_voxels_have_their_length(spacing: tuple[float, float, float], off: float) -> None:
    random, ratios = np.random.default_rng(0), []
    for direction in random.normal(size=(30, 3)):
        # The digital line of a segment of length 60: one step of the longest axis after the other.
        moved = 60 * np.abs(direction) / np.linalg.norm(direction) / spacing
        points = np.rint(np.linspace(0, 1, int(moved.max().round()) + 1)[:, None] * moved).astype(int)
        mask = np.zeros(points[-1] + 1, bool)
        mask[tuple(points.T)] = True
        ratios.append(whole(mask, spacing) / np.linalg.norm(points[-1] * spacing))
    # Without smoothing it would be 1.10, and 1.22 for flat voxels.
    assert np.mean(ratios) == pytest.approx(1, abs=off / 2)
    assert max(ratios) < 1 + off
    straight = np.zeros((3, 3, 50), bool)
    straight[1, 1, 5:45] = True
    assert whole(straight, (4.0, 2.0, 0.5)) == pytest.approx(39 * 0.5)


@pytest.mark.parametrize("radius", [8, 12, 20])
def test_a_circle_has_its_length(radius: int) -> None:
    angle = np.linspace(0, 2 * np.pi, 2000)
    mask = np.zeros((3, 50, 50), bool)
    mask[1, np.rint(25 + radius * np.sin(angle)).astype(int), np.rint(25 + radius * np.cos(angle)).astype(int)] = True
    assert whole(mask) == pytest.approx(2 * np.pi * radius, rel=0.02)


@pytest.mark.parametrize("spacing", [CUBE, (3.0, 1.0, 1.0)])
def test_a_tube_has_the_length_of_its_middle_line(spacing: tuple[float, float, float]) -> None:
    random, ratios = np.random.default_rng(1), []
    shape = tuple((48 / np.array(spacing)).astype(int).tolist())
    middle = np.array(shape) // 2 * spacing
    inner = tuple(slice(int((m - 12) / side), int((m + 12) / side)) for m, side in zip(middle, spacing, strict=True))
    for direction in random.normal(size=(12, 3)):
        # The part of the line in a box of 24 about the middle.
        within = 24 / np.abs(direction / np.linalg.norm(direction)).max()
        reach = 22 * direction / np.abs(direction).max()
        mask = tube(shape, middle - reach, middle + reach, 3.0, np.array(spacing))
        ratios.append(lengths(mask, (inner[0], inner[1], inner[2]), spacing)[1].sum() / within)
    assert np.mean(ratios) == pytest.approx(1, abs=0.04)
    assert np.std(ratios) < 0.08


def test_the_length_of_a_cross_is_that_of_its_lines() -> None:
    mask = np.zeros((5, 21, 21), bool)
    mask[2, 10, :] = mask[2, :, 10] = True
    # Two lines of 20 steps; at the crossing no diagonal is counted beside the steps that it cuts short.
    assert whole(mask) == pytest.approx(40)


def test_blocks_have_the_length_of_the_whole() -> None:
    random = np.random.default_rng(2)
    shape = (60, 70, 80)
    mask = np.zeros(shape, bool)
    for _ in range(20):
        start, stop = random.random((2, 3)) * shape
        mask |= tube(shape, start, stop, 2.5, np.ones(3))
    box = Roi.at((0, 0, 0), shape)
    total = 0.0
    for block in box.split((30, 35, 40)):
        outer = grown(block, Roi.at((0, 0, 0), shape))
        total += float(lengths(mask[outer.slices], block.slices_within(outer), CUBE)[1].sum())
    assert total == pytest.approx(whole(mask), rel=0.01)


def test_a_halo_ends_with_the_volume() -> None:
    assert grown(Roi((0, 10), (50, 60), (20, 90)), Roi((0, 64), (0, 64), (0, 96))) == Roi(
        (0, 10 + HALO), (50 - HALO, 64), (4, 96)
    )
