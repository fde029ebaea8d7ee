"""Submissions: what they hold, and that a damaged or changed one is refused."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from mtneuro_ray.errors import InputError
from mtneuro_ray.results.bundle import read_bundle, write_bundle
from mtneuro_ray.results.query import Results
from mtneuro_ray.storage.records import RunRecord
from tests.results.records import segmentation_record

VERSIONS = {"torch": "2.9", "numpy": "2.0"}


def records() -> list[RunRecord]:
    task = {"image_chan": "file:/home/somebody/secret/image.npy"}
    made = [segmentation_record(seed=seed, task=task) for seed in (1, 2)]
    return [replace(record, host="my-machine", versions=VERSIONS, placement={"device": "cpu"}) for record in made]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    failed = replace(segmentation_record(seed=3), status="error", metrics={})
    assert write_bundle(Results.of([*records(), failed]), tmp_path / "mine.zip", "Mine") == 2
    return tmp_path / "mine.zip"


def changed(bundle: Path, change: Callable[[dict[str, bytes]], object]) -> Path:
    with zipfile.ZipFile(bundle) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(bundle.with_name("changed.zip"), "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return bundle.with_name("changed.zip")


def test_a_bundle_holds_finished_runs_their_table_and_environment_and_names_no_machine(bundle: Path) -> None:
    found = read_bundle(bundle)
    assert (found.name, found.digest) == ("Mine", hashlib.sha256(bundle.read_bytes()).hexdigest())
    assert [record.run_id for record in found.records] == sorted(record.run_id for record in records())
    for record in found.records:
        assert record.load_settings().run_id == record.run_id
        assert record.metrics["test"]["dataset/iou_mean"] == 0.25
    with zipfile.ZipFile(bundle) as archive:
        table = pd.read_parquet(io.BytesIO(archive.read("results.parquet")))
        environment = json.loads(archive.read("environment.json"))
        text = b"".join(archive.read(name) for name in archive.namelist()).decode("latin-1")
    assert set(table["run_id"]) == {record.run_id for record in found.records}
    assert environment == {"versions": {"numpy": ["2.0"], "torch": ["2.9"]}, "devices": ["cpu"]}
    assert "my-machine" not in text
    assert "somebody" not in text


def test_equal_runs_give_an_equal_file(bundle: Path) -> None:
    write_bundle(Results.of(reversed(records())), bundle.with_name("again.zip"), "Mine")
    assert bundle.with_name("again.zip").read_bytes() == bundle.read_bytes()


def better(files: dict[str, bytes]) -> None:
    name = next(name for name in files if name.startswith("runs/"))
    files[name] = files[name].replace(b'"dataset/iou_mean": 0.25', b'"dataset/iou_mean": 0.99')


def forged(files: dict[str, bytes]) -> None:
    """A run file that is none, with a checksum of its own."""
    manifest, name = json.loads(files["manifest.json"]), next(name for name in files if name.startswith("runs/"))
    files[name] = b'{"run_id": "<script>"}'
    manifest["files"][name] = hashlib.sha256(files[name]).hexdigest()
    files["manifest.json"] = json.dumps(manifest).encode()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (better, "has another checksum than the manifest says"),
        (lambda files: files.pop("results.parquet"), r"results\.parquet: is missing"),
        (lambda files: files.update({"more\n.json": b""}), r"more\\n\.json: is not in the manifest"),
        (lambda files: files.pop("manifest.json"), "is no whole bundle"),
        (lambda files: files.update({"manifest.json": b'{"format": 9}'}), "is of format 9; accepted: 1"),
        (forged, r"runs/.*: .*status: is missing"),
    ],
)
def test_a_bundle_that_was_changed_is_refused(
    bundle: Path, change: Callable[[dict[str, bytes]], object], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        read_bundle(changed(bundle, change))


def test_a_damaged_or_absent_file_is_refused(bundle: Path, tmp_path: Path) -> None:
    content = bytearray(bundle.read_bytes())
    content[len(content) // 3] ^= 255
    bundle.write_bytes(content)
    with pytest.raises(InputError, match=r"^\S+mine\.zip: "):
        read_bundle(bundle)
    bundle.write_bytes(content[:100])
    with pytest.raises(InputError, match="is no whole bundle"):
        read_bundle(bundle)
    with pytest.raises(InputError, match="no such file"):
        read_bundle(tmp_path / "absent.zip")
