"""Drivers that share an output folder: processes and threads, with short beats."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mtneuro_ray.cluster.driver import Where, sweep
from mtneuro_ray.config.sweeps import load_sweep
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.errors import InputError, MTNeuroError
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.lease import only_driver
from tests.ray_cluster import ROOT
from tests.s3_server import S3Server
from tests.tiny import write_tiny

BEAT_S = 0.05
PATIENCE_S = 30.0
DRIVER = """
import sys, time
from mtneuro_ray.errors import MTNeuroError
from mtneuro_ray.storage.lease import only_driver
from mtneuro_ray.storage.folder import Folder
try:
    with only_driver(Folder(sys.argv[1]), beat_s=0.05, silence_s=float(sys.argv[2])):
        print("in", flush=True)
        time.sleep(60)
except MTNeuroError as error:
    print(type(error).__name__, error, flush=True)
"""


def drive(out: str, silence_s: float = 2.0) -> subprocess.Popen[str]:
    """A driver that stays until it is ended or taken over."""
    command = [sys.executable, "-c", DRIVER, out, str(silence_s)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip()


def end(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def sign_of(out: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Folder(out).read("driver.json"))
    return found


def leave_sign(out: str, **changes: Any) -> None:
    sign = {"driver": "other", "host": "elsewhere", "pid": 1, "beat": 0, **changes}
    Folder(out).write("driver.json", json.dumps(sign).encode())


def await_true(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_sign_moves_while_the_body_runs_and_is_gone_after_it(root: str) -> None:
    with only_driver(Folder(root), beat_s=BEAT_S):
        first = sign_of(root)
        assert (first["host"], first["pid"]) == (socket.gethostname(), os.getpid())
        await_true(lambda: sign_of(root)["beat"] > first["beat"] + 1)
    assert Folder(root).list() == []
    with pytest.raises(ZeroDivisionError), only_driver(Folder(root), beat_s=BEAT_S):
        raise ZeroDivisionError
    assert Folder(root).list() == []


def test_a_second_driver_is_refused_while_the_first_lives(root: str) -> None:
    first = drive(root)
    try:
        assert line_of(first) == "in"
        refused = pytest.raises(InputError, match=rf"process {first.pid} on .* runs a sweep here; accepted: another")
        with refused, only_driver(Folder(root), silence_s=PATIENCE_S):
            pytest.fail("let in")
        assert sign_of(root)["pid"] == first.pid
    finally:
        end(first)


def test_a_sweep_is_refused_before_it_starts_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny, out = write_tiny(tmp_path / "tiny"), tmp_path / "out"
    space, entries = load_sweep(str(tiny.space))
    monkeypatch.setattr("mtneuro_ray.cluster.connect.connected", lambda *_: pytest.fail("a cluster was asked for"))
    first = drive(str(out))
    try:
        assert line_of(first) == "in"
        with pytest.raises(InputError, match="runs a sweep here; accepted: another --out"):
            sweep(entries, space.run, Where(CutoutStore(Folder(out / "store")), Folder(out)))
    finally:
        end(first)


def test_a_driver_that_was_killed_here_is_followed_at_once(root: str) -> None:
    first = drive(root)
    assert line_of(first) == "in"
    end(first)
    assert sign_of(root)["pid"] == first.pid
    # Whoever waited for silence would still be waiting.
    with only_driver(Folder(root), silence_s=1e6):
        assert sign_of(root)["pid"] == os.getpid()


OF_ANOTHER_MACHINE = b'{"driver": "other", "host": "elsewhere", "pid": 1, "beat": 0}'


@pytest.mark.parametrize(
    "content",
    [
        OF_ANOTHER_MACHINE,
        b"",
        b"\xff",
        b"{}",
        b"[1]",
        b"[" * 100_000,
        OF_ANOTHER_MACHINE.replace(b"1", b'"1"'),
        OF_ANOTHER_MACHINE.replace(b'"elsewhere"', json.dumps(socket.gethostname()).encode()).replace(b"1", b"-1"),
        OF_ANOTHER_MACHINE.replace(b'"other"', b"[]"),
    ],
    ids=lambda content: content[:60],
)
def test_a_sign_that_does_not_move_is_taken_over(tmp_path: Path, content: bytes) -> None:
    root = str(tmp_path)
    Folder(root).write("driver.json", content)
    with only_driver(Folder(root), beat_s=BEAT_S, silence_s=0.2):
        assert sign_of(root)["pid"] == os.getpid()
    assert not Folder(root).exists("driver.json")


def test_a_driver_that_was_silent_for_too_long_ends_when_it_comes_back(root: str) -> None:
    first = drive(root)
    second = None
    try:
        assert line_of(first) == "in"
        first.send_signal(signal.SIGSTOP)
        second = drive(root, silence_s=0.5)
        assert line_of(second) == "in"
        first.send_signal(signal.SIGCONT)
        told = line_of(first)
        assert told.startswith(f"MTNeuroError {root}: process {second.pid} on ")
        assert "has taken over this sweep; accepted: one driver to an --out" in told
        assert first.wait(PATIENCE_S) == 0
        # What the first does last does not take the folder from the second.
        assert sign_of(root)["pid"] == second.pid
    finally:
        end(first, *([second] if second else []))


def test_of_drivers_that_start_at_once_one_ever_holds_the_folder(root: str) -> None:
    """The others wait, see that it lives, and are refused; none is let in and told later."""
    drivers = [drive(root, silence_s=PATIENCE_S) for _ in range(4)]
    try:
        await_true(lambda: sum(driver.poll() is None for driver in drivers) == 1)
        [alive] = [driver for driver in drivers if driver.poll() is None]
        assert line_of(alive) == "in"
        assert sign_of(root)["pid"] == alive.pid
        ended = [driver.communicate()[0].splitlines() for driver in drivers if driver is not alive]
        assert [len(lines) for lines in ended] == [1, 1, 1]
        assert all("runs a sweep here; accepted: " in lines[0] for lines in ended)
    finally:
        end(*drivers)


def test_of_drivers_that_find_a_dead_one_at_once_one_takes_over(root: str) -> None:
    leave_sign(root, host=socket.gethostname(), pid=2**22 + 1)
    together, holders = threading.Barrier(8), []

    def drive_here(number: int) -> None:
        together.wait(PATIENCE_S)
        with suppress(InputError), only_driver(Folder(root), beat_s=BEAT_S, silence_s=PATIENCE_S):
            holders.append(number)
            assert len(holders) == 1
            released.wait(PATIENCE_S)

    released = threading.Event()
    with ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(drive_here, number) for number in range(8)]
        await_true(lambda: sum(call.done() for call in calls) == 7)
        released.set()
        for call in calls:
            call.result(PATIENCE_S)
    assert len(holders) == 1
    assert Folder(root).list() == []


def test_a_body_in_another_thread_learns_of_it_at_its_end(root: str) -> None:
    told: list[str] = []

    def body() -> None:
        try:
            with only_driver(Folder(root), beat_s=BEAT_S):
                leave_sign(root)
                time.sleep(6 * BEAT_S)
        except MTNeuroError as error:
            told.append(str(error))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join(PATIENCE_S)
    assert told == [f"{root}: process 1 on elsewhere has taken over this sweep; accepted: one driver to an --out"]
    assert sign_of(root)["driver"] == "other"


def test_a_folder_that_can_not_be_written_for_a_while_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_if, failed = Folder.replace_if, threading.Event()

    def no_space(folder: Folder, name: str, content: bytes, version: object) -> bool:
        failed.set()
        raise OSError(28, "No space left on device")

    with only_driver(Folder(tmp_path), beat_s=BEAT_S):
        monkeypatch.setattr(Folder, "replace_if", no_space)
        assert failed.wait(PATIENCE_S)
        monkeypatch.setattr(Folder, "replace_if", replace_if)
        before = sign_of(str(tmp_path))["beat"]
        await_true(lambda: sign_of(str(tmp_path))["beat"] > before)


def test_a_bucket_that_is_away_for_a_while_ends_nothing(
    bucket: str, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that a beat is given up while the bucket is away, and not only late.
    monkeypatch.setattr("mtneuro_ray.storage.bucket._PATIENCE_S", 0.1)
    with only_driver(Folder(bucket), beat_s=BEAT_S):
        before = sign_of(bucket)
        s3.stop()
        time.sleep(2)
        s3.start()
        await_true(lambda: sign_of(bucket)["beat"] > before["beat"] + 1)
        assert sign_of(bucket)["driver"] == before["driver"]
        with pytest.raises(InputError, match="runs a sweep here"), only_driver(Folder(bucket), silence_s=PATIENCE_S):
            pytest.fail("let in")
    assert Folder(bucket).list() == []


def test_a_bucket_that_is_away_at_the_end_hides_no_error_of_the_body(
    bucket: str, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mtneuro_ray.storage.bucket._PATIENCE_S", 0.1)

    def fail() -> None:
        s3.stop()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), only_driver(Folder(bucket)):
        fail()


@pytest.mark.parametrize("call", ["read_with_version", "delete"])
def test_a_folder_that_is_out_of_reach_at_the_end_hides_no_error_of_the_body(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, call: str
) -> None:
    def unreachable(*arguments: object) -> None:
        raise OSError(5, "Input/output error")

    def break_both() -> None:
        monkeypatch.setattr(Folder, call, unreachable)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), only_driver(Folder(tmp_path)):
        break_both()
    assert "driver.json: can't be removed" in caplog.text
    monkeypatch.undo()
    with only_driver(Folder(tmp_path), beat_s=BEAT_S, silence_s=0.2):
        monkeypatch.setattr(Folder, call, unreachable)
