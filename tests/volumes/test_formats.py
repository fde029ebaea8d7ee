"""Files of other people's programs: voxel sizes, axes, orientation, and one clear line for what can't be read."""

from __future__ import annotations

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
from PIL import Image

from mtneuro_ray.errors import InputError, SourceError
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.formats import tiff
from mtneuro_ray.volumes.source import Voxels, open_volume
from tests.volumes import peers
from tests.volumes.conftest import random_volume

library: Any = nibabel
TRUTH = random_volume(0, "uint16")


def read_all(uri: str) -> Voxels:
    source = open_volume(uri)
    return source.read(Roi.at((0, 0, 0), source.shape))


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


@pytest.mark.parametrize("compression", [None, "group4"])
def test_a_one_bit_tiff_keeps_0_and_1(tmp_path: Path, compression: str | None) -> None:
    truth = random_volume(1, "bool", (20, 31))
    Image.fromarray(truth).save(tmp_path / "x.tif", compression=compression)
    np.testing.assert_array_equal(read_all(f"file:{tmp_path}/x.tif")[0], truth)


@pytest.mark.parametrize("codec", ["lzw", "zlib", "zstd", "lzma", "packbits", "jpeg2000", "png"])
@pytest.mark.parametrize("layout", [{"rowsperstrip": 7}, {"tile": (16, 16)}], ids=["strips", "tiles"])
def test_compressed_tiff(tmp_path: Path, codec: str, layout: dict[str, Any]) -> None:
    options: dict[str, Any] = {"compressionargs": {"reversible": True}} if codec == "jpeg2000" else {}
    tifffile.imwrite(tmp_path / "x.tif", TRUTH, photometric="minisblack", compression=codec, **layout, **options)
    np.testing.assert_array_equal(read_all(f"file:{tmp_path}/x.tif"), TRUTH)


@pytest.mark.parametrize("layout", [{"rowsperstrip": 16}, {"tile": (16, 16)}], ids=["strips", "tiles"])
def test_lossy_tiff_is_what_tifffile_reads(tmp_path: Path, layout: dict[str, Any]) -> None:
    data = random_volume(0, "uint8")
    tifffile.imwrite(tmp_path / "x.tif", data, photometric="minisblack", compression="jpeg", **layout)
    np.testing.assert_array_equal(read_all(f"file:{tmp_path}/x.tif"), tifffile.imread(tmp_path / "x.tif"))


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


@pytest.mark.parametrize("options", [{"imagej": True}, {}, {"compression": "zlib"}], ids=str)
def test_stacks_with_one_header_for_all_planes(tmp_path: Path, options: dict[str, Any]) -> None:
    """ImageJ writes stacks above 4 GiB so."""
    truncate = "compression" not in options
    about = {"axes": "ZYX"}
    tifffile.imwrite(tmp_path / "x.tif", TRUTH, photometric="minisblack", truncate=truncate, metadata=about, **options)
    np.testing.assert_array_equal(read_all(f"file:{tmp_path}/x.tif"), TRUTH)


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


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_samples_of_a_tiff_are_channels_unless_one_is_alpha(tmp_path: Path, planar: str) -> None:
    samples = np.stack([TRUTH[0] + k for k in range(5)], 0 if planar == "separate" else -1)
    tifffile.imwrite(tmp_path / "x.tif", samples, photometric="minisblack", planarconfig=planar)
    assert open_volume(f"file:{tmp_path}/x.tif").num_channels == 5
    np.testing.assert_array_equal(read_all(f"file:{tmp_path}/x.tif?channel=3")[0], TRUTH[0] + 3)
    options: dict[str, Any] = {"planarconfig": planar, "extrasamples": ["unassalpha", *["unspecified"] * 3]}
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="minisblack", **options)
    with pytest.raises(InputError, match="accepted: greyscale or palette pictures, or stacks and channels"):
        open_volume(f"file:{tmp_path}/a.tif")


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


def test_a_box_of_a_file_larger_than_memory_is_read(tmp_path: Path) -> None:
    """64 GiB each, of which the file system stores a page: reading them whole ends the test."""
    shape, index, box = (2048, 4096, 8192), (2000, 4000, 8000), Roi((1999, 2001), (3999, 4001), (7999, 8001))
    array = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, shape)
    array[index] = 7
    del array
    with open(tmp_path / "x.nii", "wb") as file:
        header = library.Nifti2Image(np.zeros((1, 1, 1), np.uint8), np.eye(4)).header
        header.set_data_shape(shape[::-1])
        header["vox_offset"] = 544
        file.write(header.binaryblock + bytes(4))
        file.seek(544 + int(np.ravel_multi_index(index, shape)))
        file.write(b"\7")
        file.truncate(544 + int(np.prod(shape)))
    with h5py.File(tmp_path / "x.h5", "w") as stored:
        stored.create_dataset("raw", shape, "uint8", chunks=(64, 64, 64))[index] = 7
    for name in ("x.npy", "x.nii", "x.h5"):
        voxels = open_volume(f"file:{tmp_path}/{name}").read(box)
        assert (voxels[1, 1, 1], voxels.sum()) == (7, 7)


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
