"""Resampling: against SciPy, any cutting the same voxels, and places in micrometers that stay where they were."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Roi, Shape
from mtneuro_ray.volumes import resampled as module
from mtneuro_ray.volumes.address_options import Micrometers
from mtneuro_ray.volumes.resampled import resampled
from mtneuro_ray.volumes.source import VolumeSource, Voxels, open_volume
from tests.volumes import writers
from tests.volumes.conftest import random_volume
from tests.volumes.sources import MemoryVolume

SHAPE = (9, 20, 31)
OWN: Micrometers = (4.0, 2.0, 1.0)


def volume(dtype: str = "uint16", size: Micrometers | None = OWN, seed: int = 0) -> MemoryVolume:
    source = MemoryVolume(random_volume(seed, dtype, SHAPE), f"{dtype} {seed}")
    source.voxel_size_um = size
    return source


def read_all(source: VolumeSource) -> Voxels:
    return source.read(Roi.at((0, 0, 0), source.shape))


def middles(
    source: VolumeSource, shape: Shape, target: Micrometers
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Places of the target's voxels in voxels of the source, (3, Z, Y, X)."""
    assert source.voxel_size_um is not None
    factors = [wanted / own for wanted, own in zip(target, source.voxel_size_um, strict=True)]
    axes = [(np.arange(length) + 0.5) * factor - 0.5 for length, factor in zip(shape, factors, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


@pytest.mark.parametrize("target", [(1.0, 1.0, 1.0), (4.0, 4.0, 4.0), (3.1, 2.7, 1.9), (8.0, 0.7, 1.0)])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_grey_values_are_scipys(dtype: str, target: Micrometers) -> None:
    source = volume(dtype)
    found = resampled(source, target, nearest=False)
    expected = ndimage.map_coordinates(
        source._voxels.astype(float), middles(source, found.shape, target), order=1, mode="nearest"
    )
    assert found.dtype == dtype
    np.testing.assert_allclose(read_all(found), expected, rtol=1e-5, atol=0.5 + 1e-6 if dtype != "float32" else 1e-3)


@pytest.mark.parametrize("target", [(1.0, 1.0, 1.0), (3.1, 2.7, 1.9), (12.0, 5.0, 3.0)])
def test_labels_are_those_of_the_voxel_that_holds_the_middle(target: Micrometers) -> None:
    source = volume("uint64")
    found = resampled(source, target, nearest=True)
    places = np.floor(middles(source, found.shape, target) + 0.5).astype(int)
    z, y, x = (np.clip(place, 0, side - 1) for place, side in zip(places, SHAPE, strict=True))
    np.testing.assert_array_equal(read_all(found), source._voxels[z, y, x])


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(*[st.floats(0.2, 9)] * 3),
    st.booleans(),
    st.sampled_from(["uint8", "float32", "float64"]),
    st.data(),
)
def test_any_box_is_a_part_of_the_whole(target: Micrometers, nearest: bool, dtype: str, data: st.DataObject) -> None:
    found = resampled(volume(dtype), target, nearest)
    spans = [sorted(data.draw(st.sets(st.integers(0, side), min_size=2, max_size=2))) for side in found.shape]
    z, y, x = ((int(low), int(high)) for low, high in spans)
    box = Roi(z, y, x)
    np.testing.assert_array_equal(found.read(box), read_all(found)[box.slices])


def test_a_large_box_is_read_in_parts_of_the_same_voxels(monkeypatch: pytest.MonkeyPatch) -> None:
    found = resampled(volume(), (3.0, 3.0, 3.0), nearest=False)
    whole = read_all(found)
    largest: list[int] = []
    read = MemoryVolume.read

    def spy(self: MemoryVolume, roi: Roi) -> Voxels:
        largest.append(roi.num_voxels)
        return read(self, roi)

    monkeypatch.setattr(module, "MOST_SOURCE_VOXELS", 500)
    monkeypatch.setattr(MemoryVolume, "read", spy)
    np.testing.assert_array_equal(read_all(found), whole)
    assert max(largest) <= 500


def test_what_a_resampled_volume_says() -> None:
    source = volume()
    source.origin_um = (10.0, 0.0, 0.0)
    found = resampled(source, (2.0, 2.0, 2.0), nearest=False)
    assert found.shape == (18, 20, 16)
    assert found.voxel_size_um == (2.0, 2.0, 2.0)
    # The outer corner stays: 10 - 4 / 2 = 9 + ... - 2 / 2.
    assert found.origin_um == (9.0, 0.0, 0.5)
    assert found.identity != resampled(source, (2.0, 2.0, 2.0), nearest=True).identity != source.identity
    again = pickle.loads(pickle.dumps(found))
    assert again.identity == found.identity
    np.testing.assert_array_equal(read_all(again), read_all(found))
    assert resampled(source, OWN, nearest=False) is source


def test_neighbours_without_weight_have_no_part() -> None:
    source = volume("float32")
    source._voxels[:, :, 1] = np.nan
    source._voxels[:, :, 2] = np.inf
    found = read_all(resampled(source, (4.0, 2.0, 3.0), nearest=False))
    assert np.isnan(found[..., 0]).all()
    np.testing.assert_array_equal(found[..., 1], source._voxels[..., 4])


def test_a_volume_with_an_offset_keeps_it(tmp_path: Path) -> None:
    truth = random_volume(0, "uint16", SHAPE)
    source = open_volume(writers.write_precomputed(tmp_path, truth) + "?voxel_size=1")
    found = resampled(source, (2.0, 2.0, 2.0), nearest=True)
    assert (found.shape, str(found.domain)) == ((6, 11, 16), "z1-6_y1-11_x0-16")
    np.testing.assert_array_equal(found.read(found.domain), truth[::2, 1::2, ::2])
    with pytest.raises(InputError, match="leaves the volume's domain"):
        found.read(Roi((0, 6), (1, 11), (0, 16)))


def test_channels_are_resampled_one_by_one(tmp_path: Path) -> None:
    data = random_volume(0, "uint8", (2, *SHAPE))
    np.save(tmp_path / "x.npy", data)
    source = open_volume(f"file:{tmp_path}/x.npy?axes=czyx&voxel_size=1")
    found = resampled(source, (1.0, 2.0, 2.0), nearest=True)
    assert found.num_channels == 2
    np.testing.assert_array_equal(read_all(found.channel(1))[..., :15], data[1, :, 1::2, 1::2])


def test_unknown_and_impossible_sizes_are_refused() -> None:
    with pytest.raises(InputError, match=r"voxel_size: is not known; accepted: \?voxel_size=Z,Y,X"):
        resampled(volume(size=None), (1.0, 1.0, 1.0), nearest=False)
    with pytest.raises(InputError, match="accepted: micrometers above 0"):
        resampled(volume(), (0.0, 1.0, 1.0), nearest=False)
