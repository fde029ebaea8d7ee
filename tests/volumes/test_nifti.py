"""NIfTI: every orientation the same volume, scaled values, units, and damaged headers."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtneuro_ray.errors import InputError, SourceError
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.source import Voxels, open_volume
from tests.volumes import peers
from tests.volumes.conftest import random_volume

library: Any = nibabel
TRUTH = random_volume(0, "uint16")


def read_all(uri: str) -> Voxels:
    source = open_volume(uri)
    return source.read(Roi.at((0, 0, 0), source.shape))


@settings(max_examples=40, deadline=None)
@given(st.permutations([0, 1, 2]), st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3), st.tuples(*[st.floats(0.01, 9)] * 3))
def test_nifti_of_every_orientation_is_the_same_volume(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], signs: tuple[float, ...], sizes: tuple[float, ...]
) -> None:
    folder = tmp_path_factory.mktemp("nifti")
    affine = np.zeros((4, 4))
    for axis, (place, sign, size) in enumerate(zip(order, signs, sizes, strict=True)):
        affine[place, axis] = sign * size
    affine[:, 3] = (5.0, 6.0, 7.0, 1.0)
    uri = peers.write_nifti(folder, TRUTH, affine)
    np.testing.assert_array_equal(read_all(uri), TRUTH)
    source = open_volume(uri)
    peer = library.as_closest_canonical(library.load(folder / "volume.nii"))
    assert source.voxel_size_um == pytest.approx([1000 * size for size in peer.header.get_zooms()[::-1]], rel=1e-5)
    assert source.origin_um == pytest.approx([1000 * place for place in peer.affine[:3, 3][::-1]], rel=1e-5)


def test_a_turned_nifti_is_said_and_a_plain_one_is_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    open_volume(peers.write_nifti(tmp_path, TRUTH, np.eye(4)))
    assert caplog.text == ""
    open_volume(peers.write_nifti(tmp_path, TRUTH, peers.LPS, "turned.nii"))
    assert "turned.nii: stored as LPS; read as z, y, x towards superior, anterior, right" in caplog.text


def test_sizes_are_those_of_the_affine_which_places_the_voxels(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = library.Nifti1Image(TRUTH.T, np.diag([0.1, 0.2, 0.5, 1.0]))
    image.header.set_xyzt_units("mm")
    image.header["pixdim"][1:4] = 1.0
    image.to_filename(tmp_path / "x.nii")
    assert open_volume(f"file:{tmp_path}/x.nii").voxel_size_um == pytest.approx((500, 200, 100))
    assert "pixdim is 1, 1, 1, the affine's sizes are 0.1, 0.2, 0.5 and are taken" in caplog.text


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize(("dtype", "found"), [("int16", "float32"), ("uint8", "float32"), ("int32", "float64")])
def test_nifti_values_are_scaled(tmp_path: Path, dtype: str, found: str, suffix: str) -> None:
    stored = random_volume(0, dtype)
    image = library.Nifti1Image(stored.T, np.eye(4))
    image.header.set_slope_inter(0.5, -3)
    library.save(image, tmp_path / f"x{suffix}")
    # nibabel chooses a scale of its own when it writes: put the wanted one into the header.
    opened = gzip.open if suffix == ".nii.gz" else open
    with opened(tmp_path / f"x{suffix}", "rb") as file:
        content = bytearray(file.read())
    content[112:120] = struct.pack("<ff", 0.5, -3)
    content[352:] = np.asfortranarray(stored.T).tobytes(order="F")
    with opened(tmp_path / f"x{suffix}", "wb") as file:
        file.write(bytes(content))
    expected = library.load(tmp_path / f"x{suffix}").get_fdata().T
    voxels = read_all(f"file:{tmp_path}/x{suffix}")
    assert voxels.dtype == found
    np.testing.assert_allclose(voxels, expected, rtol=1e-6)


def test_nifti_without_orientation_keeps_its_order(tmp_path: Path) -> None:
    image = library.Nifti1Image(TRUTH.T, None)
    image.header.set_zooms((0.5, 0.5, 2.0))
    library.save(image, tmp_path / "x.nii")
    source = open_volume(f"file:{tmp_path}/x.nii")
    np.testing.assert_array_equal(read_all(source.uri), TRUTH)
    assert (source.voxel_size_um, source.origin_um) == ((2000.0, 500.0, 500.0), None)


def test_units_of_nifti(tmp_path: Path) -> None:
    image = library.Nifti1Image(TRUTH.T, np.diag([0.5, 0.5, 2.0, 1.0]))
    image.header.set_xyzt_units("micron")
    library.save(image, tmp_path / "x.nii")
    assert open_volume(f"file:{tmp_path}/x.nii").voxel_size_um == (2.0, 0.5, 0.5)
    library.save(library.Nifti1Image(TRUTH.T, np.eye(4)), tmp_path / "y.nii")
    assert open_volume(f"file:{tmp_path}/y.nii").voxel_size_um is None


def test_times_of_nifti_are_not_taken_for_channels(tmp_path: Path) -> None:
    library.save(library.Nifti1Image(np.stack([TRUTH.T, TRUTH.T // 2], -1), np.eye(4)), tmp_path / "x.nii")
    with pytest.raises(InputError, match=r"axis t is 2 long; accepted: 1.*\?axes=xyzc"):
        open_volume(f"file:{tmp_path}/x.nii")
    np.testing.assert_array_equal(read_all(f"file:{tmp_path}/x.nii?axes=xyzc&channel=1"), TRUTH // 2)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_nifti_that_is_cut_short_is_one_line(tmp_path: Path, suffix: str) -> None:
    peers.write_nifti(tmp_path, TRUTH, np.eye(4), f"x{suffix}")
    path = tmp_path / f"x{suffix}"
    path.write_bytes(path.read_bytes()[: -2000 if suffix == ".nii" else -3000])
    with pytest.raises((InputError, SourceError), match=r"can't hold|cannot be read") as caught:
        read_all(f"file:{path}")
    assert "\n" not in str(caught.value)


def test_a_small_gzip_that_claims_a_huge_volume_is_refused(tmp_path: Path) -> None:
    image = library.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4))
    library.save(image, tmp_path / "x.nii.gz")
    content = bytearray(gzip.decompress((tmp_path / "x.nii.gz").read_bytes()))
    content[40:48] = struct.pack("<4h", 3, 20000, 20000, 20000)
    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(InputError, match=r"bytes can't hold 8000000000000; accepted: a whole file"):
        open_volume(f"file:{tmp_path}/x.nii.gz")
