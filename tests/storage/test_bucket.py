from __future__ import annotations

import _thread
import signal
import threading
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
