"""Files of other people's programs: voxel sizes, axes, orientation, and one clear line for what can't be read."""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mtneuro_ray.errors import InputError, SourceError
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.formats import tiff
from mtneuro_ray.volumes.source import Voxels, open_volume
from tests.volumes import peers
from tests.volumes.conftest import SHAPE, random_volume

library: Any = nibabel
TRUTH = random_volume(0, "uint16")


def read_all(uri: str) -> Voxels:
    source = open_volume(uri)
    return source.read(Roi.at((0, 0, 0), source.shape))


# NumPy arrays and pictures


@pytest.mark.parametrize("dtype", ["bool", "int8", "int32", "int64", "uint16", "float16", "float32", "float64"])
def test_npy_of_every_type(tmp_path: Path, dtype: str) -> None:
    truth = random_volume(1, dtype)
    np.save(tmp_path / "x.npy", truth)
    found = read_all(f"file:{tmp_path}/x.npy")
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, truth)


def test_npy_of_four_axes_needs_their_names(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.stack([TRUTH, TRUTH // 2], axis=-1))
    with pytest.raises(InputError, match=r"4 axes without names \(9 x 20 x 31 x 2\); accepted: .*\?axes=czyx"):
        open_volume(f"file:{tmp_path}/x.npy")
    np.testing.assert_array_equal(read_all(f"file:{tmp_path}/x.npy?axes=zyxc&channel=1"), TRUTH // 2)


@pytest.mark.parametrize("dtype", ["bool", "int16", "int32", "float32", "float64"])
def test_labels_of_a_one_bit_signed_or_float_tiff(tmp_path: Path, dtype: str) -> None:
    truth = random_volume(1, dtype)
    tifffile.imwrite(tmp_path / "x.tif", truth, photometric="minisblack")
    found = read_all(f"file:{tmp_path}/x.tif")
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, truth)


def test_a_one_bit_tiff_keeps_0_and_1(tmp_path: Path) -> None:
    truth = random_volume(1, "bool", (20, 31))
    Image.fromarray(truth).save(tmp_path / "x.tif")
    np.testing.assert_array_equal(read_all(f"file:{tmp_path}/x.tif")[0], truth)


@pytest.mark.parametrize("codec", ["lzw", "zlib", "zstd", "lzma", "packbits", "jpeg2000", "png"])
@pytest.mark.parametrize("layout", [{"rowsperstrip": 7}, {"tile": (16, 16)}], ids=["strips", "tiles"])
def test_compressed_tiff(tmp_path: Path, codec: str, layout: dict[str, Any]) -> None:
    options: dict[str, Any] = {"compressionargs": {"reversible": True}} if codec == "jpeg2000" else {}
    tifffile.imwrite(tmp_path / "x.tif", TRUTH, photometric="minisblack", compression=codec, **layout, **options)
    np.testing.assert_array_equal(read_all(f"file:{tmp_path}/x.tif"), TRUTH)


def test_a_box_of_a_tiff_decodes_its_tiles_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = random_volume(0, "uint16", (4, 160, 160))
    tifffile.imwrite(tmp_path / "x.tif", truth, photometric="minisblack", compression="zlib", tile=(16, 16))
    decoded: list[int] = []
    segment = tiff._segment

    def count(opened: Any, page: Any, number: int) -> Voxels:
        decoded.append(number)
        return segment(opened, page, number)

    monkeypatch.setattr(tiff, "_segment", count)
    source = open_volume(f"file:{tmp_path}/x.tif")
    box = Roi((1, 3), (14, 18), (16, 32))
    np.testing.assert_array_equal(source.read(box), truth[box.slices])
    assert decoded == [1, 11, 1, 11]
    np.testing.assert_array_equal(source.read(box), truth[box.slices])
    assert len(decoded) == 4


def test_time_is_not_taken_for_depth(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", TRUTH, imagej=True, metadata={"axes": "TYX"})
    with pytest.raises(InputError, match=r"x\.tif: axis t is 9 long; accepted: 1.*\?axes=zyx"):
        open_volume(f"file:{tmp_path}/x.tif")
    np.testing.assert_array_equal(read_all(f"file:{tmp_path}/x.tif?axes=zyx"), TRUTH)


@pytest.mark.parametrize(("unit", "factor"), [("micrometer", 1.0), ("\u00b5m", 1.0), ("mm", 1e3), ("nm", 1e-3)])
def test_spacing_of_ome_tiff(tmp_path: Path, unit: str, factor: float) -> None:
    short = {"micrometer": "\u00b5m"}.get(unit, unit)
    about: dict[str, Any] = {f"PhysicalSize{axis}Unit": short for axis in "ZYX"}
    about |= {f"PhysicalSize{axis}": size for axis, size in zip("ZYX", (3, 0.5, 0.25), strict=True)}
    tifffile.imwrite(tmp_path / "x.ome.tif", TRUTH, photometric="minisblack", metadata={"axes": "ZYX", **about})
    found = open_volume(f"file:{tmp_path}/x.ome.tif").voxel_size_um
    assert found == pytest.approx((3 * factor, 0.5 * factor, 0.25 * factor))


@pytest.mark.parametrize("unit", ["um", "micron", "\\u00B5m"])
def test_spacing_of_imagej(tmp_path: Path, unit: str, caplog: pytest.LogCaptureFixture) -> None:
    def write(**about: Any) -> str:
        tifffile.imwrite(
            tmp_path / "x.tif", TRUTH, imagej=True, resolution=(4, 2), metadata={"axes": "ZYX", "unit": unit, **about}
        )
        return f"file:{tmp_path}/x.tif"

    assert open_volume(write(spacing=3.0)).voxel_size_um == (3.0, 0.5, 0.25)
    assert caplog.text == ""
    assert open_volume(write()).voxel_size_um == (1.0, 0.5, 0.25)
    assert "names no spacing of planes: 1 " in caplog.text


def test_plain_tiff_has_no_spacing(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", TRUTH, photometric="minisblack", resolution=(72, 72), resolutionunit="inch")
    assert open_volume(f"file:{tmp_path}/x.tif").voxel_size_um is None
    assert open_volume(f"file:{tmp_path}/x.tif?voxel_size=3,1,1").voxel_size_um == (3.0, 1.0, 1.0)


def test_levels_of_tiff_have_sizes_and_are_chosen_by_them(tmp_path: Path) -> None:
    about = {"axes": "ZYX", **{f"PhysicalSize{axis}": size for axis, size in zip("ZYX", (4, 2, 1), strict=True)}}
    with tifffile.TiffWriter(tmp_path / "x.ome.tif") as writer:
        writer.write(TRUTH, subifds=1, metadata=about, photometric="minisblack")
        writer.write(TRUTH[:, ::2, ::2], subfiletype=1, photometric="minisblack")
    uri = f"file:{tmp_path}/x.ome.tif"
    assert open_volume(f"{uri}?level=1").voxel_size_um == (4.0, 4.0, 2.0)
    assert open_volume(f"{uri}?target_um=4,5,2").uri == f"{uri}?level=1"
    assert open_volume(f"{uri}?target_um=1").uri == uri


# NIfTI


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


# HDF5


def write_h5(path: Path, **data_sets: Any) -> str:
    with h5py.File(path, "w") as file:
        for name, data in data_sets.items():
            file[name] = data
    return f"file:{path}"


@pytest.mark.parametrize("dtype", ["bool", "int64", "float16", ">u2"])
def test_hdf5_of_every_type(tmp_path: Path, dtype: str) -> None:
    truth = random_volume(0, np.dtype(dtype).newbyteorder("=").name)
    uri = write_h5(tmp_path / "x.h5", raw=truth.astype(dtype))
    np.testing.assert_array_equal(read_all(uri), truth)
    assert open_volume(uri).uri == f"{uri}#/raw"
    assert open_volume(f"{uri}#raw").identity == open_volume(uri).identity


def test_hdf5_with_several_arrays_needs_a_path(tmp_path: Path) -> None:
    uri = write_h5(tmp_path / "x.h5", raw=TRUTH, labels=TRUTH.astype("int64"), table=np.arange(4))
    words = r"2 data sets of 2 to 4 axes; accepted: .*x\.h5#PATH, PATH of /labels \(9 x 20 x 31 int64\), /raw"
    with pytest.raises(InputError, match=words):
        open_volume(uri)
    with pytest.raises(InputError, match=r"x\.h5#nothing: no such data set; accepted: /labels"):
        open_volume(f"{uri}#nothing")
    assert open_volume(f"{uri}#/raw").identity != open_volume(f"{uri}#/labels").identity


def test_spacing_and_names_of_hdf5(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        stored = file.create_dataset("raw", data=TRUTH)
        stored.attrs["element_size_um"] = [3, 0.5, 0.25]
        turned = file.create_dataset("turned", data=TRUTH.T[..., None])
        turned.attrs["axistags"] = '{"axes": [{"key": "x"}, {"key": "y"}, {"key": "z"}, {"key": "c"}]}'
    assert open_volume(f"file:{tmp_path}/x.h5#/raw").voxel_size_um == (3.0, 0.5, 0.25)
    np.testing.assert_array_equal(read_all(f"file:{tmp_path}/x.h5#/turned"), TRUTH)


def test_chunks_that_hdf5_lacks_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("raw", SHAPE, "uint8", chunks=(9, 20, 16))[:, :, :16] = 1
        file.create_dataset("empty", SHAPE, "uint8")
    source = open_volume(f"file:{tmp_path}/x.h5#/raw")
    assert "x.h5#/raw: 1 of 2 chunks are not stored and read as the fill value" in caplog.text
    assert source.chunk_shape == (9, 20, 16)
    with pytest.raises(InputError, match="#/empty: none of its voxels is stored"):
        open_volume(f"file:{tmp_path}/x.h5#/empty")


def test_hdf5_whose_voxels_lie_elsewhere_is_refused(tmp_path: Path) -> None:
    write_h5(tmp_path / "there.h5", raw=TRUTH)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        layout = h5py.VirtualLayout(SHAPE, "uint16")
        layout[:] = h5py.VirtualSource(tmp_path / "there.h5", "raw", SHAPE)
        file.create_virtual_dataset("virtual", layout)
        file["linked"] = h5py.ExternalLink("there.h5", "raw")
    for name in ("virtual", "linked"):
        with pytest.raises(InputError, match="its voxels lie in other files"):
            open_volume(f"file:{tmp_path}/x.h5#/{name}")


# All of them


WRITERS: dict[str, Callable[[Path, Voxels], str]] = {
    "x.nii": lambda folder, data: peers.write_nifti(folder, data, name="x.nii"),
    "v.nii.gz": peers.write_nifti_gz,
    "volume.h5": peers.write_hdf5,
}


@pytest.mark.parametrize("name", WRITERS)
def test_damaged_files_are_one_line(tmp_path: Path, name: str) -> None:
    uri = WRITERS[name](tmp_path, TRUTH)
    whole = (tmp_path / name).read_bytes()
    rng = np.random.default_rng(0)
    for number in range(60):
        content = bytearray(whole[: len(whole) // (1 + number % 3)])
        for place in rng.integers(0, min(len(content), 600), 4):
            content[place] = rng.integers(256)
        (tmp_path / name).write_bytes(bytes(content))
        try:
            read_all(uri)
        except (InputError, SourceError) as error:
            assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_is_replaced_while_it_is_read_gives_no_voxels_of_the_new_one(tmp_path: Path, name: str) -> None:
    source = open_volume(WRITERS[name](tmp_path, TRUTH))
    assert source.identity
    (tmp_path / name).unlink()
    WRITERS[name](tmp_path, TRUTH // 2)
    with pytest.raises(SourceError, match="the data changed while they were read"):
        source.read(Roi((0, 1), (0, 2), (0, 3)))


@pytest.mark.parametrize(
    ("package", "write"),
    [("nibabel", WRITERS["x.nii"]), ("h5py", WRITERS["volume.h5"]), ("imagecodecs", peers.write_lzw_tiff)],
)
def test_a_missing_package_is_one_line(tmp_path: Path, package: str, write: Callable[[Path, Voxels], str]) -> None:
    code = f"import sys; sys.modules[{package!r}] = None\nfrom mtneuro_ray.volumes.source import open_volume\n"
    code += f"try:\n    open_volume({write(tmp_path, TRUTH)!r})\nexcept Exception as error:\n    print(error)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"needs the package {package}" in done.stdout
    assert "accepted: with it, by pip install 'mtneuro-ray[formats]'" in done.stdout
