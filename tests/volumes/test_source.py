"""What every volume must do, whatever it is read from."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.source import OPENERS, VolumeSource, open_volume, scheme_of
from tests.data.conftest import TOKEN, Case


@pytest.fixture(scope="module")
def source(case: Case) -> VolumeSource:
    return open_volume(case.uri)


@st.composite
def boxes(draw: st.DrawFn, within: Roi) -> Roi:
    """Any box of at least one voxel inside another."""
    ranges = []
    for lo, hi in within.ranges:
        start = draw(st.integers(lo, hi - 1))
        ranges.append((start, draw(st.integers(start + 1, hi))))
    return Roi(*ranges)


def assert_holds(source: VolumeSource, box: Roi, case: Case) -> None:
    voxels = source.read(box)
    assert voxels.dtype == source.dtype
    assert voxels.flags.c_contiguous
    np.testing.assert_array_equal(voxels, case.truth[box.slices_within(case.where)])


def test_shape_and_type(source: VolumeSource, case: Case) -> None:
    assert source.shape == case.shape
    assert all(type(n) is int for n in source.shape)
    assert source.dtype == case.truth.dtype
    assert source.dtype.kind == "u"
    assert source.dtype.isnative


def test_whole_read_is_the_truth(source: VolumeSource, case: Case) -> None:
    assert_holds(source, case.where, case)


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_any_box_is_a_slice_of_the_truth(source: VolumeSource, case: Case, data: st.DataObject) -> None:
    assert_holds(source, data.draw(boxes(case.where)), case)


def test_what_is_read_belongs_to_the_reader(source: VolumeSource, case: Case) -> None:
    voxels = source.read(case.where)
    assert voxels.flags.writeable
    voxels[:] = 0
    assert_holds(source, case.where, case)


@pytest.mark.parametrize("axis", range(3))
def test_box_outside_names_box_and_volume(source: VolumeSource, case: Case, axis: int) -> None:
    ranges = list(case.where.ranges)
    ranges[axis] = (ranges[axis][0], case.shape[axis] + 1)
    box = Roi(*ranges)
    with pytest.raises(InputError) as caught:
        source.read(box)
    assert str(box) in str(caught.value)
    assert source.uri in str(caught.value)


def test_pickled_source_reads_the_same(source: VolumeSource, case: Case) -> None:
    again = pickle.loads(pickle.dumps(source))
    assert (again.uri, again.identity, again.shape) == (source.uri, source.identity, source.shape)
    assert_holds(again, case.where, case)


def test_copied_source_reads_the_same(source: VolumeSource, case: Case) -> None:
    assert_holds(copy.deepcopy(source), case.where, case)


def test_threads_may_share_a_source(case: Case) -> None:
    source = open_volume(case.uri)
    # Thin boxes, so that every thread has its own part and all of them open the volume at once.
    parts = list(case.where.split((2, 7, 16)))
    with ThreadPoolExecutor(4) as pool:
        for box, voxels in zip(parts, pool.map(source.read, parts), strict=True):
            np.testing.assert_array_equal(voxels, case.truth[box.slices_within(case.where)])


def test_identity_names_the_data(source: VolumeSource, case: Case) -> None:
    assert open_volume(case.uri).identity == source.identity
    assert open_volume(case.other_uri).identity != source.identity


def test_canonical_address_opens_the_same_volume(source: VolumeSource) -> None:
    again = open_volume(source.uri)
    assert (again.uri, again.identity) == (source.uri, source.identity)


def test_nothing_shown_holds_a_token(source: VolumeSource) -> None:
    for shown in (source.uri, source.identity, repr(source), str(vars(source)), repr(pickle.dumps(source))):
        assert TOKEN not in shown


@given(st.text(max_size=20))
def test_unknown_schemes_name_the_known_ones(uri: str) -> None:
    if uri.partition(":")[0] in OPENERS and ":" in uri:
        assert scheme_of(uri) in OPENERS
        return
    with pytest.raises(InputError, match="accepted: phantom, bossdb, file"):
        scheme_of(uri)
