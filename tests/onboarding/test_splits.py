from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtneuro_ray.config.task import SPLITS
from mtneuro_ray.onboarding.splits import Plan, count_tiles, plan_splits, shrunk
from mtneuro_ray.roi import Roi, Shape

ORIGIN = (0, 0, 0)


def counts_of(labels: np.ndarray, classes: int = 2) -> list[np.ndarray]:
    masks = [labels == n for n in range(classes)]
    return [np.stack([mask.sum(axis=others) for mask in masks], axis=1) for others in ((1, 2), (0, 2), (0, 1))]


def truth(labels: np.ndarray, plan: Plan, split: str) -> np.ndarray:
    return np.concatenate([labels[box.slices].ravel() for name, box in plan.parts if name == split])


@given(
    st.tuples(st.integers(1, 40), st.integers(8, 90), st.integers(8, 90)),
    st.tuples(st.integers(1, 4), st.sampled_from([8, 16]), st.sampled_from([8, 16])),
    st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)),
)
def test_parts_hold_whole_images_and_lie_a_gap_apart(shape: Shape, tile: Shape, gaps: Shape) -> None:
    bounds = Roi.at(ORIGIN, shape)
    counts = counts_of(np.random.default_rng(0).integers(0, 2, shape))
    plan = plan_splits(bounds, tile, gaps, counts, ORIGIN)
    if plan is None:
        room = [side - 2 * min(gap, 1) >= 3 * step for side, step, gap in zip(shape, tile, gaps, strict=True)]
        fits = [side >= step for side, step in zip(shape, tile, strict=True)]
        assert not (any(room) and all(fits))
        return
    assert {split for split, _ in plan.parts} == {*SPLITS}
    boxes = [box for _, box in plan.parts]
    for box in boxes:
        assert box.intersection(bounds) == box
        assert all(side % step == 0 for side, step in zip(box.shape, tile, strict=True))
        assert count_tiles(box, tile) > 0
    for before, after in itertools.pairwise(boxes):
        assert after.ranges[plan.axis][0] - before.ranges[plan.axis][1] == plan.gap
    assert plan.gap in {gaps[plan.axis], max(1, gaps[plan.axis] // 2), 1}


def test_every_class_is_in_every_split_where_an_axis_allows_it() -> None:
    # Class 1 lies in the first third of x alone: only a cut along z or y has it in all splits.
    labels = np.zeros((30, 64, 64), int)
    labels[:, :, :20] = np.random.default_rng(0).integers(0, 2, (30, 64, 20))
    plan = plan_splits(Roi.at(ORIGIN, labels.shape), (1, 16, 16), (4, 4, 4), counts_of(labels), ORIGIN)
    assert plan is not None
    assert plan.missing() == []
    assert plan.axis != 2
    for split in SPLITS:
        assert set(truth(labels, plan, split)) == {0, 1}


def test_parts_are_ordered_so_that_rare_classes_are_shared_out() -> None:
    labels = np.zeros((60, 16, 16), int)
    labels[25:35] = 1  # one place along z, which three parts have to share
    plan = plan_splits(Roi.at(ORIGIN, labels.shape), (1, 16, 16), (1, 1, 1), counts_of(labels), ORIGIN)
    assert plan is not None
    lacking = {split for split, _ in plan.missing()}
    assert len(lacking) <= 1
    for split in SPLITS:
        assert (1 in truth(labels, plan, split)) == (split not in lacking)


def test_a_volume_without_room_has_no_plan() -> None:
    labels = np.zeros((2, 16, 16), int)
    assert plan_splits(Roi.at(ORIGIN, labels.shape), (1, 16, 16), (2, 2, 2), counts_of(labels), ORIGIN) is None


def test_shrinking_keeps_the_part_with_rare_classes() -> None:
    labels = np.zeros((16, 64, 256), int)
    labels[:, :, 200:210] = 1
    whole = Roi.at(ORIGIN, labels.shape)
    small = shrunk(whole, (1, 16, 16), labels.size // 4, counts_of(labels), ORIGIN)
    assert small.num_voxels <= labels.size // 4
    assert (labels[small.slices] == 1).any()
    assert shrunk(whole, (1, 16, 16), labels.size, counts_of(labels), ORIGIN) == whole


@pytest.mark.parametrize("offset", [0, 7])
def test_counts_start_at_the_origin_of_the_volume(offset: int) -> None:
    labels = np.random.default_rng(0).integers(0, 2, (24, 16, 16))
    bounds = Roi((offset, offset + 24), (0, 16), (0, 16))
    plan = plan_splits(bounds, (1, 16, 16), (2, 2, 2), counts_of(labels), (offset, 0, 0))
    assert plan is not None
    for split in SPLITS:
        parts = [labels[box.z[0] - offset : box.z[1] - offset] for name, box in plan.parts if name == split]
        assert [*np.bincount(np.concatenate(parts).ravel())] == [*plan.counts[split]]
