"""Chunked arrays whose metadata and files do not agree, and identities that follow the data."""

from __future__ import annotations

import json
import logging
import pickle
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore as ts

from mtneuro_ray.errors import InputError, SourceError
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes import chunked
from mtneuro_ray.volumes.source import Voxels, open_volume
from tests.volumes import writers
from tests.volumes.conftest import SHAPE, random_volume

TRUTH = random_volume(0, "uint16")
WHOLE = Roi.at((0, 0, 0), SHAPE)
CHUNK = (4, 8, 16)
DRIVERS: dict[str, dict[str, Any]] = {
    "zarr": {"driver": "zarr"},
    "zarr nested": {"driver": "zarr", "metadata": {"dimension_separator": "/"}},
    "zarr3": {"driver": "zarr3"},
    "n5": {"driver": "n5"},
    "precomputed": {"driver": "neuroglancer_precomputed"},
}


def write(kind: str, folder: Path, data: Voxels = TRUTH) -> str:
    """Many chunks, written by tensorstore; the URI."""
    spec: dict[str, Any] = {**DRIVERS[kind], "kvstore": {"driver": "file", "path": f"{folder}/"}}
    turned = data if kind.startswith("zarr") else data.T
    if kind == "precomputed":
        scale = {"size": turned.shape, "resolution": [4, 4, 40], "encoding": "raw", "chunk_size": CHUNK[::-1]}
        spec |= {"multiscale_metadata": {"type": "image", "data_type": "uint16", "num_channels": 1}}
        array = ts.open(spec | {"scale_metadata": scale}, create=True, delete_existing=True).result()
        array[..., 0] = turned
    else:
        layout = ts.ChunkLayout(chunk_shape=CHUNK if kind.startswith("zarr") else CHUNK[::-1])
        array = ts.open(
            spec, create=True, delete_existing=True, dtype=ts.uint16, shape=turned.shape, chunk_layout=layout
        ).result()
        array[...] = turned
    return f"{kind.split()[0].rstrip('3')}://{folder}"


def chunk_files(folder: Path) -> list[Path]:
    names = ("zarr.json", ".zarray", "attributes.json", "info")
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in names)


@pytest.mark.parametrize("kind", DRIVERS)
def test_identity_follows_the_voxels_and_not_the_place(tmp_path: Path, kind: str) -> None:
    identity = open_volume(write(kind, tmp_path / "a")).identity
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert open_volume(write(kind, tmp_path / "a")).identity == identity
    moved = kind.split()[0].rstrip("3") + f"://{tmp_path}/b"
    assert open_volume(moved).identity == identity
    changed = TRUTH.copy()
    changed[-1, -1, -1] += np.uint16(1)
    assert open_volume(write(kind, tmp_path / "b", changed)).identity != identity


@pytest.mark.parametrize("kind", DRIVERS)
def test_missing_chunks_are_counted(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    uri = write(kind, tmp_path / "a")
    files = chunk_files(tmp_path / "a")
    assert len(files) == 3 * 3 * 2
    for path in files[:5]:
        path.unlink()
    source = open_volume(uri)
    whole = open_volume(write(kind, tmp_path / "b")).identity
    assert source.identity != whole
    assert f"{uri}: 5 of 18 chunks are not stored and read as the fill value" in caplog.text
    assert (source.read(WHOLE) == 0).sum() > 1000


@pytest.mark.parametrize("kind", DRIVERS)
def test_an_array_without_any_chunk_is_refused(tmp_path: Path, kind: str) -> None:
    uri = write(kind, tmp_path / "a")
    example = min(chunk_files(tmp_path / "a"))
    for path in chunk_files(tmp_path / "a"):
        path.unlink()
    with pytest.raises(
        InputError, match=f"^{uri}: none of its 18 chunks is stored; accepted: files such as "
    ) as caught:
        _ = open_volume(uri).identity
    assert str(caught.value).endswith(str(example.relative_to(tmp_path / "a")).removeprefix("4_4_40/"))


def test_chunks_that_are_nested_without_saying_so_are_refused(tmp_path: Path) -> None:
    uri = write("zarr nested", tmp_path / "a")
    metadata = json.loads((tmp_path / "a" / ".zarray").read_text())
    del metadata["dimension_separator"]
    (tmp_path / "a" / ".zarray").write_text(json.dumps(metadata))
    with pytest.raises(InputError, match=r"nested otherwise than .*; accepted: files such as 0\.0\.0"):
        _ = open_volume(uri).identity


@pytest.mark.parametrize("kind", DRIVERS)
@pytest.mark.parametrize("how", ["rewritten", "removed"])
def test_a_chunk_that_changes_while_it_is_read_ends_the_reading(tmp_path: Path, kind: str, how: str) -> None:
    source = open_volume(write(kind, tmp_path / "a"))
    box = Roi((0, 1), (0, 1), (0, 1))
    before, again = source.identity, pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(again.read(box), TRUTH[box.slices])
    time.sleep(0.02)  # longer than the tick of a file system's clock
    if how == "rewritten":
        write(kind, tmp_path / "a", TRUTH // 2)
    else:
        chunk_files(tmp_path / "a")[0].unlink()
    with pytest.raises(SourceError, match="the data changed while they were read"):
        again.read(box)
    assert open_volume(source.uri).identity != before


@pytest.mark.parametrize("order", ["zyx", "xyz", "yxz"])
def test_axes_are_read_by_name(tmp_path: Path, order: str) -> None:
    stored = np.ascontiguousarray(TRUTH.transpose(["zyx".index(axis) for axis in order]))
    uris = [writers.write_ome(tmp_path / version, stored, order, version=version) for version in ("0.4", "0.5")]
    (tmp_path / "xarray").mkdir()
    uris.append(writers.write_zarr2(tmp_path / "xarray", stored))
    (tmp_path / "xarray" / ".zattrs").write_text(json.dumps({"_ARRAY_DIMENSIONS": list(order.upper())}))
    for uri in (*uris, f"{uris[0]}/s0", f"{uris[1]}/s0"):
        np.testing.assert_array_equal(open_volume(uri).read(WHOLE), TRUTH)


def test_voxel_size_and_origin_come_from_the_metadata(tmp_path: Path) -> None:
    for name in ("group", "group/s0"):
        uri = writers.write_ome(tmp_path / "group", TRUTH, "zyx") if name == "group" else f"zarr://{tmp_path}/{name}"
        source = open_volume(uri)
        assert (source.voxel_size_um, source.origin_um) == ((2.0, 2.0, 2.0), (0.0, 0.0, 10.0))
    assert open_volume(write("precomputed", tmp_path / "precomputed")).voxel_size_um == (0.04, 0.004, 0.004)
    assert open_volume(write("zarr", tmp_path / "zarr")).voxel_size_um is None


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ("[1, 2]", r"/\.zattrs: unusable \(AttributeError\); accepted: a JSON object"),
        ("[" * 100_000, r"/\.zattrs: unusable \((RecursionError|JSONDecodeError)\)"),
        ('{"multiscales": 7}', r"multiscales: unusable \(TypeError"),
        ('{"multiscales": [{"datasets": [{}]}]}', r"multiscales: unusable \(KeyError"),
        ('{"multiscales": [{"datasets": [{"path": "s0"}], "axes": ["y", "z"]}]}', "3 axes with 2 names"),
        (
            '{"multiscales": [{"datasets": [{"path": "s0"}], "axes": ["a", "b", "c"]}]}',
            "axes a, b, c; accepted: z",
        ),
    ],
    ids=["list", "deep", "number", "no path", "too few", "other names"],
)
def test_metadata_that_are_unusable_are_one_line(tmp_path: Path, attributes: str, words: str) -> None:
    uri = writers.write_ome(tmp_path / "group", TRUTH, "zyx")
    (tmp_path / "group" / ".zattrs").write_text(attributes)
    with pytest.raises(InputError, match=words) as caught:
        open_volume(uri)
    assert "\n" not in str(caught.value)


def test_names_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    uri = writers.write_ome(tmp_path / "group", TRUTH, "xyz", version="0.5")
    array = tmp_path / "group" / "s0" / "zarr.json"
    array.write_text(json.dumps(json.loads(array.read_text()) | {"dimension_names": ["z", "y", "x"]}))
    with pytest.raises(InputError, match="axes z, y, x in the array, x, y, z in its metadata"):
        open_volume(f"{uri}/s0")


@pytest.mark.parametrize("chunks", [[2**40, 64, 64], [2**20, 2**20, 2**20]])
def test_an_enormous_chunk_is_refused_before_memory_is_taken(tmp_path: Path, chunks: list[int]) -> None:
    uri = writers.write_zarr2(tmp_path, TRUTH, chunks=chunks)
    with pytest.raises(InputError, match=f"chunks of [0-9]+ bytes; accepted: at most {chunked.MOST_CHUNK_BYTES}"):
        open_volume(uri)


def test_a_sharded_precomputed_volume_is_watched_as_a_whole(tmp_path: Path) -> None:
    sharding = {
        "@type": "neuroglancer_uint64_sharded_v1",
        **{"preshift_bits": 0, "minishard_bits": 0, "shard_bits": 1, "hash": "identity"},
    }
    scale = {"size": SHAPE[::-1], "resolution": [1, 1, 1], "encoding": "raw", "chunk_size": [16, 16, 16]}
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": f"{tmp_path}/"},
        "multiscale_metadata": {"type": "image", "data_type": "uint16", "num_channels": 1},
        "scale_metadata": scale | {"sharding": sharding},
    }
    array = ts.open(spec, create=True).result()
    array[..., 0] = TRUTH.T
    source = open_volume(f"precomputed://{tmp_path}")
    before = source.identity
    np.testing.assert_array_equal(source.read(WHOLE), TRUTH)
    time.sleep(0.02)
    array[..., 0] = TRUTH.T // 2
    with pytest.raises(SourceError, match="changed while they were read"):
        source.read(WHOLE)
    assert open_volume(source.uri).identity != before


def test_missing_chunks_within_a_shard_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    codec = {"chunk_shape": [3, 4, 4], "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}]}
    metadata = {
        "shape": SHAPE,
        "data_type": "uint16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [9, 20, 32]}},
        "codecs": [{"name": "sharding_indexed", "configuration": codec}],
    }
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{tmp_path}/"}, "metadata": metadata}
    ts.open(spec, create=True).result()[:, :4] = TRUTH[:, :4]
    source = open_volume(f"zarr://{tmp_path}")
    assert source.identity
    assert "not stored" not in caplog.text
    np.testing.assert_array_equal(source.read(WHOLE)[:, :4], TRUTH[:, :4])
    assert caplog.text.count("chunks are not stored and read as the fill value") == 1


def test_huge_sets_are_identified_without_reading_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtneuro_ray.volumes.file_set.MOST_DIGESTED_BYTES", 1000)
    uri = write("zarr", tmp_path / "a")
    before = open_volume(uri).identity
    assert open_volume(uri).identity == before
    path = chunk_files(tmp_path / "a")[0]
    path.write_bytes(path.read_bytes()[::-1])
    assert open_volume(uri).identity != before


def test_a_chunk_that_a_server_lacks_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.volumes.test_chunked import Bucket

    write("zarr", tmp_path / "a")
    (tmp_path / "a" / "0.0.0").unlink()
    bucket = Bucket(tmp_path)
    try:
        source = open_volume(f"zarr://{bucket.address}/a")
        with caplog.at_level(logging.WARNING):
            voxels = source.read(WHOLE)
            source.read(WHOLE)
    finally:
        bucket.close()
    assert not voxels[:4, :8, :16].any()
    np.testing.assert_array_equal(voxels[4:], TRUTH[4:])
    assert caplog.text.count("chunks are not stored and read as the fill value") == 1
