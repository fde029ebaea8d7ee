from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path

import pytest

from mtneuro_ray.storage.folder import Folder

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
