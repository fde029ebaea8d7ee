from __future__ import annotations

from pathlib import Path

import pytest

from mtneuro_ray.errors import InputError
from mtneuro_ray.storage.folder import Folder


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


def test_credentials_have_no_place_in_an_address() -> None:
    with pytest.raises(InputError, match="holds credentials; accepted: AWS_ACCESS_KEY_ID and ") as caught:
        Folder("s3://key:secret@bucket/out")
    assert "secret@" not in str(caught.value)
    assert "key" not in str(caught.value).partition(":")[0]
