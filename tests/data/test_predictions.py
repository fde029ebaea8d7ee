from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore as ts
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mtneuro_ray.data.mosaic import EMPTY, Mosaic
from mtneuro_ray.data.predictions import Predictions, exist, place_of, read, write
from mtneuro_ray.data.voxel_size import voxel_size_um
from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Roi
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.volumes.source import open_volume
from tests.settings import run_settings, task_settings

NO_FILE = "`mtneuro-ray predict` has written"


def mosaic(
    region: str = "CTX", shape: tuple[int, int, int] = (5, 6, 7), offset: tuple[int, int, int] = (420, 10, 3)
) -> Mosaic:
    pixels = np.random.default_rng(len(region)).integers(0, 4, shape, dtype=np.uint8)
    return Mosaic(region, offset, (1, 1, 1), pixels)


def predictions(*cubes: Mosaic, **changes: Any) -> Predictions:
    values: dict[str, Any] = {
        "run_id": "0123456789abcdef",
        "model": "UNet_2D",
        "task": "task2_2D_4class",
        "split": "test",
        "classes": ("bg", "vessels", "cells", "axons"),
        "data": ("phantom:image", "phantom:labels"),
        "voxel_size_um": 1.17,
        "cubes": cubes or (mosaic(),),
    }
    return Predictions(**{**values, **changes})


def assert_same(a: Predictions, b: Predictions) -> None:
    for name in ("run_id", "model", "task", "split", "classes", "data", "voxel_size_um"):
        assert getattr(a, name) == getattr(b, name)
    assert len(a.cubes) == len(b.cubes)
    for one, other in zip(a.cubes, b.cubes, strict=True):
        assert (one.region, one.offset, one.step) == (other.region, other.offset, other.step)
        np.testing.assert_array_equal(one.pixels, other.pixels)


mosaics = st.builds(
    Mosaic,
    st.text(max_size=6),
    st.tuples(*(st.integers(0, 6000),) * 3),
    st.sampled_from([(1, 1, 1), (1, 4, 4)]),
    arrays.arrays(
        np.uint8, arrays.array_shapes(min_dims=3, max_dims=3, max_side=70), elements=st.sampled_from([0, 3, EMPTY])
    ),
)


@settings(max_examples=30)
@given(st.lists(mosaics, min_size=1, max_size=3), st.none() | st.floats(0.1, 100))
def test_what_was_written_reads_back_here_and_with_the_zarr_package(
    tmp_path_factory: pytest.TempPathFactory, cubes: list[Mosaic], size: float | None
) -> None:
    folder = Folder(tmp_path_factory.mktemp("any") / "x.zarr")
    written = predictions(*cubes, voxel_size_um=size)
    write(folder, written)
    assert_same(read(folder), written)

    group = zarr.open_group(folder.local_path, mode="r")
    names: Any = group.attrs["cubes"]
    assert sorted(names) == sorted(group.group_keys())
    for name, cube in zip(names, cubes, strict=True):
        peer: Any = group[f"{name}/0"]
        assert (peer.dtype, peer.fill_value, peer.metadata.dimension_names) == (np.uint8, EMPTY, ("z", "y", "x"))
        np.testing.assert_array_equal(peer[:], cube.pixels)
        assert group[name].attrs["region"] == cube.region


def test_tensorstore_and_the_volumes_of_this_package_open_it(tmp_path: Path) -> None:
    cube = mosaic(shape=(40, 300, 20))
    write(Folder(tmp_path / "x.zarr"), predictions(cube))
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{tmp_path}/x.zarr/CTX/0/"}}
    opened = ts.open(spec).result()
    assert opened.chunk_layout.read_chunk.shape == (32, 256, 20)
    np.testing.assert_array_equal(opened.read().result(), cube.pixels)

    volume = open_volume(f"zarr://{tmp_path}/x.zarr/CTX")
    np.testing.assert_array_equal(volume.read(Roi.at((0, 0, 0), cube.pixels.shape)), cube.pixels)


def test_plain_attributes_and_ome_coordinates_place_it_in_the_volume(tmp_path: Path) -> None:
    cube = Mosaic("VP", (420, 850, 3063), (1, 4, 4), np.zeros((2, 3, 3), np.uint8))
    write(Folder(tmp_path / "x.zarr"), predictions(cube))
    about = json.loads((tmp_path / "x.zarr" / "VP" / "zarr.json").read_text())["attributes"]
    assert about["offset_zyx"] == [420, 850, 3063]
    assert about["voxels_per_pixel_zyx"] == [1, 4, 4]
    assert (about["shape"], about["not_predicted"], about["region"], about["split"]) == ([2, 3, 3], 255, "VP", "test")

    assert about["ome"]["version"] == "0.5"
    [image] = about["ome"]["multiscales"]
    assert image["axes"] == [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]
    [level] = image["datasets"]
    scale, translation = level["coordinateTransformations"]
    assert (level["path"], scale["type"], translation["type"]) == ("0", "scale", "translation")
    # The middle of pixel (1, 2, 0) is the middle of the 4 x 4 voxels 858-861, 3063-3066 of slice 421.
    place = [s * index + t for s, index, t in zip(scale["scale"], (1, 2, 0), translation["translation"], strict=True)]
    assert place == pytest.approx([1.17 * 421, 1.17 * 859.5, 1.17 * 3064.5])


def test_without_a_known_size_the_coordinates_are_voxels(tmp_path: Path) -> None:
    write(Folder(tmp_path / "x.zarr"), predictions(voxel_size_um=None))
    [image] = json.loads((tmp_path / "x.zarr" / "CTX" / "zarr.json").read_text())["attributes"]["ome"]["multiscales"]
    assert image["axes"][0] == {"name": "z", "type": "space"}
    assert image["datasets"][0]["coordinateTransformations"][0]["scale"] == [1.0, 1.0, 1.0]


def test_slices_that_were_not_predicted_take_no_room_and_are_no_background(tmp_path: Path) -> None:
    cube = mosaic(shape=(70, 4, 4))
    cube.pixels[2:66] = EMPTY
    write(Folder(tmp_path / "x.zarr"), predictions(cube))
    chunks = tmp_path / "x.zarr" / "CTX" / "0" / "c"
    assert sorted(path.name for path in chunks.iterdir()) == ["0", "2"]
    [found] = read(tmp_path / "x.zarr").cubes
    assert np.unique(found.pixels[2:66]).tolist() == [EMPTY]
    assert (found.pixels[66:] < EMPTY).all()


def test_regions_that_occur_twice_or_are_no_file_names(tmp_path: Path) -> None:
    regions = ("A", "A", "a/b", "")
    write(Folder(tmp_path / "x.zarr"), predictions(*(mosaic(region) for region in regions)))
    assert sorted(path.name for path in (tmp_path / "x.zarr").iterdir()) == ["A.1", "A.2", "a_b", "cube", "zarr.json"]
    assert tuple(cube.region for cube in read(tmp_path / "x.zarr").cubes) == regions


def test_writing_again_replaces_all_of_it(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "x.zarr")
    write(folder, predictions(mosaic("CTX"), mosaic("STR")))
    write(folder, predictions(mosaic("VP")))
    assert_same(read(folder), predictions(mosaic("VP")))
    assert [path.name for path in tmp_path.iterdir()] == ["x.zarr"]
    assert sorted(path.name for path in (tmp_path / "x.zarr").iterdir()) == ["VP", "zarr.json"]


def test_a_write_that_fails_leaves_nothing_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(tmp_path / "x.zarr")
    replace = os.replace

    def full(source: str, target: str) -> None:
        if str(target).endswith("STR/zarr.json"):
            raise OSError(28, "No space left on device")
        replace(source, target)

    write(folder, predictions(mosaic("VP")))
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write(folder, predictions(mosaic("CTX"), mosaic("STR")))
    assert_same(read(folder), predictions(mosaic("VP")))
    assert [path.name for path in tmp_path.iterdir()] == ["x.zarr"]


def test_in_a_bucket_the_root_goes_first_and_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(tmp_path / "x.zarr")
    write(folder, predictions(mosaic("VP")))
    order: list[str] = []
    put = Folder.write

    def recorded(self: Folder, name: str, content: bytes | memoryview) -> None:
        assert not exist(folder)
        order.append(name)
        put(Folder(self.root), name, content)

    bucket = Folder(tmp_path / "x.zarr")
    bucket.is_local = False
    monkeypatch.setattr(Folder, "write", recorded)
    write(bucket, predictions(mosaic("CTX")))
    assert order[-1] == "zarr.json"
    assert_same(read(folder), predictions(mosaic("CTX")))


def test_what_is_missing_or_damaged_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"x.zarr: holds no predictions; accepted: what {NO_FILE}"):
        read(tmp_path / "x.zarr")
    write(Folder(tmp_path / "x.zarr"), predictions())
    chunk = tmp_path / "x.zarr" / "CTX" / "0" / "c" / "0" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-9])
    with pytest.raises(InputError, match=f"is no whole set of predictions .* accepted: what {NO_FILE}"):
        read(tmp_path / "x.zarr")
    for text in ("{}", "not json", '{"attributes": {"format_version": 99}}'):
        (tmp_path / "x.zarr" / "zarr.json").write_text(text)
        with pytest.raises(InputError, match="is no whole set of predictions"):
            read(tmp_path / "x.zarr")


def test_where_predictions_lie(tmp_path: Path) -> None:
    out = Folder(tmp_path)
    assert place_of(out, "abc").local_path == tmp_path / "predictions" / "abc.zarr"
    assert place_of(out, "abc", "val").local_path == tmp_path / "predictions" / "abc-val.zarr"
    assert not exist(place_of(out, "abc"))


def test_the_size_of_a_voxel_is_the_tasks_or_that_of_the_known_volume() -> None:
    assert voxel_size_um(task_settings(voxel_size_um=0.5, image_chan="bossdb://prasad/prasad2020/image")) == 0.5
    assert voxel_size_um(task_settings(image_chan="bossdb://prasad/prasad2020/image")) == 1.17
    assert voxel_size_um(task_settings(image_chan="phantom://thalamocortical/image?seed=0")) == 1.17
    assert voxel_size_um(task_settings()) is None
    assert voxel_size_um(task_settings(), {"voxel_size_um": [4.0, 1.0, 2.0]}) == (4, 1, 2)
    assert voxel_size_um(task_settings(target_voxel_size_um=[2, 2, 2]), {"voxel_size_um": [4.0, 1.0, 2.0]}) == (2, 2, 2)


def test_predictions_of_a_run_name_it() -> None:
    run = run_settings()
    made = Predictions.of(run, "val", [mosaic()])
    assert (made.run_id, made.model, made.task, made.split) == (run.run_id, "net", "small", "val")
    assert (made.classes, made.data) == (run.task.classes, run.data)
