"""Conformance tests that every volume scheme must pass; a plugin runs them on its own.

They are plain methods, so that this package does not need pytest::

    class TestMyScheme(VolumeConformance):
        @pytest.fixture
        def case(self, tmp_path):
            return VolumeCase(uri=..., other_uri=..., shape=..., where=..., truth=...)
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Roi, Shape
from mtneuro_ray.volumes.source import VolumeSource, Voxels, open_volume

_RANDOM_BOXES = 20


@dataclass(frozen=True)
class VolumeCase:
    """A volume to test.

    Attributes:
        uri: The volume.
        other_uri: A volume of the same scheme with other voxels.
        shape: Shape of the volume, z, y, x.
        where: A box of the volume with known voxels.
        truth: The voxels in that box, of the volume's type.
        secrets: Texts, such as tokens, that must appear in nothing that is logged, pickled or stored.
        several: Address of a volume with several channels; empty where the scheme has no such volumes.
        channels: The voxels of each of its channels in the box `where`.
        levels: All voxels of each resolution level of the volume, the finest first; empty where it has but one.
    """

    uri: str
    other_uri: str
    shape: Shape
    where: Roi
    truth: Voxels
    secrets: tuple[str, ...] = ()
    several: str = ""
    channels: tuple[Voxels, ...] = ()
    levels: tuple[Voxels, ...] = ()


class VolumeConformance:
    """The contract of `VolumeSource`, as test methods that take a fixture `case`, a `VolumeCase`."""

    def test_shape_and_type(self, case: VolumeCase) -> None:
        """Shape and type are those of the data, in plain Python integers and native byte order."""
        source = open_volume(case.uri)
        assert source.shape == case.shape
        assert all(type(side) is int for side in source.shape)
        assert source.dtype == case.truth.dtype
        assert source.dtype.kind in "biuf"
        assert source.dtype.isnative

    def test_any_box_is_a_slice_of_the_truth(self, case: VolumeCase) -> None:
        """The whole and random boxes of it, down to one voxel, hold the right voxels."""
        source = open_volume(case.uri)
        _check(source, case.where, case)
        rng = np.random.default_rng(0)
        for number in range(_RANDOM_BOXES):
            longest = [1 if number % 3 == 0 else stop - start for start, stop in case.where.ranges]
            sides = [int(rng.integers(1, side + 1)) for side in longest]
            origin = [
                int(rng.integers(start, stop - side + 1))
                for (start, stop), side in zip(case.where.ranges, sides, strict=True)
            ]
            _check(source, Roi.at(origin, sides), case)

    def test_voxels_belong_to_the_reader(self, case: VolumeCase) -> None:
        """Writing into what was read changes no later read."""
        source = open_volume(case.uri)
        voxels = source.read(case.where)
        assert voxels.flags.writeable
        voxels[:] = 0
        _check(source, case.where, case)

    def test_a_box_outside_is_one_line_with_box_and_volume(self, case: VolumeCase) -> None:
        """A box that leaves the volume along any axis is an `InputError`."""
        source = open_volume(case.uri)
        for axis in range(3):
            ranges = list(case.where.ranges)
            ranges[axis] = (ranges[axis][0], case.shape[axis] + 1)
            box = Roi(*ranges)
            message = "no error"
            try:
                source.read(box)
            except InputError as error:
                message = str(error)
            assert str(box) in message
            assert source.uri in message

    def test_copies_read_the_same(self, case: VolumeCase) -> None:
        """A pickled and a deeply copied source have the same identity and voxels."""
        source = open_volume(case.uri)
        for again in (pickle.loads(pickle.dumps(source)), copy.deepcopy(source)):
            assert (again.uri, again.identity, again.shape) == (source.uri, source.identity, source.shape)
            _check(again, case.where, case)

    def test_threads_may_share_a_source(self, case: VolumeCase) -> None:
        """Four threads that read thin boxes at once get the right voxels."""
        source = open_volume(case.uri)
        parts = list(case.where.split((2, 7, 16)))
        with ThreadPoolExecutor(4) as pool:
            for box, voxels in zip(parts, pool.map(source.read, parts), strict=True):
                np.testing.assert_array_equal(voxels, case.truth[box.slices_within(case.where)])

    def test_identity_names_the_data(self, case: VolumeCase) -> None:
        """One volume has one identity however often it is opened, another volume has another."""
        source = open_volume(case.uri)
        assert open_volume(case.uri).identity == source.identity
        assert open_volume(case.other_uri).identity != source.identity

    def test_canonical_address_opens_the_same_volume(self, case: VolumeCase) -> None:
        """`uri` is an address that opens the same volume from any folder."""
        source = open_volume(case.uri)
        again = open_volume(source.uri)
        assert (again.uri, again.identity) == (source.uri, source.identity)

    def test_channels(self, case: VolumeCase) -> None:
        """A volume of one channel is its channel 0; of one with several, each is a volume, and only they are read."""
        source = open_volume(case.uri)
        assert source.num_channels == 1
        assert source.channel(0).identity == source.identity
        assert "accepted: ?channel=0" in _error(lambda: source.channel(1))
        if not case.several:
            return
        whole = open_volume(case.several)
        assert whole.num_channels == len(case.channels)
        assert f"?channel=0 to {whole.num_channels - 1}" in _error(lambda: whole.read(case.where))
        assert "accepted: ?channel=0 to" in _error(lambda: whole.channel(whole.num_channels))
        found = [whole.channel(index) for index in range(whole.num_channels)]
        assert len({whole.identity, *(each.identity for each in found)}) == len(found) + 1
        for each, truth in zip(found, case.channels, strict=True):
            again = open_volume(each.uri)
            assert (again.num_channels, again.uri, again.identity) == (1, each.uri, each.identity)
            for one in (each, again, pickle.loads(pickle.dumps(each))):
                np.testing.assert_array_equal(one.read(case.where), truth)

    def test_levels(self, case: VolumeCase) -> None:
        """Each level is a volume of its own; the finest is the volume itself."""
        source = open_volume(case.uri)
        assert source.levels == max(1, len(case.levels))
        found = [open_volume(_with_level(case.uri, number)) for number in range(len(case.levels))]
        assert len({each.identity for each in found}) == len(found)
        assert all(each.identity == source.identity for each in found[:1])
        for each, truth in zip(found, case.levels, strict=True):
            assert (each.shape, each.levels) == (truth.shape, len(found))
            for one in (each, open_volume(each.uri), pickle.loads(pickle.dumps(each))):
                np.testing.assert_array_equal(one.read(Roi.at((0, 0, 0), truth.shape)), truth)
        if found:
            words = _error(lambda: open_volume(_with_level(case.uri, len(found))))
            assert f"level: {len(found)}; accepted: 0 to {len(found) - 1}" in words

    def test_nothing_shown_holds_a_secret(self, case: VolumeCase) -> None:
        """No token is in the address, the identity, the attributes or a pickle."""
        source = open_volume(case.uri)
        for shown in (source.uri, source.identity, repr(source), str(vars(source)), repr(pickle.dumps(source))):
            assert not any(secret in shown for secret in case.secrets)


def _check(source: VolumeSource, box: Roi, case: VolumeCase) -> None:
    voxels = source.read(box)
    assert voxels.dtype == source.dtype
    assert voxels.flags.c_contiguous
    np.testing.assert_array_equal(voxels, case.truth[box.slices_within(case.where)])


def _with_level(uri: str, number: int) -> str:
    return f"{uri}{'&' if '?' in uri else '?'}level={number}"


def _error(act: Callable[[], object]) -> str:
    """The message of the `InputError` that is raised; empty without one."""
    try:
        act()
    except InputError as error:
        return str(error)
    return ""
