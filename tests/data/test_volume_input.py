from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtneuro_ray.data.samples import area_average
from mtneuro_ray.data.volume_input import VolumeInput, at_voxel_size
from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.source import VolumeSource, Voxels, open_volume
from tests.settings import task_settings
from tests.volumes.writers import OFFSET, write_precomputed


class Array(VolumeSource):
    """A volume in memory."""

    def __init__(self, voxels: Voxels) -> None:
        self._voxels, self.shape, self.dtype = voxels, voxels.shape, voxels.dtype
        self.uri = self.identity = "array:"

    def _read(self, roi: Roi) -> Voxels:
        return self._voxels[roi.slices]


@given(
    st.tuples(*[st.integers(1, 6)] * 3),
    st.tuples(*[st.integers(-9, 5)] * 3),
    st.tuples(*[st.integers(1, 15)] * 3),
    st.integers(1, 2),
)
def test_what_lies_beyond_the_volume_is_its_mirror_image(
    shape: tuple[int, int, int], start: tuple[int, int, int], size: tuple[int, int, int], factor: int
) -> None:
    depth, height, width = shape
    voxels = np.random.default_rng(0).integers(0, 256, (depth, height * factor + factor - 1, width * factor), np.uint8)
    whole = area_average(voxels[:, : height * factor], factor)
    start = tuple(min(low, side - 1) for low, side in zip(start, shape, strict=True))  # type: ignore[assignment]
    before = [max(0, -low) for low in start]
    after = [max(0, low + n - side) for low, n, side in zip(start, size, shape, strict=True)]
    padded = whole
    for axis, pair in enumerate(zip(before, after, strict=True)):
        mode = "reflect" if shape[axis] > 1 else "edge"
        padded = np.pad(padded, [pair if other == axis else (0, 0) for other in range(3)], mode=mode)  # type: ignore[call-overload]
    first = [low + pad for low, pad in zip(start, before, strict=True)]
    expected = padded[tuple(slice(low, low + n) for low, n in zip(first, size, strict=True))]
    read = VolumeInput((Array(voxels), Array(voxels[::-1])), factor).read(start, size)
    np.testing.assert_array_equal(read[0], expected)
    assert read.shape == (2, *size)


def test_a_volume_that_does_not_begin_at_0_is_mirrored_where_it_begins(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).integers(0, 256, (4, 7, 9), np.uint8)
    moved = open_volume(write_precomputed(tmp_path, voxels))
    start = (-1, -2, 3)
    found = VolumeInput((moved,)).read([low + first for low, first in zip(start, OFFSET, strict=True)], (7, 8, 9))
    np.testing.assert_array_equal(found, VolumeInput((Array(voxels),)).read(start, (7, 8, 9)))
    # Pixels of 2 x 2 voxels begin at even ones: x at 2, which is the second voxel.
    [pixels] = VolumeInput((moved,), 2).read((3, 1, 1), (1, 1, 1))
    assert pixels.item() == area_average(voxels[:1, :2, 1:3], 2).item()


def test_channels_that_are_not_alike_are_refused(tmp_path: Path) -> None:
    for name, shape in (("a", (2, 3, 4)), ("b", (2, 3, 5))):
        np.save(tmp_path / f"{name}.npy", np.zeros(shape, np.uint8))
    channels = tuple(open_volume(f"file:{name}.npy", tmp_path) for name in "ab")
    with pytest.raises(InputError, match=r"b\.npy: is uint8 2 x 3 x 5, .*a\.npy is uint8 2 x 3 x 4; accepted: "):
        VolumeInput(channels)


def test_a_volume_that_says_no_voxel_size_has_that_of_the_task(caplog: pytest.LogCaptureFixture) -> None:
    source = Array(np.arange(4 * 6 * 8, dtype=np.uint8).reshape(4, 6, 8))
    task = task_settings(voxel_size_um=[3, 1, 1], target_voxel_size_um=[3, 2, 1])
    assert at_voxel_size([source], task_settings(voxel_size_um=5)) == [source]
    [found] = at_voxel_size([source], task)
    assert (found.shape, found.voxel_size_um, found.origin_um) == ((4, 3, 8), (3, 2, 1), (0, 0.5, 0))
    assert "says no voxel size; that of the task, (3.0, 1.0, 1.0) um, is assumed" in caplog.text
    assert (source.voxel_size_um, source.origin_um) == (None, None)
    with pytest.raises(InputError, match=r"array:: voxel_size: is not known; accepted: \?voxel_size=Z,Y,X"):
        at_voxel_size([source], task_settings(target_voxel_size_um=[3, 2, 1]))
    source.voxel_size_um = (3.0, 2.0, 1.0)
    assert at_voxel_size([source], task) == [source]
