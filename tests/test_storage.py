import os
import pickle
from pathlib import Path

import pytest

from mtneuro_ray.errors import InputError
from mtneuro_ray.storage import Folder


def test_a_written_file_reads_back_and_makes_its_folders(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "a") / "b"
    folder.write("c/d.bin", b"\x00\xff")
    assert folder.read("c/d.bin") == b"\x00\xff"
    assert (tmp_path / "a" / "b" / "c" / "d.bin").read_bytes() == b"\x00\xff"


def test_a_memoryview_is_written_as_its_bytes(tmp_path: Path) -> None:
    Folder(tmp_path).write("x", memoryview(bytearray(b"abc")))
    assert Folder(tmp_path).read("x") == b"abc"


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


def test_a_folder_that_is_not_there_lists_nothing(tmp_path: Path) -> None:
    assert Folder(tmp_path / "none").list() == []


def test_deleting_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write("a/x", b"1")
    folder.write("y", b"1")
    for _ in range(2):
        folder.delete("y")
        folder.delete_tree("a")
        assert list(tmp_path.iterdir()) == []


def test_exists_means_a_file(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write("a/x", b"1")
    assert folder.exists("a/x")
    assert not folder.exists("a")
    assert not folder.exists("b")


def test_reading_what_is_not_there_is_file_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Folder(tmp_path).read("x")


def test_a_pickled_folder_is_the_same_folder(tmp_path: Path) -> None:
    Folder(tmp_path).write("x", b"1")
    restored = pickle.loads(pickle.dumps(Folder(tmp_path)))
    assert str(restored) == str(tmp_path)
    assert restored.read("x") == b"1"


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
