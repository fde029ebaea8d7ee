from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtneuro_ray.data.windows import BlockPlan, WindowGrid
from mtneuro_ray.roi import Roi, Shape

sides = st.tuples(*[st.integers(1, 40)] * 3)
windows = st.tuples(*[st.integers(1, 17)] * 3)


@settings(max_examples=40)
@given(sides, windows, st.floats(0, 0.9))
def test_windows_cover_the_box_and_lie_where_monai_has_them(extent: Shape, window: Shape, overlap: float) -> None:
    utils = pytest.importorskip("monai.data.utils")
    grid = WindowGrid.of(extent, window, overlap)
    padded = [max(sides) for sides in zip(extent, window, strict=True)]
    steps = [max(1, int(side * (1 - overlap))) for side in window]
    slices = utils.dense_patch_slices(padded, window, steps)
    every = [(z, y, x) for z, y, x in itertools.product(*(range(grid.count(axis)) for axis in range(3)))]
    before = [-(max(0, w - n) // 2) for w, n in zip(window, extent, strict=True)]
    assert [grid.start(index) for index in every] == [
        tuple(part.start + shift for part, shift in zip(own, before, strict=True)) for own in slices
    ]


@given(sides, windows, st.floats(0, 0.9), st.data())
def test_windows_that_touch_a_part_are_found(extent: Shape, window: Shape, overlap: float, data: st.DataObject) -> None:
    grid = WindowGrid.of(extent, window, overlap)
    low = [data.draw(st.integers(0, side - 1)) for side in extent]
    shape = [data.draw(st.integers(1, side - start)) for start, side in zip(low, extent, strict=True)]
    roi = Roi.at(low, shape)
    every = [(z, y, x) for z, y, x in itertools.product(*(range(grid.count(axis)) for axis in range(3)))]
    expected = [
        index
        for index in every
        if all(
            start < high and start + side > first
            for start, side, (first, high) in zip(grid.start(index), window, roi.ranges, strict=True)
        )
    ]
    assert list(grid.indices(roi)) == expected


@given(sides, windows, st.tuples(*[st.integers(1, 9)] * 3), st.integers(1, 4000), st.integers(1, 5))
def test_blocks_tile_the_box_and_rows_keep_their_order(
    extent: Shape, window: Shape, chunk: Shape, most: int, length: int
) -> None:
    plan = BlockPlan.of(WindowGrid.of(extent, window, 0.5), chunk, most)
    assert math.prod(plan.block) <= max(most, math.prod(chunk))
    assert all(side % step == 0 for side, step in zip(plan.block, chunk, strict=True))
    seen = np.zeros(extent, int)
    blocks = list(plan.blocks())
    for block in blocks:
        assert all(start % step == 0 for start, step in zip(block.origin, chunk, strict=True))
        seen[block.slices] += 1
    assert (seen == 1).all()
    rows = plan.rows(blocks, length)
    assert [block for row in rows for block in row] == blocks
    assert max(map(len, rows)) <= length
    for row in rows:
        for first, second in itertools.pairwise(row):
            assert first.ranges[plan.axis][1] == second.ranges[plan.axis][0]


def test_blocks_grow_where_most_windows_would_be_computed_twice() -> None:
    flat = BlockPlan.of(WindowGrid.of((1000, 5000, 5000), (1, 128, 128), 0.5), (8, 256, 256), 2**23)
    assert (flat.block, flat.axis) == ((8, 1024, 1024), 2)
    deep = BlockPlan.of(WindowGrid.of((1000, 5000, 5000), (32, 64, 64), 0.5), (32, 128, 128), 2**23)
    assert deep.block == (128, 256, 256)
    # A box that one block covers stays whole.
    assert len(list(BlockPlan.of(WindowGrid.of((8, 200, 200), (1, 128, 128), 0.5), (8, 256, 256), 2**23).blocks())) == 1
