"""Files: value-preserving decoding, natural order of slices, and one clear line for everything else."""

from __future__ import annotations

import hashlib
import pickle
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mtneuro_ray.errors import InputError, SourceError
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.files import find_path, natural_key
from mtneuro_ray.volumes.source import Voxels, open_volume
from tests.volumes.conftest import random_volume

# The header is no Python expression at all: numpy raises tokenize.TokenError.
NPY_OF_BAD_TOKENS = b"\x93NUMPY\x01\x00" + struct.pack("<H", 20) + b"{'descr': (((((((((\n"


def read_all(uri: str, base: Path | None = None) -> Voxels:
    source = open_volume(uri, base)
    return source.read(Roi.at((0, 0, 0), source.shape))


def write_small_png(path: Path, values: Voxels, depth: int, kind: int) -> None:
    """A PNG of 1, 2 or 4 bits a pixel (a byte holds several), which Pillow itself does not write in grey."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    height, width = values.shape
    bits = np.unpackbits(values[..., None], axis=-1)[..., -depth:].reshape(height, width * depth)
    rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in bits)
    palette = chunk(b"PLTE", bytes(3 * 2**depth)) if kind == 3 else b""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + header + palette + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", [0, 3], ids=["grey", "palette"])
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_png_keeps_small_integers(tmp_path: Path, depth: int, kind: int) -> None:
    values = np.random.default_rng(0).integers(0, 2**depth, (7, 11)).astype(np.uint8)
    write_small_png(tmp_path / "labels.png", values, depth, kind)
    np.testing.assert_array_equal(read_all(f"file:{tmp_path}/labels.png"), values[None])


def test_png_palette_gives_indices(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 4, (7, 11)).astype(np.uint8)
    picture = Image.fromarray(values, mode="L").convert("P")
    picture.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0, 0, 0, 200])
    picture.save(tmp_path / "labels.png")
    np.testing.assert_array_equal(read_all(f"file:{tmp_path}/labels.png"), values[None])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_colour_png_is_refused(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (5, 4)).save(tmp_path / "colour.png")
    with pytest.raises(InputError, match=r"colour\.png: colour or transparent PNG; accepted: greyscale"):
        open_volume(f"file:{tmp_path}/colour.png")


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colour_tiff_is_refused(tmp_path: Path, planar: str) -> None:
    shape = (8, 9, 3) if planar == "contig" else (3, 8, 9)
    tifffile.imwrite(tmp_path / "colour.tif", np.zeros(shape, np.uint8), photometric="rgb", planarconfig=planar)
    with pytest.raises(InputError, match=r"colour\.tif: uint8 picture with axes \w*S\w*; accepted: greyscale"):
        open_volume(f"file:{tmp_path}/colour.tif")


@pytest.mark.parametrize("suffix", [".npy", ".tif"])
def test_complex_voxels_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"volume{suffix}"
    data = np.zeros((3, 4, 5), "complex64")
    np.save(path, data) if suffix == ".npy" else tifffile.imwrite(path, data, photometric="minisblack")
    with pytest.raises(InputError, match=rf"volume\{suffix}: .*complex64.*; accepted: "):
        open_volume(f"file:{path}")


@pytest.mark.parametrize("suffix", [".npy", ".png", ".tif"])
@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"\x93NUMPY\x01\x00", b"\x89PNG\r\n\x1a\n", b"II*\x00\xff", NPY_OF_BAD_TOKENS]
)
def test_damaged_files_are_one_line(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"volume{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"^{path}: no readable") as caught:
        open_volume(f"file:{path}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_damaged_pixels_are_one_line(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"volume{suffix}"
    data = random_volume(0, "uint8", (1, 64, 64))
    if suffix == ".png":
        Image.fromarray(data[0]).save(path)
    else:
        tifffile.imwrite(path, data, photometric="minisblack", compression="zlib")
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes(200) + whole[middle + 200 :])
    source = open_volume(f"file:{path}")
    with pytest.raises(SourceError, match=f"^file:{path}: box .* cannot be read: ") as caught:
        source.read(Roi.at((0, 0, 0), source.shape))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".npy", ".png", "/1.png"])
def test_a_file_that_is_replaced_while_it_is_read_gives_no_voxels_of_the_new_one(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"volume{suffix}"
    path.parent.mkdir(exist_ok=True)

    def write(seed: int) -> Voxels:
        data = random_volume(seed, "uint8", (1, 8, 9))
        np.save(path, data) if suffix == ".npy" else Image.fromarray(data[0]).save(path)
        return data

    write(0)
    source = open_volume(f"file:{tmp_path / 'volume'}")
    before, whole = source.identity, Roi((0, 1), (0, 8), (0, 9))
    truth = write(1)
    with pytest.raises(SourceError, match="the data changed while they were read"):
        source.read(whole)
    again = open_volume(f"file:{tmp_path / 'volume'}")
    np.testing.assert_array_equal(again.read(whole), truth)
    assert again.identity != before


@pytest.mark.parametrize("suffix", [".npy", "/1.png"])
def test_another_machine_may_read_its_own_copy(tmp_path: Path, suffix: str) -> None:
    path, data = tmp_path / f"volume{suffix}", random_volume(0, "uint8", (1, 8, 9))
    path.parent.mkdir(exist_ok=True)
    np.save(path, data) if suffix == ".npy" else Image.fromarray(data[0]).save(path)
    source = open_volume(f"file:{tmp_path / 'volume'}")
    before = source.identity
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    elsewhere = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(elsewhere.read(Roi((0, 1), (0, 8), (0, 9))), data)
    assert elsewhere.identity == before


def test_file_that_vanishes_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "volume.npy"
    np.save(path, random_volume(0, "uint8"))
    source = open_volume(f"file:{path}")
    path.unlink()
    with pytest.raises(SourceError, match="cannot be read"):
        source.read(Roi((0, 1), (0, 1), (0, 1)))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_npy_of_any_byte_order_and_layout(tmp_path: Path, dtype: str, order: str) -> None:
    data = random_volume(0, "uint16")
    np.save(tmp_path / "volume.npy", np.asarray(data.astype(dtype), order=order))  # type: ignore[call-overload]
    np.testing.assert_array_equal(read_all(f"file:{tmp_path}/volume.npy"), data)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"compression": "zlib"},
        {"imagej": True},
        {"tile": (16, 16)},
        {"tile": (16, 16), "compression": "zlib"},
        {"volumetric": True, "tile": (2, 16, 16)},
    ],
    ids=str,
)
def test_tiff_of_many_layouts(tmp_path: Path, layout: dict[str, Any], byteorder: Literal["<", ">"]) -> None:
    data = random_volume(0, "uint16", (5, 40, 50))
    tifffile.imwrite(
        tmp_path / "volume.tif",
        data,
        byteorder=byteorder,
        photometric="minisblack",
        metadata={"axes": "ZYX"},
        **layout,
    )
    np.testing.assert_array_equal(read_all(f"file:{tmp_path}/volume.tif"), data)


def test_two_dimensional_array_is_one_plane(tmp_path: Path) -> None:
    data = random_volume(0, "uint8", (1, 6, 7))
    np.save(tmp_path / "plane.npy", data[0])
    tifffile.imwrite(tmp_path / "plane.tif", data[0], photometric="minisblack")
    np.testing.assert_array_equal(read_all("file:plane.npy", tmp_path), data)
    np.testing.assert_array_equal(read_all("file:plane.tif", tmp_path), data)


def test_folder_is_in_natural_order(tmp_path: Path) -> None:
    for z in (12, 9, 10, 11):
        Image.fromarray(np.full((4, 5), z, np.uint8)).save(tmp_path / f"s_{z}_of_2.png")
    (tmp_path / "._s_9_of_2.png").write_bytes(b"\0\5\x16\7Mac OS X")
    (tmp_path / ".DS_Store").touch()
    assert read_all(f"file:{tmp_path}")[:, 0, 0].tolist() == [9, 10, 11, 12]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["s 01", "s 02", "s 04"], "slices are missing between numbers 2 and 4"),
        (["s 00", "s 10", "s 30", "s 40"], "slices are missing between numbers 10 and 30"),
        (["s 01", "s 01_mask", "s 02"], "is named unlike"),
        (["s 01", "s 02", "s 02 (1)"], "is named unlike"),
        (["s 1", "s 01", "s 2"], "counts the slices"),
        (["z1_c0", "z1_c1", "z2_c0", "z2_c1"], "counts the slices"),
        (["left", "right"], "is named unlike"),
    ],
)
def test_a_folder_that_is_no_whole_series_of_slices_is_refused(tmp_path: Path, names: list[str], words: str) -> None:
    for name in names:
        Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / f"{name}.png")
    with pytest.raises(InputError, match=words) as caught:
        open_volume(f"file:{tmp_path}")
    assert "accepted: " in str(caught.value)


def test_slices_in_two_formats_are_refused(tmp_path: Path) -> None:
    for z in range(3):
        Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / f"{z}.png")
        tifffile.imwrite(tmp_path / f"{z}.tif", np.zeros((4, 5), np.uint8), photometric="minisblack")
    with pytest.raises(InputError, match=r"is named unlike 0\.png"):
        open_volume(f"file:{tmp_path}")


def test_numbers_in_even_steps_and_beside_others_are_a_series(tmp_path: Path) -> None:
    for z, (number, time) in enumerate([(0, 311), (20, 340), (40, 341)]):
        Image.fromarray(np.full((4, 5), z, np.uint8)).save(tmp_path / f"scan3_z{number:03}_t{time}.png")
    assert read_all(f"file:{tmp_path}")[:, 0, 0].tolist() == [0, 1, 2]


def test_tiff_pages_of_another_size_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "volume.tif") as writer:
        for side in (8, 8, 9):
            writer.write(np.zeros((side, 8), np.uint8), photometric="minisblack")
    with pytest.raises(InputError, match=r"volume\.tif: 3 series of pages \(8 x 8, 8 x 8, 9 x 8\); "):
        open_volume(f"file:{tmp_path}/volume.tif")


def test_an_inverted_tiff_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "volume.tif", np.zeros((8, 9), np.uint8), photometric="miniswhite")
    with pytest.raises(InputError, match="inverted picture"):
        open_volume(f"file:{tmp_path}/volume.tif")


def test_a_tiff_that_is_cut_short_is_not_read_as_fewer_planes(tmp_path: Path) -> None:
    path = tmp_path / "volume.tif"
    tifffile.imwrite(path, random_volume(0, "uint8", (6, 64, 64)), photometric="minisblack", compression="zlib")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"volume\.tif: damaged or cut short \(invalid page offset"):
        open_volume(f"file:{path}")


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(("palette", "indexed"), [(range(256), False), (range(255, -1, -1), True)])
def test_a_palette_that_changes_grey_values_is_said(
    tmp_path: Path, suffix: str, palette: Sequence[int], indexed: bool
) -> None:
    values, path = random_volume(0, "uint8", (1, 8, 9)), tmp_path / f"plane{suffix}"
    if suffix == ".png":
        picture = Image.fromarray(values[0]).convert("P")
        picture.putpalette([level for grey in palette for level in (grey,) * 3])
        picture.save(path)
    else:
        colors = np.array([palette] * 3, np.uint16) * 257
        tifffile.imwrite(path, values[0], photometric="palette", colormap=colors)
    assert open_volume(f"file:{path}").indexed is indexed
    if indexed:
        np.testing.assert_array_equal(read_all(f"file:{path}"), values)


@pytest.mark.parametrize("odd", [(4, 6), (5, 5)])
def test_unlike_slices_are_named(tmp_path: Path, odd: tuple[int, int]) -> None:
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "1.png")
    Image.fromarray(np.zeros(odd, np.uint8)).save(tmp_path / "2.png")
    with pytest.raises(InputError, match=r"2\.png: .*; accepted: single planes, all alike"):
        open_volume(f"file:{tmp_path}")


def test_folder_identity_knows_names_and_contents(tmp_path: Path) -> None:
    def identity() -> str:
        return open_volume(f"file:{tmp_path}").identity

    for name in ("1.png", "2.png"):
        Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / name)
    before = identity()
    assert identity() == before
    (tmp_path / "2.png").rename(tmp_path / "3.png")
    renamed = identity()
    Image.fromarray(np.ones((4, 5), np.uint8)).save(tmp_path / "3.png")
    assert len({before, renamed, identity()}) == 3


def test_file_identity_is_the_digest(tmp_path: Path) -> None:
    path = tmp_path / "volume.npy"
    np.save(path, random_volume(0, "uint8"))
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    assert open_volume(f"file:{path}").identity == f"file:sha256:{expected}"


def test_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^file:{tmp_path}/nothing.npy: no such file$"):
        open_volume("file:nothing.npy", tmp_path)


def test_empty_folder_and_unknown_suffix_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=r"no slices in this folder; accepted: \.png"):
        open_volume(f"file:{tmp_path}")
    with pytest.raises(InputError, match=r"no such kind of file; accepted: \.npy, \.png"):
        open_volume("file:notes.txt", tmp_path)
    with pytest.raises(InputError, match="names no file"):
        open_volume("file:", tmp_path)


def test_suffix_may_be_left_out_where_it_is_clear(tmp_path: Path) -> None:
    (tmp_path / "image.v2.npy").touch()
    (tmp_path / "labels").mkdir()
    assert find_path("file:image.v2", tmp_path) == tmp_path / "image.v2.npy"
    assert find_path("file:labels", tmp_path) == tmp_path / "labels"
    (tmp_path / "labels.tif").touch()
    with pytest.raises(InputError, match=r"ambiguous; accepted: one of labels/, labels\.tif"):
        find_path("file:labels", tmp_path)
    assert find_path("file:labels.tif", tmp_path) == tmp_path / "labels.tif"


@pytest.mark.parametrize("form", ["file:{}", "file://{}", "file:{}/../{name}"])
def test_absolute_forms_name_one_file(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.npy").touch()
    uri = f"{form.format(folder, name=folder.name)}/a.npy"
    assert find_path(uri, Path("elsewhere")) == folder / "a.npy"


@settings(max_examples=60)
@given(st.lists(st.integers(0, 10**6), unique=True), st.text("ab_-.", max_size=5))
def test_natural_order_is_the_order_of_the_numbers(numbers: list[int], prefix: str) -> None:
    names = [f"{prefix}{number}.png" for number in numbers]
    assert sorted(names, key=natural_key) == [f"{prefix}{number}.png" for number in sorted(numbers)]


def test_a_nifti_file_without_a_unit_says_that_millimeters_are_assumed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(np.zeros((4, 3, 2), np.uint8), np.diag([0.5, 0.5, 2.0, 1.0]))
    nibabel.save(image, tmp_path / "image.nii")
    assert open_volume(f"file:{tmp_path}/image.nii").voxel_size_um == (2000.0, 500.0, 500.0)
    assert "millimeters are assumed" in caplog.text
