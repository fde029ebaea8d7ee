"""BossDB through the real client: faults, tokens and what is asked of the server."""

from __future__ import annotations

import logging
import os
import pickle
import traceback
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtneuro_ray.errors import InputError, MTNeuroError, SourceError
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes import bossdb
from mtneuro_ray.volumes.bossdb import BossSettings, BossSource, connect, open_bossdb
from mtneuro_ray.volumes.http_reads import parse_retry_after
from mtneuro_ray.volumes.source import Voxels
from tests.bossdb_server import BossServer, Fault
from tests.volumes.conftest import SHAPE, TOKEN, random_volume

URI = "bossdb://lab/brain/image"
BOX = Roi((1, 5), (2, 8), (3, 19))
HOPELESS: dict[Fault, tuple[type[MTNeuroError], str]] = {
    "400": (SourceError, f"refused box {BOX} (HTTP 400)"),
    "401": (InputError, "set BOSSDB_TOKEN"),
    "403": (InputError, "set BOSSDB_TOKEN"),
    "404": (InputError, "no such channel"),
    "429-long": (SourceError, "asks to be left alone for 7200 s"),
}
TRUTH = random_volume(0, "uint8")


@pytest.fixture
def server() -> Iterator[BossServer]:
    with BossServer({"lab/brain/image": TRUTH}, token=TOKEN, stall_s=2.0) as server:
        yield server


@pytest.fixture
def settings(server: BossServer) -> BossSettings:
    return BossSettings(server.host, "http", TOKEN, timeout_s=0.3, attempts=3, backoff_s=0.01)


@pytest.fixture
def source(settings: BossSettings) -> BossSource:
    return BossSource(URI, settings)


@pytest.fixture
def environment(server: BossServer, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("BOSSDB_HOST", server.host)
    monkeypatch.setenv("BOSSDB_PROTOCOL", "http")
    monkeypatch.setenv("BOSSDB_TOKEN", TOKEN)
    return monkeypatch


def everything_shown(error: BaseException) -> str:
    """Every text that any part of the chain of an exception, and its traceback, can show."""
    shown = "".join(traceback.format_exception(error))
    link: BaseException | None = error
    while link is not None:
        shown += str(link) + repr(link) + repr(link.args)
        link = link.__cause__ or link.__context__
    return shown


@pytest.mark.parametrize("fault", ["429", "stall", "empty", "reset", "endless", "top bit"])
def test_one_fault_is_recovered(server: BossServer, source: BossSource, fault: Fault) -> None:
    server.fail(fault)
    np.testing.assert_array_equal(source.read(BOX), TRUTH[BOX.slices])
    assert server.boxes == [("lab/brain/image", BOX)] * 2


@pytest.mark.parametrize("fault", ["503", "drip", "cut", "garbage", "shape", "list"])
def test_lasting_fault_ends_in_one_clear_error(server: BossServer, source: BossSource, fault: Fault) -> None:
    server.fail(forever=fault)
    with pytest.raises(SourceError) as caught:
        source.read(BOX)
    message = str(caught.value)
    assert message.startswith(f"{URI}: box {BOX} failed 3 times at {server.host}: ")
    assert "\n" not in message
    assert len(server.boxes) == 3
    assert TOKEN not in everything_shown(caught.value)


@pytest.mark.parametrize("fault", HOPELESS)
def test_hopeless_answers_are_not_asked_for_again(server: BossServer, source: BossSource, fault: Fault) -> None:
    kind, words = HOPELESS[fault]
    server.fail(forever=fault)
    with pytest.raises(kind) as caught:
        source.read(BOX)
    assert words in str(caught.value)
    assert URI in str(caught.value)
    assert len(server.boxes) == 1
    assert TOKEN not in everything_shown(caught.value)


@pytest.mark.parametrize("fault", ["503", "stall", "endless", "long", "unfolding", "list", "deep"])
def test_metadata_are_retried_too(server: BossServer, settings: BossSettings, fault: Fault) -> None:
    server.fail(fault, fault, metadata=True)
    assert BossSource(URI, settings).shape == SHAPE
    server.fail(forever=fault, metadata=True)
    with pytest.raises(SourceError, match="metadata failed 3 times"):
        BossSource(URI, settings)


def test_retry_waits_as_long_as_asked(server: BossServer, source: BossSource, caplog: pytest.LogCaptureFixture) -> None:
    server.fail("429")
    with caplog.at_level(logging.DEBUG):
        source.read(BOX)
    assert f"{URI}: box {BOX}: attempt 1 of 3: HTTP 429; next in 0.3 s" in caplog.text
    assert TOKEN not in caplog.text


def test_unreachable_service_names_the_phantom(settings: BossSettings) -> None:
    nobody = replace(settings, host="127.0.0.1:9")
    with pytest.raises(SourceError, match=r"use --volume phantom for the built-in volume$") as caught:
        BossSource(URI, nobody)
    assert "Connection refused" in str(caught.value)
    assert TOKEN not in everything_shown(caught.value)


def test_wrong_token_says_what_to_set(settings: BossSettings) -> None:
    wrong = replace(settings, token="wrong-s3cret")
    with pytest.raises(InputError, match="set BOSSDB_TOKEN") as caught:
        BossSource(URI, wrong)
    assert "s3cret" not in everything_shown(caught.value)


def test_unknown_channel_is_named(settings: BossSettings) -> None:
    with pytest.raises(InputError, match="bossdb://lab/brain/nothing: no such channel"):
        BossSource("bossdb://lab/brain/nothing", settings)


def test_opening_asks_for_metadata_once(server: BossServer, settings: BossSettings) -> None:
    source = BossSource(URI, settings)
    assert len(server.requests) == 3
    source.read(BOX)
    assert len(server.requests) == 4
    assert server.boxes == [("lab/brain/image", BOX)]


def test_pickle_holds_no_token_and_asks_for_nothing(
    server: BossServer, source: BossSource, environment: pytest.MonkeyPatch
) -> None:
    pickled = pickle.dumps(source)
    assert TOKEN.encode() not in pickled
    before = len(server.requests)
    again = pickle.loads(pickled)
    assert len(server.requests) == before
    np.testing.assert_array_equal(again.read(BOX), TRUTH[BOX.slices])
    environment.delenv("BOSSDB_TOKEN")
    with pytest.raises(InputError, match="set BOSSDB_TOKEN"):
        pickle.loads(pickled).read(BOX)


def test_another_process_takes_its_own_token(environment: pytest.MonkeyPatch) -> None:
    assert os.environ["BOSSDB_TOKEN"] == TOKEN
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        voxels: Voxels = pool.submit(open_bossdb(URI, Path()).read, BOX).result()
    np.testing.assert_array_equal(voxels, TRUTH[BOX.slices])


def test_settings_show_no_token(settings: BossSettings) -> None:
    assert TOKEN not in repr(settings)
    assert TOKEN not in str(settings)


def test_netrc_does_not_replace_the_token(source: BossSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    np.testing.assert_array_equal(source.read(BOX), TRUTH[BOX.slices])


def test_no_proxy_is_honoured(settings: BossSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert BossSource(URI, settings).shape == SHAPE


def test_large_boxes_are_split(server: BossServer, source: BossSource, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Roi.at((0, 0, 0), SHAPE)
    _, height, width = SHAPE
    for most in (5 * height * width, height * width - 1, width, 1):
        monkeypatch.setattr(bossdb, "MOST_VOXELS_A_REQUEST", most)
        server.boxes.clear()
        box = Roi((0, 2), (3, 6), (0, width)) if most <= width else whole
        np.testing.assert_array_equal(source.read(box), TRUTH[box.slices])
        assert all(asked.num_voxels <= max(most, width) for _, asked in server.boxes)
        assert sum(asked.num_voxels for _, asked in server.boxes) == box.num_voxels


def test_no_answer_takes_more_memory_than_its_box(server: BossServer, settings: BossSettings) -> None:
    for fault, words in (
        ("endless", "more than 1048960 bytes"),
        ("long", "1099511627776 bytes, more than 1048960"),
        ("unfolding", "more than 1048960 bytes"),
        ("top bit", "80 bytes that unfold to 4294967295, not to 384"),
        ("encoding", "Content-Encoding 'br'"),
    ):
        source = BossSource(URI, replace(settings, attempts=1))
        server.fail(cast(Fault, fault))
        tracemalloc.start()
        with pytest.raises(SourceError, match=rf"unusable answer \({words}\)"):
            source.read(BOX)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
        tracemalloc.stop()


def test_voxel_size_is_the_frame_s(source: BossSource) -> None:
    assert source.voxel_size_um == (1.17, 1.17, 1.17)


def test_boxes_below_the_frame_and_other_types_are_refused(server: BossServer, settings: BossSettings) -> None:
    server.starts = (2, 0, 0)
    with pytest.raises(InputError, match=rf"box {BOX} leaves the volume; accepted: from \(2, 0, 0\)"):
        BossSource(URI, settings).read(BOX)
    server.channels["lab/brain/image"] = TRUTH.astype(np.float32)
    with pytest.raises(SourceError, match=r"unusable answer \(ValueError: float32 is not a valid data type"):
        BossSource(URI, settings)


def test_labels_of_64_bits_arrive_whole() -> None:
    truth = random_volume(1, "uint64")
    with BossServer({"lab/brain/labels": truth}) as server:
        source = BossSource("bossdb://lab/brain/labels", BossSettings(server.host, "http"))
        np.testing.assert_array_equal(source.read(BOX), truth[BOX.slices])


def test_plain_client_reads_the_same(server: BossServer, settings: BossSettings) -> None:
    remote, _ = connect(settings)
    channel = remote.get_channel("image", "lab", "brain")
    voxels = remote.get_cutout(channel, 0, [3, 19], [2, 8], [1, 5], parallel=False)
    np.testing.assert_array_equal(voxels, TRUTH[BOX.slices])
    assert server.boxes == [("lab/brain/image", BOX)]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("HOST", "https://api.bossdb.io", "no host"),
        ("HOST", "user:pw@host", "no host"),
        ("PROTOCOL", "ftp", "accepted: http, https"),
        ("PROTOCOL", "http", "http to api.bossdb.io would send the token and voxels unprotected; accepted: https"),
        ("TIMEOUT_S", "soon", "accepted: seconds"),
        ("TIMEOUT_S", "0", "accepted: seconds"),
        ("TIMEOUT_S", "nan", "accepted: seconds"),
        ("TOKEN", "two words", "accepted: the bare token"),
    ],
)
def test_environment_is_checked(monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str) -> None:
    monkeypatch.setenv(f"BOSSDB_{name}", value)
    with pytest.raises(InputError, match=f"BOSSDB_{name}: .*{words}") as caught:
        BossSettings.from_env()
    assert "two words" not in str(caught.value)


def test_environment_defaults_to_the_public_service(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOST", "PROTOCOL", "TIMEOUT_S"):
        monkeypatch.delenv(f"BOSSDB_{name}", raising=False)
    monkeypatch.setenv("BOSSDB_TOKEN", " from-a-file\n")
    assert BossSettings.from_env() == BossSettings("api.bossdb.io", "https", "from-a-file", timeout_s=60.0)


@given(st.text(max_size=30))
def test_malformed_addresses_are_refused(rest: str) -> None:
    with pytest.raises(InputError, match="accepted: bossdb://collection/experiment/channel"):
        BossSource(f"bossdb://{rest}#", BossSettings())


@given(st.none() | st.text(max_size=40))
def test_retry_after_is_never_negative_and_never_fails(value: str | None) -> None:
    assert parse_retry_after(value) >= 0


def test_retry_after_reads_seconds_and_dates() -> None:
    assert parse_retry_after("2.5") == 2.5
    assert parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert parse_retry_after("Fri, 01 Jan 2100 00:00:00 GMT") > 1e6
