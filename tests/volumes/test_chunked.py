"""Chunked arrays: axes whatever their order on disk, offsets, and services that fail."""

from __future__ import annotations

import functools
import json
import pickle
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore as ts
from hypothesis import given
from hypothesis import strategies as st

from mtneuro_ray.errors import InputError, SourceError
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes import address as addresses
from mtneuro_ray.volumes.address import Address
from mtneuro_ray.volumes.chunked import ChunkedSource
from mtneuro_ray.volumes.source import Voxels, open_volume
from tests.volumes import writers
from tests.volumes.conftest import SHAPE, random_volume

TRUTH = random_volume(0, "uint16")
WHOLE = Roi.at((0, 0, 0), SHAPE)
BOX = Roi((1, 5), (2, 8), (3, 19))


class Bucket:
    """A folder served over HTTP, which spoils its next answers on demand.

    Attributes:
        faults: Taken by one request each: a status, "stall" or "cut"; None lets a request pass.
    """

    def __init__(self, folder: Path) -> None:
        self.faults: deque[int | str | None] = deque()
        self.forever: int | str | None = None
        self.num_requests = 0
        self.closing = threading.Event()
        handler = functools.partial(_Handler, self, directory=str(folder))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, bucket: Bucket, *args: Any, directory: str) -> None:
        self.bucket = bucket
        super().__init__(*args, directory=directory)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.bucket.num_requests += 1
        fault = self.bucket.faults.popleft() if self.bucket.faults else self.bucket.forever
        if fault == "stall":
            self.bucket.closing.wait(20)
        elif fault == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(b"part")
        elif isinstance(fault, int):
            self.send_error(fault)
        else:
            super().do_GET()


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    (tmp_path / "image").mkdir()
    writers.write_zarr3(tmp_path / "image", TRUTH)
    bucket = Bucket(tmp_path)
    yield bucket
    bucket.close()


@pytest.fixture
def address(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Address:
    monkeypatch.setattr(addresses, "BACKOFF_S", 0.01)
    monkeypatch.setattr(addresses, "TIMEOUT_S", 0.5)
    monkeypatch.setattr(addresses, "ATTEMPTS", 2)
    return Address("zarr", f"{bucket.address}/image")


def assert_whole(uri: str, truth: Voxels = TRUTH) -> None:
    np.testing.assert_array_equal(open_volume(uri).read(WHOLE), truth)


def test_many_compressed_chunks(tmp_path: Path) -> None:
    for driver in ("zarr", "zarr3", "n5"):
        spec = {"driver": driver, "kvstore": {"driver": "file", "path": f"{tmp_path}/{driver}/"}}
        data = TRUTH.T if driver == "n5" else TRUTH
        layout = ts.ChunkLayout(chunk_shape=[4, 4, 4])
        array = ts.open(spec, create=True, dtype=ts.uint16, shape=data.shape, chunk_layout=layout).result()
        array[...] = data
        assert_whole(f"{driver.rstrip('3')}://{tmp_path}/{driver}")


@pytest.mark.parametrize("order", ["zyx", "xyz", "yxz"])
def test_named_axes_come_first(tmp_path: Path, order: str) -> None:
    stored = np.ascontiguousarray(TRUTH.transpose(["zyx".index(axis) for axis in order]))
    for kind, write in {"zarr": writers.write_zarr3, "n5": writers.write_n5}.items():
        (tmp_path / kind).mkdir()
        # `axes` of N5 goes with its `dimensions`, which are those of the array reversed.
        key, names = ("dimension_names", order) if kind == "zarr" else ("axes", order[::-1])
        assert_whole(write(tmp_path / kind, stored, **{key: list(names)}))


@pytest.mark.parametrize(("write", "name"), [(writers.write_zarr2, ".zattrs"), (writers.write_zarr3, "zarr.json")])
def test_level_0_of_ome_zarr(tmp_path: Path, write: Callable[..., str], name: str) -> None:
    (tmp_path / "0").mkdir()
    write(tmp_path / "0", TRUTH[None, None])
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"multiscales": []}}}
    (tmp_path / name).write_text(json.dumps(group))
    assert_whole(f"zarr://{tmp_path}")


def test_axes_without_names_are_not_guessed_beyond_three(tmp_path: Path) -> None:
    uri = writers.write_zarr2(tmp_path, np.stack([TRUTH, TRUTH // 2]))
    with pytest.raises(InputError, match=r"4 axes without names \(2 x 9 x 20 x 31\); accepted: .* \?axes=czyx"):
        open_volume(uri)
    source = open_volume(f"{uri}?axes=czyx")
    assert (source.num_channels, source.shape) == (2, SHAPE)
    np.testing.assert_array_equal(source.channel(1).read(BOX), (TRUTH // 2)[BOX.slices])
    with pytest.raises(InputError, match=r"axis t is 2 long; accepted: 1"):
        open_volume(f"{uri}?axes=tzyx")


@pytest.mark.parametrize("shape", [(5,), (1, 2, 1, 4, 5, 6)])
def test_other_numbers_of_axes_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    uri = writers.write_zarr2(tmp_path, np.zeros(shape, np.uint8))
    with pytest.raises(InputError, match=f"{len(shape)} axes"):
        open_volume(uri)


@pytest.mark.parametrize("scheme", ["zarr", "n5"])
def test_two_axes_are_one_plane(tmp_path: Path, scheme: str) -> None:
    write = writers.write_n5 if scheme == "n5" else writers.write_zarr3
    source = open_volume(write(tmp_path, TRUTH[0]))
    assert source.shape == (1, *SHAPE[1:])
    np.testing.assert_array_equal(source.read(Roi((0, 1), (2, 8), (3, 19))), TRUTH[:1, 2:8, 3:19])


@pytest.mark.parametrize("dtype", ["bool", "int8", "int16", "int64", "float16", "float32", "float64"])
def test_every_numeric_type(tmp_path: Path, dtype: str) -> None:
    truth = random_volume(3, dtype)
    source = open_volume(writers.write_zarr3(tmp_path, truth, fill_value=False if dtype == "bool" else 0))
    assert source.dtype == dtype
    np.testing.assert_array_equal(source.read(WHOLE), truth)


def test_complex_voxels_are_refused(tmp_path: Path) -> None:
    uri = writers.write_zarr3(tmp_path, np.zeros(SHAPE, "complex64"), fill_value=[0, 0])
    with pytest.raises(InputError, match="voxels of type complex64; accepted: bool, int8"):
        open_volume(uri)


def test_below_the_voxel_offset_is_an_error(tmp_path: Path) -> None:
    source = open_volume(writers.write_precomputed(tmp_path, TRUTH))
    z, y, x = writers.OFFSET
    box = Roi((z - 1, z + 1), (y, y + 1), (x, x + 1))
    with pytest.raises(InputError, match=rf"box {box} leaves the volume's domain; accepted: within z3-12_y2-22"):
        source.read(box)


def test_channels_of_precomputed(tmp_path: Path) -> None:
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": f"{tmp_path}/"},
        "multiscale_metadata": {"type": "image", "data_type": "uint16", "num_channels": 2},
        "scale_metadata": {"size": SHAPE[::-1], "resolution": [1, 1, 1], "encoding": "raw"},
    }
    array = ts.open(spec, create=True).result()
    array[..., 0], array[..., 1] = TRUTH.T, 0
    uri = f"precomputed://{tmp_path}"
    with pytest.raises(InputError, match=r"has 2 channels; accepted: one of them, \?channel=0 to 1"):
        open_volume(uri).read(BOX)
    assert_whole(f"{uri}?channel=0")
    assert_whole(f"{uri}?channel=1", np.zeros_like(TRUTH))
    with pytest.raises(InputError, match="channel: 2; accepted: 0 to 1"):
        open_volume(f"{uri}?channel=2")


@pytest.mark.parametrize("scheme", ["zarr", "n5", "precomputed"])
def test_nothing_there_is_one_line(tmp_path: Path, scheme: str) -> None:
    with pytest.raises(InputError, match=f"^{scheme}://{tmp_path}: no {scheme} array there$"):
        open_volume(f"{scheme}://{tmp_path}")
    with pytest.raises(InputError, match=f"^{scheme}://{tmp_path}/nothing: no such folder$"):
        open_volume(f"{scheme}://nothing", tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "not json", '{"zarr_format": 2, "shape": [-1]}'])
def test_damaged_metadata_are_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / ".zarray").write_text(text)
    with pytest.raises(SourceError, match=f"^zarr://{tmp_path}: metadata ") as caught:
        open_volume(f"zarr://{tmp_path}")
    assert "\n" not in str(caught.value)
    assert "tensorstore_spec" not in str(caught.value)


def test_damaged_chunk_is_one_line(tmp_path: Path) -> None:
    source = open_volume(writers.write_zarr2(tmp_path, TRUTH))
    (tmp_path / "0.0.0").write_bytes(b"garbage")
    with pytest.raises(SourceError, match=f"^zarr://{tmp_path}: box {BOX} could not be read: "):
        source.read(BOX)


def test_array_that_vanishes_is_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "volume"
    folder.mkdir()
    elsewhere = pickle.dumps(open_volume(writers.write_zarr2(folder, TRUTH)))
    shutil.rmtree(folder)
    with pytest.raises(InputError, match=f"^zarr://{folder}: no zarr array there$"):
        pickle.loads(elsewhere).read(BOX)


def test_bucket_reads(address: Address) -> None:
    source = ChunkedSource(address)
    assert source.uri == f"zarr://{address.place}"
    np.testing.assert_array_equal(source.read(BOX), TRUTH[BOX.slices])


@pytest.mark.parametrize("fault", [503, "stall", "cut"])
def test_one_fault_is_recovered(bucket: Bucket, address: Address, fault: int | str) -> None:
    bucket.faults.append(fault)
    source = ChunkedSource(address)
    bucket.faults.append(fault)
    np.testing.assert_array_equal(source.read(BOX), TRUTH[BOX.slices])


@pytest.mark.parametrize("fault", [403, 503, "stall"])
def test_lasting_fault_ends_in_one_clear_error(bucket: Bucket, address: Address, fault: int | str) -> None:
    source = ChunkedSource(address)
    bucket.forever, bucket.num_requests = fault, 0
    started = time.monotonic()
    with pytest.raises(SourceError, match=f"^{address.uri}: (box {BOX}|metadata)") as caught:
        source.read(BOX)
    assert "\n" not in str(caught.value)
    assert bucket.num_requests <= 8
    assert time.monotonic() - started < 10


def test_unreachable_bucket_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "BACKOFF_S", 0.01)
    monkeypatch.setattr(addresses, "ATTEMPTS", 1)
    with pytest.raises(SourceError, match=r"^n5://http://127\.0\.0\.1:9/x: attributes.json could not be read in 1"):
        ChunkedSource(Address("n5", "http://127.0.0.1:9/x"))


@pytest.mark.parametrize(
    ("rest", "place"),
    [
        ("/data/x/", "/data/x"),
        ("/data/../x", "/x"),
        ("x", "/base/x"),
        ("s3://bucket/some/key/", "s3://bucket/some/key"),
        ("https://host:8080/x", "https://host:8080/x"),
    ],
)
def test_addresses_are_canonical(rest: str, place: str) -> None:
    address = Address.parse(f"zarr://{rest}", Path("/base"))
    assert address.place == place
    assert address.remote == ("://" in rest)
    assert Address.parse(address.uri, Path("/elsewhere")) == address


@pytest.mark.parametrize("rest", ["", "ftp://host/x", "https://", "https://u:s3cret@host/x", "gs://b/x?key=s3cret"])
def test_addresses_that_hold_secrets_or_nothing_are_refused(rest: str) -> None:
    with pytest.raises(InputError, match="accepted: precomputed:// and a folder or an s3://") as caught:
        Address.parse(f"precomputed://{rest}", Path())
    assert "s3cret" not in str(caught.value)


def test_bucket_names_that_cannot_be_are_one_line() -> None:
    with pytest.raises(InputError, match="Invalid S3 bucket name"):
        ChunkedSource(Address("zarr", "s3://B/x"))


@given(st.text(max_size=30))
def test_any_address_parses_or_is_refused(rest: str) -> None:
    try:
        address = Address.parse(f"zarr://{rest}", Path())
    except InputError:
        return
    assert Address.parse(address.uri, Path("/elsewhere")) == address
