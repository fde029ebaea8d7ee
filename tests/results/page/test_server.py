"""The live page over HTTP on the loopback interface: who is answered, with what, and what it shows of a sweep."""

from __future__ import annotations

import gzip
import http.client
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.errors import MTNeuroError
from mtneuro_ray.results.page.live import LivePage
from mtneuro_ray.results.page.server import PageServer
from mtneuro_ray.results.page.stored_results import StoredResults
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord
from mtneuro_ray.sweep.outline import write_outline
from tests.cli.test_watch import CANDIDATES, FAILED, SEARCH
from tests.results.figures.test_curves import GRID, SEEDS
from tests.results.page.reading import Page


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Client:
    """Asks a server as a browser does, or as one with other headers."""

    def __init__(self, server: PageServer) -> None:
        self.server = server

    def ask(self, path: str, *, token: str | None = None, host: str | None = None, method: str = "GET") -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=20)
        query = f"?token={self.server.token if token is None else token}"
        connection.putrequest(method, path + query, skip_host=True)
        if host != "":
            connection.putheader("Host", host or f"127.0.0.1:{self.server.server_port}")
        connection.endheaders()
        answer = connection.getresponse()
        content, headers = answer.read(), {name.lower(): value for name, value in answer.getheaders()}
        connection.close()
        if headers.get("content-encoding") == "gzip":
            content = gzip.decompress(content)
        return Answer(answer.status, headers, content.decode())


def server_of(out: Path) -> PageServer:
    live = LivePage(Folder(out), StoredResults(Folder(out), CutoutStore(Folder(out / "store"))), "the page")
    # The tests refresh by hand.
    return PageServer(live, every_s=3600)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    for record in (*GRID, *SEEDS):
        RunFolder(Folder(tmp_path)).write(record)
    return tmp_path


@pytest.fixture
def client(out: Path) -> Iterator[Client]:
    with server_of(out) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Client(server)
        server.shutdown()


def test_the_page_has_its_summary_and_asks_for_the_rest(client: Client) -> None:
    answer = client.ask("/")
    page = Page(answer.text)
    assert (answer.status, page.tiles["runs done"]) == (200, "7")
    assert page.data == {}
    assert [run[0] for run in client.ask("/data/runs").json["rows"]] != []
    [search] = client.ask("/data/searches").json
    assert search["title"] == "net on small, 2 epochs, phantom data"
    assert len(client.ask("/data/search-0").json["panels"]) == 2
    for name in ("scores", "confusions", "timings", "boxes", "clouds", "pictures"):
        assert client.ask(f"/data/{name}").status == 200
    assert "Best candidates" in client.ask("/fragment/summary").text
    details = client.ask(f"/data/run/{SEEDS[0].run_id}").json
    assert details["settings"]["network.seed"] == 1
    assert details["metrics"]["test"]["loss"] == 0.5


@pytest.mark.parametrize(
    "path",
    [
        "/data/none",
        "/data/search-1",
        "/data/search-x",
        "/data/box-0",
        "/data/run/none",
        "/x",
        "/fragment/page",
        "/data/run/..%2f..%2fetc%2fpasswd",
        "/fragment/..%2fpage",
        "/data/",
    ],
)
def test_an_unknown_path_is_not_found(client: Client, path: str) -> None:
    assert client.ask(path).status == 404


@pytest.mark.parametrize("token", ["", "wrong", "%C3%A9", "%00"])
def test_without_the_token_nothing_is_told(client: Client, token: str) -> None:
    for path in ("/", "/state", "/data/runs"):
        answer = client.ask(path, token=token)
        assert answer.status == 403
        assert "net" not in answer.text


@pytest.mark.parametrize("host", ["", "evil.example", "127.0.0.1", "evil.example:80", "127.0.0.1.evil.example:{port}"])
def test_another_host_is_refused_so_that_no_name_can_be_rebound(client: Client, host: str) -> None:
    answer = client.ask("/", host=host.format(port=client.server.server_port))
    assert (answer.status, answer.text) == (403, "this is another host\n")


def test_localhost_is_this_machine_and_only_get_is_answered(client: Client) -> None:
    assert client.ask("/", host=f"localhost:{client.server.server_port}").status == 200
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert client.ask("/", method=method).status == 501


def test_answers_are_kept_by_no_cache_and_shown_in_no_frame(client: Client) -> None:
    headers = client.ask("/").headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    policy = headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "unsafe" not in policy
    assert "access-control-allow-origin" not in headers


def test_tokens_differ_from_start_to_start_and_only_the_loopback_interface_listens(out: Path) -> None:
    with server_of(out) as one, server_of(out) as other:
        assert len(one.token) >= 32
        assert one.token != other.token
        assert one.server_address[0] == "127.0.0.1"
        with pytest.raises(MTNeuroError, match=f"--port: {one.server_port}: .*; accepted: a free port"):
            PageServer(one.live, one.server_port)


def test_a_part_that_fails_is_an_error_without_details(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: str) -> bytes:
        raise ValueError("a secret of this machine")

    monkeypatch.setattr(client.server.live.snapshot, "data", fail)
    answer = client.ask("/data/scores")
    assert (answer.status, answer.text) == (500, "this part could not be made\n")
    assert "a secret of this machine" in caplog.text
    assert client.server.token not in caplog.text


def test_runs_that_end_are_shown_with_the_progress_of_the_sweep(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with server_of(tmp_path) as server:
        live = server.live
        assert Page(gzip.decompress(live.snapshot.page()).decode()).tiles["runs done"] == "0"
        live.refresh()
        assert (live.snapshot.version, live.progress) == (0, [])

        write_outline(folder, [SEARCH])
        for record in (*CANDIDATES, FAILED):
            RunFolder(folder).write(record)
        live.refresh()
        state = json.loads(gzip.decompress(live.state()))
        assert state["version"] == 1
        assert state["stages"][0] == {"name": "search", "done": 2, "failed": 1, "expected": 3}
        assert state["progress"] == ["no sweep is at work here"]
        assert state["parts"][:2] == ["summary", "runs"]
        assert "failures" in state["parts"]
        failures = gzip.decompress(live.snapshot.fragment("failures")).decode()
        assert "the loss is nan" in failures


def test_a_folder_that_cannot_be_read_for_a_while_leaves_the_page_as_it_was(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any) -> dict[str, str]:
        raise OSError("the network is down")

    with server_of(out) as server:
        before = server.live.snapshot
        with monkeypatch.context() as patched:
            patched.setattr(Folder, "stamps", gone)
            server.live.refresh()
        assert server.live.progress == [f"{out}: can't be read now (the network is down)"]
        assert server.live.snapshot is before


def test_a_log_is_told_with_its_run(client: Client, out: Path) -> None:
    failed: RunRecord = replace(GRID[0], status="error", error="diverged", metrics={})
    (Folder(out) / "logs").write(f"{failed.run_id}.log", b"line one\n\x1b[31mred\n")
    assert client.ask(f"/data/run/{failed.run_id}").json["log"] == "line one\n\\x1b[31mred"
