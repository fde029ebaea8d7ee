from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from mtneuro_ray.results.tissue.components import ComponentFinder, Components
from mtneuro_ray.roi import Roi, Shape

ALL = np.ones((3, 3, 3), bool)
sides = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))


def found(box: Roi, block: Shape, whole: np.ndarray, order: list[int] | None = None) -> Components:
    finder = ComponentFinder(box, block)
    blocks = list(box.split(block))
    for number in order or range(len(blocks)):
        finder.add(blocks[number], whole[blocks[number].slices])
    return finder.finish()


@settings(max_examples=150, deadline=None)
@given(shape=sides, block=sides, density=st.floats(0.02, 0.7), seed=st.integers(0, 10**6), shuffled=st.booleans())
def test_components_are_those_of_the_whole_however_it_is_cut(
    shape: Shape, block: Shape, density: float, seed: int, shuffled: bool
) -> None:
    random = np.random.default_rng(seed)
    origin = random.integers(0, 3, 3)
    whole = random.random(origin + shape) < density
    box = Roi.at(origin.tolist(), shape)
    order = random.permutation(len(list(box.split(block)))).tolist() if shuffled else None
    components = found(box, block, whole, order)

    labels, count = ndimage.label(whole[box.slices], ALL)
    numbers = range(1, count + 1)
    assert len(components) == count
    np.testing.assert_array_equal(components.voxels, np.bincount(labels.ravel(), minlength=count + 1)[1:])
    if count:
        centres = np.array(ndimage.center_of_mass(labels > 0, labels, numbers)) + origin
        np.testing.assert_allclose(components.centroids, centres, rtol=0, atol=1e-9)
    inside = labels[1:-1, 1:-1, 1:-1]
    faces = np.ones(labels.shape, bool)
    faces[1:-1, 1:-1, 1:-1] = False
    assert inside.size < labels.size
    at_border = np.isin(np.arange(1, count + 1), labels[faces])
    np.testing.assert_array_equal(components.at_border, at_border)


@settings(max_examples=30, deadline=None)
@given(block=st.tuples(*[st.integers(2, 9)] * 3), seed=st.integers(0, 10**6))
def test_a_component_belongs_to_the_region_of_most_of_its_voxels(block: Shape, seed: int) -> None:
    random = np.random.default_rng(seed)
    whole = random.random((6, 7, 8)) < 0.25
    regions = random.integers(0, 3, whole.shape)
    box, rank = Roi.at((0, 0, 0), (6, 7, 8)), np.array([2, 0, 1])
    finder = ComponentFinder(box, block)
    for part in box.split(block):
        finder.add(part, whole[part.slices], regions[part.slices])
    labels, count = ndimage.label(whole, ALL)
    for number, region in zip(range(1, count + 1), finder.finish(rank).regions, strict=True):
        counts = np.bincount(regions[labels == number], minlength=3)
        # Of equals, the first in rank.
        assert region == min(range(3), key=lambda index: (-counts[index], rank[index]))


def test_a_line_through_many_blocks_is_one_component_and_a_gap_makes_two() -> None:
    whole = np.zeros((40, 40, 40), bool)
    steps = np.arange(40)
    whole[steps, steps, steps] = True
    box = Roi.at((0, 0, 0), (40, 40, 40))
    assert found(box, (4, 4, 4), whole).voxels.tolist() == [40]
    whole[20, 20, 20] = False
    assert found(box, (4, 4, 4), whole).voxels.tolist() == [20, 19]


def test_nothing_is_found_in_nothing() -> None:
    components = found(Roi.at((0, 0, 0), (3, 3, 3)), (2, 2, 2), np.zeros((3, 3, 3), bool))
    assert len(components) == 0
    assert components.centroids.shape == (0, 3)
