"""Levels of OME-Zarr, N5 and precomputed volumes: any names, chosen by number, path or voxel size."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore as ts
import zarr
from hypothesis import given
from hypothesis import strategies as st

from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.array_metadata import multiscale
from mtneuro_ray.volumes.source import Voxels, open_volume
from tests.volumes import peers, writers
from tests.volumes.conftest import SHAPE, random_volume

TRUTH = random_volume(0, "uint16")
HALF = random_volume(1, "uint16", (5, 10, 16))


def read_all(uri: str) -> Voxels:
    source = open_volume(uri)
    return source.read(Roi.at((0, 0, 0), source.shape))


@pytest.mark.parametrize("write", [peers.write_ome_levels_4, peers.write_ome_levels_5, peers.write_n5_levels])
def test_sizes_and_origins_of_levels(tmp_path: Path, write: Any) -> None:
    uri = write(tmp_path, (TRUTH, HALF))
    finest, coarse = open_volume(uri), open_volume(f"{uri}?level=1")
    assert (finest.voxel_size_um, finest.origin_um) == ((4.0, 2.0, 1.0), (0.0, 0.0, 0.0))
    assert (coarse.voxel_size_um, coarse.origin_um) == ((8.0, 4.0, 2.0), (2.0, 1.0, 0.5))


@pytest.mark.parametrize(
    "write",
    [peers.write_ome_levels_4, peers.write_ome_levels_5, peers.write_n5_levels, peers.write_precomputed_levels],
)
def test_a_level_is_chosen_by_its_voxel_size(tmp_path: Path, write: Any) -> None:
    uri = write(tmp_path, (TRUTH, HALF))
    for target, level in (("1", ""), ("4,2,1", ""), ("7,4,2", "?level=1"), ("100", "?level=1")):
        assert open_volume(f"{uri}?target_um={target}").uri == uri + level
    assert open_volume(f"{uri}?level=1&voxel_size=3").voxel_size_um == (3.0, 3.0, 3.0)


@pytest.mark.parametrize(
    ("write", "path"),
    [
        (peers.write_ome_levels_4, "half"),
        (peers.write_n5_levels, "s1"),
        (peers.write_precomputed_levels, "2000_4000_8000"),
    ],
)
def test_a_level_is_named_by_its_path(tmp_path: Path, write: Any, path: str) -> None:
    uri = write(tmp_path, (TRUTH, HALF))
    found = open_volume(f"{uri}?level={path}")
    assert found.uri == f"{uri}?level=1"
    np.testing.assert_array_equal(read_all(found.uri), HALF)
    with pytest.raises(InputError, match=rf"^{uri}: level: s7; accepted: 0 to 1 or .*{path}"):
        open_volume(f"{uri}?level=s7")


def test_a_level_that_is_missing_is_named(tmp_path: Path) -> None:
    axes, datasets = [{"name": name} for name in "zyx"], [{"path": "full"}, {"path": "half"}]
    group(tmp_path, {"multiscales": [{"version": "0.4", "axes": axes, "datasets": datasets}]})
    (tmp_path / "full").mkdir()
    writers.write_zarr2(tmp_path / "full", TRUTH)
    assert open_volume(f"zarr://{tmp_path}").levels == 2
    with pytest.raises(
        InputError, match=f"^zarr://{tmp_path}/half: no zarr array there; accepted: zarr://{tmp_path}/full"
    ):
        open_volume(f"zarr://{tmp_path}?level=1")


def test_an_array_has_one_level(tmp_path: Path) -> None:
    uri = peers.write_ome_levels_4(tmp_path, (TRUTH, HALF))
    half = open_volume(f"{uri}/half?axes=czyx")
    assert (half.levels, half.voxel_size_um) == (1, (8.0, 4.0, 2.0))
    with pytest.raises(InputError, match="level: 1; accepted: 0 to 0"):
        open_volume(f"{uri}/half?level=1")


def test_the_target_needs_voxel_sizes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"target_um: its metadata give no voxel size; accepted: \?level=0 to 0"):
        open_volume(writers.write_zarr2(tmp_path, TRUTH) + "?target_um=4")


def group(folder: Path, attributes: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / ".zgroup").write_text('{"zarr_format": 2}')
    (folder / ".zattrs").write_text(json.dumps(attributes))


def test_the_one_image_of_bioformats2raw_is_read_and_several_are_listed(tmp_path: Path) -> None:
    group(tmp_path, {"bioformats2raw.layout": 3})
    writers.write_ome(tmp_path / "0", TRUTH, "zyx")
    found = open_volume(f"zarr://{tmp_path}")
    np.testing.assert_array_equal(read_all(found.uri), TRUTH)
    assert (found.uri, found.voxel_size_um) == (f"zarr://{tmp_path}", (2.0, 2.0, 2.0))
    writers.write_ome(tmp_path / "1", TRUTH, "zyx")
    with pytest.raises(InputError, match=rf"holds several images; accepted: one of zarr://{tmp_path}/0, "):
        open_volume(f"zarr://{tmp_path}")


def test_a_plate_is_refused(tmp_path: Path) -> None:
    group(tmp_path, {"plate": {"rows": []}})
    with pytest.raises(InputError, match="is a plate of images; accepted: one of them"):
        open_volume(f"zarr://{tmp_path}")


def test_arrays_of_a_plain_group_are_listed(tmp_path: Path) -> None:
    for name in ("raw", "labels"):
        (tmp_path / "brain" / name).mkdir(parents=True)
        writers.write_zarr2(tmp_path / "brain" / name, TRUTH)
    (tmp_path / ".zgroup").write_text('{"zarr_format": 2}')
    words = rf"no zarr array there; accepted: zarr://{tmp_path}/brain/labels, zarr://{tmp_path}/brain/raw$"
    with pytest.raises(InputError, match=words):
        open_volume(f"zarr://{tmp_path}")


@pytest.mark.parametrize("name", ["0", "s0"])
def test_a_group_without_metadata_is_its_first_level(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    writers.write_zarr2(tmp_path / name, TRUTH)
    np.testing.assert_array_equal(read_all(f"zarr://{tmp_path}"), TRUTH)


@pytest.mark.parametrize("version", ["0.1", "0.2"])
def test_axes_of_the_first_ome_zarr_are_tczyx(tmp_path: Path, version: str) -> None:
    group(tmp_path, {"multiscales": [{"version": version, "datasets": [{"path": "0"}]}]})
    (tmp_path / "0").mkdir()
    writers.write_zarr2(tmp_path / "0", np.stack([TRUTH, TRUTH // 2])[None])
    assert open_volume(f"zarr://{tmp_path}").num_channels == 2
    np.testing.assert_array_equal(read_all(f"zarr://{tmp_path}?channel=1"), TRUTH // 2)


@pytest.mark.parametrize(
    ("units", "scale", "found"),
    [
        (["micrometer", "micrometer", "micrometer"], [1, 1, 1], (1.0, 1.0, 1.0)),
        (["nanometer", "micrometer", "micrometer"], [500, 1, 1], (0.5, 1.0, 1.0)),
        ([None, None, None], [1, 1, 1], None),
        ([None, None, None], [4, 1, 1], (4.0, 1.0, 1.0)),
        (["pixel", "pixel", "pixel"], [4, 1, 1], None),
        (["micrometer", "micrometer", "micrometer"], [0, 1, 1], None),
        (["micrometer", "micrometer", "micrometer"], [float("inf"), 1, 1], None),
        (["micrometer", "micrometer", "micrometer"], [1, 1, float("nan")], None),
    ],
)
def test_units_of_ome_zarr(
    tmp_path: Path, units: list[str | None], scale: list[float], found: Any, caplog: pytest.LogCaptureFixture
) -> None:
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": name, **({"unit": unit} if unit else {})} for name, unit in zip("zyx", units, strict=True)]
    steps = [{"type": "scale", "scale": [1, *scale]}]
    datasets = [{"path": "0", "coordinateTransformations": steps}]
    group(tmp_path, {"multiscales": [{"version": "0.4", "axes": axes, "datasets": datasets}]})
    (tmp_path / "0").mkdir()
    writers.write_zarr2(tmp_path / "0", TRUTH[None])
    assert open_volume(f"zarr://{tmp_path}").voxel_size_um == found
    assert ("micrometers are assumed" in caplog.text) is (found is not None and None in units)


def test_cosems_n5_has_levels_axes_and_sizes(tmp_path: Path) -> None:
    def transform(factor: int) -> dict[str, Any]:
        scale = [4.0 * factor, 2.0 * factor, 2.0 * factor]
        place = [float(factor - 1)] * 3
        return {"axes": ["z", "y", "x"], "units": ["nm"] * 3, "scale": scale, "translate": place}

    levels = [{"path": f"s{number}", "transform": transform(2**number)} for number in range(2)]
    (tmp_path / "attributes.json").write_text(json.dumps({"multiscales": [{"datasets": levels}]}))
    for number, data in enumerate((TRUTH, HALF)):
        (tmp_path / f"s{number}").mkdir()
        writers.write_n5(tmp_path / f"s{number}", data, transform=transform(2**number))
    found = open_volume(f"n5://{tmp_path}?level=1")
    assert found.voxel_size_um == pytest.approx((0.008, 0.004, 0.004))
    assert found.origin_um == pytest.approx((0.001, 0.001, 0.001))
    np.testing.assert_array_equal(read_all(found.uri), HALF)
    assert open_volume(f"n5://{tmp_path}/s1").voxel_size_um == found.voxel_size_um


def test_resolution_of_n5_with_units(tmp_path: Path) -> None:
    uri = writers.write_n5(tmp_path, TRUTH, resolution=[4, 8, 40], units=["nm"] * 3)
    assert open_volume(uri).voxel_size_um == pytest.approx((0.04, 0.008, 0.004))


@pytest.mark.parametrize(
    "attributes",
    [{"pixelResolution": "x"}, {"transform": 7}, {"downsamplingFactors": [1], "pixelResolution": [1, 1, 1]}],
)
def test_unusable_attributes_of_n5_are_one_line(tmp_path: Path, attributes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"attributes: unusable \(") as caught:
        open_volume(writers.write_n5(tmp_path, TRUTH, **attributes))
    assert "\n" not in str(caught.value)


def test_missing_chunks_of_a_level_are_counted_and_a_changed_one_is_seen(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, data in (("full", TRUTH), ("half", HALF)):
        spec = {"driver": "zarr", "kvstore": {"driver": "file", "path": f"{tmp_path}/{name}/"}}
        layout = ts.ChunkLayout(chunk_shape=[4, 8, 16])
        array = ts.open(spec, create=True, dtype=ts.uint16, shape=data.shape, chunk_layout=layout).result()
        array[...] = data
    group(tmp_path, {"multiscales": [{"axes": list("zyx"), "datasets": [{"path": "full"}, {"path": "half"}]}]})
    before = open_volume(f"zarr://{tmp_path}?level=1").identity
    (tmp_path / "half" / "0.0.0").unlink()
    with caplog.at_level(logging.WARNING):
        assert open_volume(f"zarr://{tmp_path}?level=1").identity != before
    assert "1 of 4 chunks are not stored and read as the fill value" in caplog.text
    assert open_volume(f"zarr://{tmp_path}").shape == SHAPE


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.sampled_from(["z", "y", "x", "c", "scale", "0.4", "s0"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["axes", "datasets", "path", "coordinateTransformations", "type", "scale", "name", "unit"]),
            inner,
        )
    ),
    max_leaves=24,
)


@given(JSON)
def test_any_multiscales_are_levels_or_one_line(value: Any) -> None:
    try:
        levels = multiscale({"multiscales": value}, "zarr://x")
    except InputError as error:
        assert str(error).startswith("zarr://x: multiscales: unusable (")  # noqa: PT017
        return
    assert all(len(level.scale_um) in (0, len(level.axes)) for level in levels)


def test_arrays_of_zarr_python(tmp_path: Path) -> None:
    for version in (2, 3):
        options: dict[str, Any] = {"dimension_names": ["y", "x", "z"], "shards": (20, 16, 8)} if version == 3 else {}
        array = zarr.create_array(
            tmp_path / str(version), shape=(20, 31, 9), chunks=(10, 8, 4), dtype="int16", zarr_format=version, **options
        )
        truth = random_volume(version, "int16")
        array[...] = truth.transpose(1, 2, 0)
        np.testing.assert_array_equal(
            read_all(f"zarr://{tmp_path}/{version}{'' if version == 3 else '?axes=yxz'}"), truth
        )
