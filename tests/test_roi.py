import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtneuro_ray.roi import Roi, corners, overlapping_crops

SHAPE = (5, 6, 7)
large = st.tuples(st.integers(0, 10**6), st.integers(1, 10**6)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def ranges(size: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.sampled_from(list(itertools.combinations(range(size + 1), 2)))


boxes = st.builds(Roi, *(ranges(size) for size in SHAPE))


def painted(*rois: Roi) -> npt.NDArray[np.int64]:
    """How often each voxel of a small volume lies in one of the boxes."""
    volume = np.zeros(SHAPE, np.int64)
    for roi in rois:
        volume[roi.slices] += 1
    return volume


@given(st.builds(Roi, large, large, large))
def test_a_name_gives_back_its_box(roi: Roi) -> None:
    assert Roi.parse(str(roi)) == roi


def test_a_name_is_written_z_y_x() -> None:
    assert str(Roi((110, 126), (900, 1156), (4600, 4856))) == "z110-126_y900-1156_x4600-4856"


@given(boxes, boxes)
def test_minus_is_every_voxel_outside_the_other_once(a: Roi, b: Roi) -> None:
    pieces = a.minus(b)
    assert len(pieces) <= 6
    np.testing.assert_array_equal(painted(*pieces), painted(a) & ~painted(b) & 1)


@given(boxes, boxes)
def test_intersection_is_the_voxels_of_both(a: Roi, b: Roi) -> None:
    overlap = a.intersection(b)
    np.testing.assert_array_equal(painted(*([overlap] if overlap else [])), painted(a) & painted(b))


@given(boxes, st.tuples(*(st.integers(1, 4) for _ in "zyx")))
def test_split_tiles_the_box_by_chunks_that_are_small_enough(roi: Roi, chunk: tuple[int, int, int]) -> None:
    parts = list(roi.split(chunk))
    np.testing.assert_array_equal(painted(*parts), painted(roi))
    assert all(n <= most for part in parts for n, most in zip(part.shape, chunk, strict=True))


@given(boxes, boxes)
def test_slices_within_an_array_of_another_box_find_the_same_voxels(a: Roi, b: Roi) -> None:
    volume = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    inner = a.intersection(b)
    if inner is not None:
        np.testing.assert_array_equal(volume[b.slices][inner.slices_within(b)], volume[inner.slices])


@given(boxes)
def test_size_of_a_box(roi: Roi) -> None:
    assert painted(roi).sum() == roi.num_voxels == np.prod(roi.shape)
    assert Roi.at(roi.origin, roi.shape) == roi
    assert roi.within(SHAPE)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_box_that_ends_past_a_volume_is_not_within_it(axis: int) -> None:
    stops = list(SHAPE)
    stops[axis] += 1
    assert not Roi.at((0, 0, 0), stops).within(SHAPE)


@pytest.mark.parametrize("bad", [(3, 3), (4, 3), (-1, 3)])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_empty_reversed_and_negative_ranges_are_refused_by_axis(axis: int, bad: tuple[int, int]) -> None:
    wanted = [(0, 1), (0, 1), (0, 1)]
    wanted[axis] = bad
    with pytest.raises(ValueError, match=rf"^{'zyx'[axis]} range \[{bad[0]}, {bad[1]}\).*accepted: 0 <= start < stop"):
        Roi(*wanted)


@pytest.mark.parametrize("name", ["", "z0-1_y0-1", "x0-1_y0-1_z0-1", "z0-1_y0-1_x0-1.parquet", "z-1-1_y0-1_x0-1"])
def test_other_names_are_no_boxes(name: str) -> None:
    with pytest.raises(ValueError, match="names no box; accepted: zA-B_yC-D_xE-F"):
        Roi.parse(name)


def test_corners_are_named_row_by_row_and_touch_the_edges() -> None:
    image = np.arange(5 * 6).reshape(5, 6)
    upper_left, upper_right, lower_left, lower_right = (image[place].tolist() for place in corners(5, 6))
    assert upper_left == [[0, 1, 2], [6, 7, 8]]
    assert upper_right == [[3, 4, 5], [9, 10, 11]]
    assert lower_left == [[18, 19, 20], [24, 25, 26]]
    assert lower_right == [[21, 22, 23], [27, 28, 29]]


def test_overlapping_crops_step_by_half_of_their_sides_from_edge_to_edge() -> None:
    image = np.arange(8 * 5).reshape(8, 5)
    crops = [image[place] for place in overlapping_crops(8, 5)]
    assert [crop[0, 0] for crop in crops] == [5 * row + column for row in (0, 2, 4) for column in (0, 1, 3)]
    assert {crop.shape for crop in crops} == {(4, 2)}
    for crop, corner in zip([crops[n] for n in (0, 2, 6, 8)], corners(8, 5), strict=True):
        np.testing.assert_array_equal(crop, image[corner])
