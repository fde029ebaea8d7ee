from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from mtneuro_ray.data.ledger import Ledger
from mtneuro_ray.data.pyramid import Level
from mtneuro_ray.data.volume_target import Layer, Placement, Scheme, Target, parse_target
from mtneuro_ray.errors import InputError, StoreError
from mtneuro_ray.roi import Roi
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.volumes.source import open_volume
from tests.s3_server import S3Server

CLASSES = Layer("", classes=("bg", "cell"))
SHARES = Layer("", channels=("bg", "cell", "axon"))
CHUNK = (2, 4, 8)
SHAPE = (3, 9, 20)


def target_of(folder: Path, scheme: Scheme, layer: Layer, offset: tuple[int, int, int] = (4, 6, 10)) -> Target:
    levels = (Level((1, 1, 1), offset, SHAPE), Level((1, 2, 2), (offset[0], 3, 5), (3, 5, 10)))
    return Target(
        Folder(folder), scheme, (layer,), levels, CHUNK, Placement((1, 2, 2), (3.0, 0.5, 0.5), (30.0, 0.0, 1.0))
    )


def written(target: Target, seed: int = 0) -> dict[int, Any]:
    found = {}
    for number, level in enumerate(target.levels):
        array = target.array(target.layers[0], number)
        shape = (*([array.num_channels] if array.num_channels else []), *level.shape)
        found[number] = np.random.default_rng(seed).integers(0, 3, shape, np.uint8)
        for box in Roi.at((0, 0, 0), level.shape).split((2, 8, 8)):
            array.write(box, found[number][(..., *box.slices)])
    target.complete({"run": "r"})
    return found


@pytest.mark.parametrize("layer", [CLASSES, SHARES], ids=["classes", "shares"])
@pytest.mark.parametrize("scheme", ["zarr", "precomputed"])
def test_what_is_written_by_blocks_reads_back_and_depends_on_no_cutting(
    tmp_path: Path, scheme: Scheme, layer: Layer
) -> None:
    target = target_of(tmp_path / "a", scheme, layer)
    pixels = written(target)
    for number in (0, 1):
        array = target.array(layer, number)
        box = Roi((1, 3), (2, 5), (3, 10))
        np.testing.assert_array_equal(array.read(box), pixels[number][(..., *box.slices)])
    other = target_of(tmp_path / "b", scheme, layer)
    for number, level in enumerate(other.levels):
        other.array(layer, number).write(Roi.at((0, 0, 0), level.shape), pixels[number])
    other.complete({"run": "r"})
    files = {
        path.relative_to(tmp_path / "a"): path.read_bytes() for path in (tmp_path / "a").rglob("*") if path.is_file()
    }
    assert files == {
        path.relative_to(tmp_path / "b"): path.read_bytes() for path in (tmp_path / "b").rglob("*") if path.is_file()
    }


def test_an_ome_zarr_opens_with_zarr_and_as_a_volume_in_its_place(tmp_path: Path) -> None:
    target = target_of(tmp_path / "t", "zarr", CLASSES)
    pixels = written(target)
    group: Any = zarr.open_group(tmp_path / "t", mode="r")
    np.testing.assert_array_equal(group["1"][:], pixels[1])
    volume = open_volume(f"zarr://{tmp_path}/t")
    assert (volume.shape, volume.voxel_size_um) == (SHAPE, (3.0, 1.0, 1.0))
    # Middles of pixels of 2 x 2 voxels, from voxel (4, 12, 20) on.
    assert volume.origin_um == (30 + 4 * 3.0, 12.5 * 0.5, 1 + 20.5 * 0.5)
    np.testing.assert_array_equal(volume.read(Roi.at((0, 0, 0), SHAPE)), pixels[0])
    coarse = group.attrs["ome"]["multiscales"][0]["datasets"][1]["coordinateTransformations"]
    assert coarse == [
        {"type": "scale", "scale": [3.0, 2.0, 2.0]},
        {"type": "translation", "translation": [42.0, 12 * 0.5 + 0.75, 1 + 20 * 0.5 + 0.75]},
    ]


@pytest.mark.parametrize("layer", [CLASSES, SHARES], ids=["classes", "shares"])
def test_the_validator_of_the_format_finds_nothing_to_say(tmp_path: Path, layer: Layer) -> None:
    models: Any = pytest.importorskip("ome_zarr_models")
    written(target_of(tmp_path / "t", "zarr", layer))
    found = models.open_ome_zarr(zarr.open_group(tmp_path / "t", mode="r"))
    assert (found.ome_zarr_version, len(found.attributes.ome.multiscales[0].datasets)) == ("0.5", 2)


def test_a_precomputed_volume_opens_in_its_place(tmp_path: Path) -> None:
    target = target_of(tmp_path / "t", "precomputed", CLASSES)
    pixels = written(target)
    volume = open_volume(f"precomputed://{tmp_path}/t")
    assert volume.voxel_size_um == (3.0, 1.0, 1.0)
    np.testing.assert_array_equal(volume.read(Roi.at((4, 6, 10), SHAPE)), pixels[0])
    info = json.loads((tmp_path / "t" / "info").read_text())
    assert (info["type"], info["scales"][1]["resolution"]) == ("segmentation", [2000.0, 2000.0, 3000.0])
    labels = json.loads((tmp_path / "t" / "segment_properties" / "info").read_text())
    assert labels["inline"]["properties"][0]["values"] == ["bg", "cell"]


@pytest.mark.parametrize("scheme", ["zarr", "precomputed"])
def test_a_chunk_that_is_lost_is_no_background(tmp_path: Path, scheme: Scheme) -> None:
    target = target_of(tmp_path / "t", scheme, CLASSES)
    array = target.array(CLASSES, 0)
    array.write(Roi.at((0, 0, 0), (2, 4, 8)), np.zeros((2, 4, 8), np.uint8))
    assert array.read(Roi.at((0, 0, 0), (2, 4, 8))).max() == 0
    with pytest.raises(StoreError, match=r"chunk .* is missing"):
        array.read(Roi.at((0, 0, 0), (2, 4, 9)))


def test_a_target_is_taken_by_one_prediction(tmp_path: Path) -> None:
    target = target_of(tmp_path / "t", "zarr", CLASSES)
    ledger = Ledger(target)
    assert not ledger.claim({"run": "a", "overlap": 0.5})
    assert not Ledger(target).claim({"run": "a", "overlap": 0.5})
    with pytest.raises(InputError, match=r'--to: .*t: holds a prediction whose run is "a", not "b"; accepted: '):
        ledger.claim({"run": "b", "overlap": 0.5})
    assert ledger.done(0) == set()
    ledger.mark(0, "z0-1_y0-1_x0-1")
    assert Ledger(target).done(0) == {"z0-1_y0-1_x0-1"}
    target.complete({"run": "a", "overlap": 0.5})
    assert ledger.claim({"run": "a", "overlap": 0.5})
    assert not (tmp_path / "t" / ".mtneuro").exists()
    with pytest.raises(InputError, match=r"whose overlap is 0\.5, not 0\.25"):
        ledger.claim({"run": "a", "overlap": 0.25})


def test_what_lies_in_a_place_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="t: is not empty; accepted: a place that is"):
        Ledger(target_of(tmp_path / "t", "zarr", CLASSES)).claim({})
    zarr.create_array(tmp_path / "z", shape=(2,), dtype="u1")
    with pytest.raises(InputError, match="z: holds another image; accepted: "):
        Ledger(target_of(tmp_path / "z", "zarr", CLASSES)).claim({})


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file/t: can't be written: Not a directory; accepted: "):
        Ledger(target_of(tmp_path / "file" / "t", "zarr", CLASSES)).claim({})


def test_a_full_disk_is_one_line_that_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    array = target_of(tmp_path / "t", "zarr", CLASSES).array(CLASSES, 0)
    monkeypatch.setattr(Folder, "write", fails)
    with pytest.raises(
        StoreError, match=r"box .* can't be written: No space left on device; accepted: the same command"
    ):
        array.write(Roi.at((0, 0, 0), (2, 4, 8)), np.zeros((2, 4, 8), np.uint8))


@pytest.mark.parametrize("uri", ["n5://x", "x.zarr", "zarr://", "zarr://https://host/x", "file:x"])
def test_addresses_that_cannot_be_written_are_refused(uri: str) -> None:
    with pytest.raises(InputError, match=r"--to: .*accepted: zarr:// or precomputed://"):
        parse_target(uri)


def test_a_bucket_holds_what_a_folder_holds(s3: S3Server, bucket: str, tmp_path: Path) -> None:
    local = target_of(tmp_path / "t", "zarr", SHARES)
    scheme, folder = parse_target(f"zarr://{bucket}")
    remote = Target(folder, scheme, local.layers, local.levels, local.chunk, local.placement)
    assert not Ledger(remote).claim({"run": "r"})
    Ledger(remote).mark(0, "z0-2_y0-4_x0-8")
    assert Ledger(remote).done(0) == {"z0-2_y0-4_x0-8"}
    with pytest.raises(InputError, match=r"holds a prediction whose run is"):
        Ledger(remote).claim({"run": "other"})
    pixels = written(local)
    assert written(remote).keys() == pixels.keys()
    assert Ledger(remote).claim({"run": "r"})
    assert not folder.exists(".mtneuro/job.json")
    for path in (tmp_path / "t").rglob("*"):
        if path.is_file():
            assert folder.read(str(path.relative_to(tmp_path / "t"))) == path.read_bytes()
    np.testing.assert_array_equal(remote.array(SHARES, 0).read(Roi.at((0, 0, 0), SHAPE)), pixels[0])
