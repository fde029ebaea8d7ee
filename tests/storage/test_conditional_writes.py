from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mtneuro_ray.storage.folder import Folder
from tests.s3_server import S3Server


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
