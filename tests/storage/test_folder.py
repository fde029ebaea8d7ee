from __future__ import annotations

import _thread
import errno
import os
import pickle
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mtneuro_ray.cli.main import main
from mtneuro_ray.errors import InputError
from mtneuro_ray.results import Results
from mtneuro_ray.storage import bucket as buckets
from mtneuro_ray.storage.bucket import open_store
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
    # The names of a bucket arrive in pages; a local folder has no pages.
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


def all_at_once(action: Callable[[int], bool], count: int = 8) -> list[bool]:
    """Results of an action that `count` threads call at the same moment, in the order of the threads."""
    together = threading.Barrier(count)

    def call(number: int) -> bool:
        together.wait(30)
        return action(number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(call, range(count)))


def test_of_several_that_create_a_file_one_does(root: str) -> None:
    folder = Folder(root)
    told = all_at_once(lambda number: folder.create("a/x", str(number).encode()))
    assert told.count(True) == 1
    assert folder.read("a/x") == str(told.index(True)).encode()
    assert (folder / "a").list() == ["x"]


def test_a_file_system_without_hard_links_creates_once_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(source: str, target: str) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    told = all_at_once(lambda number: Folder(tmp_path).create("x", str(number).encode()))
    assert told.count(True) == 1
    assert Folder(tmp_path).read("x") == str(told.index(True)).encode()


def test_of_several_that_replace_a_version_one_does(root: str) -> None:
    folder = Folder(root)
    folder.write("x", b"first")
    content, version = folder.read_with_version("x")
    assert content == b"first"
    told = all_at_once(lambda number: folder.replace_if("x", str(number).encode(), version))
    assert told.count(True) == 1
    assert folder.read("x") == str(told.index(True)).encode()
    assert folder.list() == ["x"]


def test_what_was_replaced_or_deleted_meanwhile_is_not_replaced(root: str) -> None:
    folder = Folder(root)
    folder.write("x", b"1")
    _, version = folder.read_with_version("x")
    folder.write("x", b"2")
    assert not folder.replace_if("x", b"3", version)
    assert folder.read("x") == b"2"
    folder.delete("x")
    assert not folder.replace_if("x", b"3", version)
    assert folder.list() == []


def test_a_conditional_write_whose_answer_is_lost_counts(bucket: str, s3: S3Server) -> None:
    folder, lost = Folder(bucket), [False]

    def lose(method: str, path: str) -> int | None:
        if method == "PUT" and not lost[0]:
            lost[0] = True
            s3.put(path, b"mine")
            return 500
        return None

    s3.fault = lose
    assert folder.create("x", b"mine")
    assert lost[0]


@pytest.mark.parametrize(
    ("root", "problem"),
    [
        ("", "'': is the name of no folder"),
        ("  ", "'  ': is the name of no folder"),
        ("a\udcffb", r"a\udcffb: is not UTF-8"),
        ("x" * 300, "File name too long"),
        ("a\0b", r"'a\x00b': is the name of no folder"),
        ("~no-such-user/x", "~no-such-user/x: "),
        ("s3://bucket/a//b?region=us-east-1", "has an empty part or dots in its path"),
        ("s3://bucket/../b?region=us-east-1", "has an empty part or dots in its path"),
        ("s3://bucket/a?color=red", "color: unknown option; accepted: endpoint_override, scheme, region"),
        ("gs://bucket/a?region=x", "region: unknown option; accepted: endpoint_override, scheme"),
    ],
)
def test_a_root_that_can_not_be_is_one_line(root: str, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        Folder(root)
    assert problem in str(caught.value)
    assert "accepted: " in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_name_that_is_too_long_is_one_line(tmp_path: Path) -> None:
    folder, name = Folder(tmp_path), "x" * 300
    for use in (folder.read, lambda name: folder.write(name, b""), lambda name: folder.create(name, b"")):
        with pytest.raises(InputError, match="is too long a name for this file system; accepted: a shorter one"):
            use(name)
    assert not folder.exists(name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", ".."])
def test_a_name_does_not_lead_out_of_the_folder(root: str, name: str) -> None:
    folder = Folder(root) / "a"
    for use in (
        folder.read,
        folder.exists,
        folder.delete_tree,
        lambda name: folder.write(name, b""),
        folder.__truediv__,
    ):
        with pytest.raises(InputError, match="leads out of the folder; accepted: a name in it"):
            use(name)


def test_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Folder("~/out").local_path == tmp_path / "out"
    assert Folder("~").local_path == tmp_path


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
            s3.put(path, b"new and longer")

    s3.fault = replace
    assert folder.read("x") in (b"old", b"new and longer")
    assert replaced.is_set()


def test_an_upload_that_fails_leaves_the_old_file(bucket: str, s3: S3Server) -> None:
    folder = Folder(bucket)
    folder.write("x", b"old")
    uploads = [0]

    def refuse_second_part(method: str, path: str) -> int | None:
        uploads[0] += method == "PUT"
        return 403 if method == "PUT" and uploads[0] == 2 else None

    s3.fault = refuse_second_part
    with pytest.raises(OSError, match=r"403 Forbidden \(AccessDenied\)"):
        folder.write("x", LARGE)
    s3.fault = lambda method, path: None
    assert folder.read("x") == b"old"
    assert folder.list() == ["x"]


@pytest.mark.parametrize("status", [500, 503])
def test_a_bucket_that_fails_for_a_while_is_asked_again(
    bucket: str, s3: S3Server, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For longer than obstore asks by itself."""
    monkeypatch.setattr(buckets, "_LONGEST_PAUSE_S", 0.01)
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


def test_a_bucket_that_is_away_for_a_while_is_waited_for(
    bucket: str, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "_LONGEST_PAUSE_S", 0.1)
    folder = Folder(bucket)
    s3.stop()
    back = threading.Timer(2, s3.start)
    back.start()
    folder.write("x", b"1")
    back.join()
    assert folder.read("x") == b"1"


def test_a_bucket_that_stays_away_is_given_up(bucket: str, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "_PATIENCE_S", 1.0)
    s3.stop()
    with pytest.raises(OSError, match="HTTP error"):
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
    assert told.startswith(f"error: {bucket}: nobody answers for bucket {name!r} (HTTP error: error sending request)")
    assert told.count("\n") == 1


def test_an_endpoint_of_the_environment_is_heeded(bucket: str, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the machines of a cluster an address has no options."""
    Folder(bucket).write("x", b"1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{s3.endpoint}")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert Folder(bucket.partition("?")[0]).read("x") == b"1"


def test_keys_and_region_of_the_profile_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id = other\n[lab]\naws_access_key_id = mine\naws_secret_access_key = hidden%\n"
    )
    (tmp_path / "config").write_text("[profile lab]\nregion = eu-west-3\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "lab")
    _, _, store = open_store("s3://bucket/out")
    assert store.config == {
        "bucket": "bucket",
        "region": "eu-west-3",
        "access_key_id": "mine",
        "secret_access_key": "hidden%",
    }
    _, _, store = open_store("s3://bucket/out?region=us-west-2")
    assert dict(store.config)["region"] == "us-west-2"
    (tmp_path / "credentials").write_bytes(b"\xff")
    with pytest.raises(InputError, match="color: unknown option"):
        open_store("s3://bucket/out?color=red")


def test_a_google_bucket_does_the_same(bucket: str, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_BEARER_TOKEN", "tests")
    folder = Folder(bucket.replace("s3://", "gs://")) / "a"
    folder.write("x", b"1")
    folder.write("y", LARGE)
    assert (folder.read("x"), folder.read("y")) == (b"1", LARGE)
    assert (Folder(bucket) / "a").list() == folder.list() == ["x", "y"]
    _, version = folder.read_with_version("x")
    assert folder.replace_if("x", b"2", version)
    assert not folder.replace_if("x", b"3", version)
    assert [folder.create(name, b"4") for name in ("x", "z")] == [False, True]
    assert [folder.read(name) for name in ("x", "z")] == [b"2", b"4"]
    folder.delete_tree("")
    assert folder.list() == []


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
        if method == "GET" and path.endswith(".json"):
            together.wait(30)

    s3.fault = meet
    assert {record.run_id for record in Results(bucket).records} == {record.run_id for record in records}
