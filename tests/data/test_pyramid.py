from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mtneuro_ray.data.pyramid import Level, levels_of, reduced
from mtneuro_ray.roi import Roi


@given(
    st.tuples(*[st.integers(0, 3)] * 3),
    st.tuples(*[st.integers(1, 7)] * 3),
    st.tuples(*[st.sampled_from([1, 2])] * 3),
    st.booleans(),
)
def test_a_pixel_is_the_mode_or_the_mean_of_those_that_it_covers(
    offset: tuple[int, int, int], shape: tuple[int, int, int], steps: tuple[int, int, int], classes: bool
) -> None:
    pixels = np.random.default_rng(1).integers(0, 4 if classes else 256, shape, np.uint8)
    fine = Level((1, 1, 1), offset, shape)
    low = [first // step for first, step in zip(offset, steps, strict=True)]
    high = [-(-(first + side) // step) for first, side, step in zip(offset, shape, steps, strict=True)]
    size = [b - a for a, b in zip(low, high, strict=True)]
    coarse = Level(steps, (low[0], low[1], low[2]), (size[0], size[1], size[2]))
    for index in itertools.product(*(range(side) for side in size)):
        covered = tuple(
            slice(max(0, (first + at) * step - start), (first + at + 1) * step - start)
            for at, first, step, start in zip(index, low, steps, offset, strict=True)
        )
        own = pixels[covered].ravel()
        expected = np.bincount(own).argmax() if classes else np.floor(own.mean(dtype=np.float64) + 0.5)
        roi, lacking = coarse.finer(Roi.at(index, (1, 1, 1)), fine)
        assert reduced(pixels[roi.slices], lacking, steps, classes=classes) == [[[expected]]]
    # However it is cut.
    roi, lacking = coarse.finer(Roi.at((0, 0, 0), coarse.shape), fine)
    whole = reduced(pixels[None], [*lacking], steps, classes=classes)
    assert whole.shape == (1, *coarse.shape)


def test_levels_make_pixels_cubes_first_and_end_small() -> None:
    levels = levels_of((3, 5, 8), (100, 1000, 1001), (5.0, 1.0, 1.0))
    assert [level.factor for level in levels] == [(1, 1, 1), (1, 2, 2), (1, 4, 4)]
    assert [level.offset for level in levels] == [(3, 5, 8), (3, 2, 4), (3, 1, 2)]
    assert [level.shape for level in levels] == [(100, 1000, 1001), (100, 501, 501), (100, 251, 251)]
    assert len(levels_of((0, 0, 0), (64, 200, 256), (1.0, 1.0, 1.0))) == 1
