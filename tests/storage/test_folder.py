from __future__ import annotations

import _thread
import errno
import os
import pickle
import signal
import threading
import urllib.request
from pathlib import Path

import pytest

from mtneuro_ray.cli.main import main
from mtneuro_ray.errors import InputError
from mtneuro_ray.results import load
from mtneuro_ray.storage import folder as storage
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder
from tests.results.records import benchmark_record
from tests.s3_server import S3Server

# Two parts of an upload.
LARGE = bytes(range(256)) * 50_000


def test_a_written_file_reads_back_and_makes_its_folders(root: str) -> None:
    folder = Folder(root) / "a" / "b"
    for content in (b"\x00\xff", b"", LARGE):
        folder.write("c/d.bin", content)
        assert (folder / "c").read("d.bin") == content
        assert (Folder(root) / "a/b").read("c/d.bin") == content


def test_a_folder_on_this_machine_holds_plain_files(tmp_path: Path) -> None:
    (Folder(tmp_path) / "a").write("b/c", b"1")
    assert (tmp_path / "a" / "b" / "c").read_bytes() == b"1"


def test_a_memoryview_is_written_as_its_bytes(root: str) -> None:
    Folder(root).write("x", memoryview(bytearray(b"abc")))
    assert Folder(root).read("x") == b"abc"


def test_a_file_is_replaced(root: str) -> None:
    folder = Folder(root)
    for content in (b"first", b"second, and longer", b"3"):
        folder.write("x", content)
        assert folder.read("x") == content
    assert folder.list() == ["x"]


def test_a_write_that_fails_leaves_the_old_file_and_no_part_of_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path)
    folder.write("x.json", b"old")

    def no_space(source: str, target: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", no_space)
    with pytest.raises(OSError, match="No space"):
        folder.write("x.json", b"new")
    assert folder.read("x.json") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_a_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: str, target: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match=r"^\[Errno 28\] No space left on device: '.*/x\.json'$"):
        Folder(tmp_path).write("x.json", b"{}")
    assert list(tmp_path.iterdir()) == []


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(tmp_path)
    folder.write("x.json", b"old")
    seen: list[tuple[bytes, list[str]]] = []
    replace = os.replace

    def watched(source: str, target: str) -> None:
        seen.append((folder.read("x.json"), folder.list()))
        replace(source, target)

    monkeypatch.setattr(os, "replace", watched)
    folder.write("x.json", b"new")
    assert seen == [(b"old", ["x.json"])]
    assert folder.read("x.json") == b"new"


def test_what_a_killed_writer_left_is_not_listed(tmp_path: Path) -> None:
    for name in ("b.json", "a.json", "c.txt", ".partial-a.json-0123"):
        (tmp_path / name).write_text("")
    (tmp_path / "folder.json").mkdir()
    assert Folder(tmp_path).list(".json") == ["a.json", "b.json"]


def test_names_right_under_the_root_are_listed_in_order(root: str) -> None:
    folder = Folder(root)
    for name in ("b.json", "a.json", "c.txt", "below/d.json", "folder.json/e"):
        folder.write(name, b"1")
    assert folder.list(".json") == ["a.json", "b.json"]
    assert folder.list() == ["a.json", "b.json", "c.txt"]
    assert (folder / "below").list() == ["d.json"]


def test_more_files_than_fit_in_one_answer_are_listed(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Of a bucket; a folder has no such answers.
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
    folder = Folder(root)
    names = [f"{number:02}" for number in range(8)]
    for name in names:
        folder.write(name, b"")
    assert folder.list() == names


def test_a_folder_that_is_not_there_lists_nothing(root: str) -> None:
    assert (Folder(root) / "none").list() == []


def test_deleting_what_is_not_there_is_no_error(root: str) -> None:
    folder = Folder(root)
    folder.write("a/x", b"1")
    folder.write("a/b/x", b"1")
    folder.write("y", b"1")
    folder.write("ab", b"1")
    for _ in range(2):
        folder.delete("y")
        folder.delete_tree("a")
        assert folder.list() == ["ab"]
        assert not folder.exists("a/x")
        assert not folder.exists("a/b/x")


def test_exists_means_a_file(root: str) -> None:
    folder = Folder(root)
    folder.write("a/x", b"1")
    assert folder.exists("a/x")
    assert not folder.exists("a")
    assert not folder.exists("b")


def test_reading_what_is_not_there_is_file_not_found(root: str) -> None:
    for name in ("x", "a/x"):
        with pytest.raises(FileNotFoundError):
            Folder(root).read(name)
    Folder(root).write("a/x", b"1")
    with pytest.raises(FileNotFoundError):
        Folder(root).read("a/y")


def test_a_pickled_folder_is_the_same_folder(root: str) -> None:
    below = Folder(root) / "below"
    below.write("x", b"1")
    restored = pickle.loads(pickle.dumps(below))
    assert str(restored) == str(below)
    assert restored.read("x") == b"1"
    assert (restored / "a").root == (below / "a").root
    assert Folder(below.root).read("x") == b"1"


def test_a_place_that_is_there_passes_the_check(root: str) -> None:
    Folder(root).check()
    (Folder(root) / "none").check()


def test_a_relative_folder_stays_where_it_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Folder("out")
    monkeypatch.chdir("/")
    assert folder.local_path == tmp_path / "out"


@pytest.mark.parametrize("address", ["foo://bucket/key", "http://host/key", "://"])
def test_an_address_without_a_filesystem_is_one_line(address: str) -> None:
    with pytest.raises(InputError) as caught:
        Folder(address)
    assert str(caught.value).startswith(f"{address}: ")
    assert str(caught.value).endswith("accepted: a path, s3://... or gs://...")
    assert "\n" not in str(caught.value)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(InputError, match="is a file; accepted: a folder"):
        Folder(tmp_path / "x")


def test_options_of_a_bucket_address_stay_behind_the_path() -> None:
    folder = Folder("s3://bucket/out?region=us-east-1&scheme=http") / "runs"
    assert str(folder) == "s3://bucket/out/runs?region=us-east-1&scheme=http"
    assert not folder.is_local
    with pytest.raises(InputError, match="is not on this machine"):
        _ = folder.local_path


def test_a_question_mark_in_a_local_path_is_part_of_the_path(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "what?") / "runs"
    assert folder.local_path == tmp_path / "what?" / "runs"


def test_an_interrupted_write_into_a_bucket_is_whole(bucket: str, s3: S3Server) -> None:
    """Ctrl-C while an upload is under way."""
    folder, interrupted = Folder(bucket), threading.Event()
    folder.write("x", b"old")

    def interrupt(method: str, path: str) -> None:
        if method in ("PUT", "POST") and not interrupted.is_set():
            interrupted.set()
            _thread.interrupt_main()

    s3.fault = interrupt
    # Tests that a shell has started in the background ignore SIGINT.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            folder.write("x", LARGE)
    finally:
        signal.signal(signal.SIGINT, before)
    assert interrupted.is_set()
    assert folder.read("x") in (b"old", LARGE)


def test_a_file_that_is_replaced_while_it_is_read_is_read_whole(bucket: str, s3: S3Server) -> None:
    folder, replaced = Folder(bucket), threading.Event()
    folder.write("x", b"old")

    def replace(method: str, path: str) -> None:
        if method == "GET" and path.partition("?")[0].endswith("/x") and not replaced.is_set():
            replaced.set()
            # Not with pyarrow, which waits for the answer to the request that waits for this one.
            headers = {
                "Authorization": "AWS4-HMAC-SHA256 Credential=tests/20260101/us-east-1/s3/aws4_request",
                "Content-Type": "application/octet-stream",
            }
            put = urllib.request.Request(f"http://{s3.endpoint}{path}", b"new and longer", headers, method="PUT")
            urllib.request.urlopen(put).close()

    s3.fault = replace
    assert folder.read("x") == b"new and longer"
    assert replaced.is_set()


def test_an_upload_that_fails_leaves_the_old_file(bucket: str, s3: S3Server) -> None:
    folder = Folder(bucket)
    folder.write("x", b"old")
    uploads = [0]

    def refuse_second_part(method: str, path: str) -> int | None:
        uploads[0] += method == "PUT"
        return 403 if method == "PUT" and uploads[0] == 2 else None

    s3.fault = refuse_second_part
    with pytest.raises(OSError, match="ACCESS_DENIED"):
        folder.write("x", LARGE)
    s3.fault = lambda method, path: None
    assert folder.read("x") == b"old"
    assert folder.list() == ["x"]


@pytest.mark.parametrize("status", [500, 503])
def test_a_bucket_that_fails_for_a_while_is_asked_again(bucket: str, s3: S3Server, status: int) -> None:
    """For longer than pyarrow asks by itself."""
    folder, left = Folder(bucket), [0]
    folder.write("x", b"1")

    def fail(method: str, path: str) -> int | None:
        left[0] -= 1
        return status if left[0] >= 0 else None

    s3.fault = fail
    left[0] = 35
    if status == 503:
        folder.write("x", b"2")
    assert folder.read("x") == (b"2" if status == 503 else b"1")
    assert left[0] < 0


def test_a_bucket_that_is_away_for_a_while_is_waited_for(bucket: str, s3: S3Server) -> None:
    folder = Folder(bucket)
    s3.stop()
    back = threading.Timer(8, s3.start)
    back.start()
    folder.write("x", b"1")
    back.join()
    assert folder.read("x") == b"1"


def test_a_bucket_that_stays_away_is_given_up(bucket: str, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_PATIENCE_S", 1.0)
    s3.stop()
    with pytest.raises(OSError, match="NETWORK_CONNECTION"):
        Folder(bucket).read("x")


def test_credentials_have_no_place_in_an_address() -> None:
    with pytest.raises(InputError, match="holds credentials; accepted: AWS_ACCESS_KEY_ID and ") as caught:
        Folder("s3://key:secret@bucket/out")
    assert "secret@" not in str(caught.value)
    assert "key" not in str(caught.value).partition(":")[0]


_COMMANDS = [
    ["results", "runs", "--out"],
    ["sweep", "--space", "tune_spaces/smoke.toml", "--out"],
    ["ingest", "--task", "task2_2D_4class", "--volume", "phantom", "--preset", "smoke", "--store"],
]


@pytest.mark.parametrize("command", _COMMANDS, ids=lambda command: command[0])
def test_a_bucket_that_can_not_be_used_is_one_line_that_names_it(
    command: list[str], bucket: str, s3: S3Server, capsys: pytest.CaptureFixture[str]
) -> None:
    none = s3.address("no-such-bucket")
    assert main([*command, none]) == 2
    assert capsys.readouterr().err == (
        f"error: {none}: there is no bucket 'no-such-bucket'; accepted: one that exists, in the region it is in\n"
    )

    s3.fault = lambda method, path: 403
    assert main([*command, bucket]) == 2
    told = capsys.readouterr().err
    name = bucket.split("/")[2]
    assert told.startswith(f"error: {bucket}: bucket {name!r} refuses these credentials; accepted: AWS")

    s3.stop()
    assert main([*command, bucket]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"error: {bucket}: nobody answers for bucket {name!r} (Failed to connect to ")
    assert told.count("\n") == 1


def test_an_endpoint_of_the_environment_is_heeded(bucket: str, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on the machines of a cluster, where an address has no options."""
    Folder(bucket).write("x", b"1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{s3.endpoint}")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert Folder(bucket.partition("?")[0]).read("x") == b"1"


def test_a_small_file_is_one_request(bucket: str, s3: S3Server) -> None:
    folder = Folder(bucket)
    s3.requests.clear()
    folder.write("x", b"1")
    assert [method for method, _ in s3.requests] == ["PUT"]


def test_run_files_of_a_bucket_are_read_side_by_side(bucket: str, s3: S3Server) -> None:
    """Each answer waits for another reader: one reader alone would get none."""
    runs = RunFolder(Folder(bucket))
    records = [benchmark_record(seed=seed) for seed in range(8)]
    for record in records:
        runs.write(record)
    together = threading.Barrier(2)

    def meet(method: str, path: str) -> None:
        if method == "HEAD":
            together.wait(30)

    s3.fault = meet
    assert {record.run_id for record in load(bucket).records} == {record.run_id for record in records}
