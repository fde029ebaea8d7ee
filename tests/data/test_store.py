import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtneuro_ray.data.store import STORED, CutoutStore, as_stored
from mtneuro_ray.errors import StoreError
from mtneuro_ray.roi import Roi
from mtneuro_ray.storage.folder import Folder
from tests.test_roi import SHAPE, boxes

IDENTITY = "file:volume of a test"
VOLUME = np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)
WHOLE = Roi.at((0, 0, 0), SHAPE)
HALVES = [Roi((0, 3), (0, 6), (0, 7)), Roi((3, 5), (0, 6), (0, 7))]


def store_of(path: Path, *shards: Roi) -> CutoutStore:
    store = CutoutStore(Folder(path))
    for roi in shards:
        store.write(IDENTITY, roi, VOLUME[roi.slices])
    return store


def file_of(path: Path, roi: Roi) -> Path:
    [file] = path.rglob(f"{roi}.parquet")
    return file


def test_a_shard_reads_back_what_was_written(tmp_path: Path) -> None:
    store = store_of(tmp_path, *HALVES)
    assert store.boxes(IDENTITY) == HALVES
    for roi in HALVES:
        voxels = store.read_shard(IDENTITY, roi)
        assert voxels.dtype == np.uint8
        np.testing.assert_array_equal(voxels, VOLUME[roi.slices])


def test_the_size_that_write_returns_is_the_file_s(tmp_path: Path) -> None:
    size = CutoutStore(Folder(tmp_path)).write(IDENTITY, WHOLE, VOLUME)
    assert size == file_of(tmp_path, WHOLE).stat().st_size


def test_sources_do_not_share_shards(tmp_path: Path) -> None:
    store = store_of(tmp_path, WHOLE)
    store.write("file:other", WHOLE, VOLUME // 2)
    np.testing.assert_array_equal(store.read("file:other", [WHOLE])[0], VOLUME // 2)
    np.testing.assert_array_equal(store.read(IDENTITY, [WHOLE])[0], VOLUME)
    assert store.boxes("file:third") == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(chunk=st.tuples(*(st.integers(2, 5) for _ in "zyx")), extra=st.lists(boxes, max_size=2), wanted=st.lists(boxes))
def test_any_boxes_are_assembled_from_shards_that_may_overlap(
    tmp_path: Path, chunk: tuple[int, int, int], extra: list[Roi], wanted: list[Roi]
) -> None:
    shutil.rmtree(tmp_path, ignore_errors=True)
    store = store_of(tmp_path, *WHOLE.split(chunk), *extra)
    for roi, voxels in zip(wanted, store.read(IDENTITY, wanted), strict=True):
        np.testing.assert_array_equal(voxels, VOLUME[roi.slices])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(shards=st.lists(boxes, max_size=4), wanted=boxes)
def test_voxels_that_no_shard_holds_are_counted(tmp_path: Path, shards: list[Roi], wanted: Roi) -> None:
    shutil.rmtree(tmp_path, ignore_errors=True)
    store = store_of(tmp_path, *shards)
    held = np.zeros(SHAPE, bool)
    for roi in shards:
        held[roi.slices] = True
    lacking = int((~held[wanted.slices]).sum())
    if lacking:
        with pytest.raises(StoreError, match=f": {lacking} voxels of box {wanted} of {IDENTITY} are not stored"):
            store.read(IDENTITY, [wanted])
    else:
        np.testing.assert_array_equal(store.read(IDENTITY, [wanted])[0], VOLUME[wanted.slices])


def test_the_same_voxels_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        store_of(tmp_path / name, HALVES[0])
    first, second = (file_of(tmp_path / name, HALVES[0]) for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    assert first.relative_to(tmp_path / "a") == second.relative_to(tmp_path / "b")


def test_an_array_that_is_not_contiguous_is_written_as_its_values(tmp_path: Path) -> None:
    store = CutoutStore(Folder(tmp_path))
    turned = np.ascontiguousarray(VOLUME.transpose()).transpose()
    assert not turned.flags.c_contiguous
    store.write(IDENTITY, WHOLE, turned)
    np.testing.assert_array_equal(store.read_shard(IDENTITY, WHOLE), VOLUME)


def test_an_array_of_another_shape_or_type_is_not_written(tmp_path: Path) -> None:
    store = CutoutStore(Folder(tmp_path))
    with pytest.raises(ValueError, match="integers or floats"):
        store.write(IDENTITY, WHOLE, VOLUME[:2])
    with pytest.raises(ValueError, match="bool"):
        store.write(IDENTITY, WHOLE, VOLUME > 0)
    assert list(tmp_path.iterdir()) == []


def test_a_shard_is_plain_parquet(tmp_path: Path) -> None:
    store_of(tmp_path, HALVES[1])
    table = pq.read_table(file_of(tmp_path, HALVES[1]))
    assert table.column("z").to_pylist() == [3, 4]
    assert table.schema.field("voxels").type.shape == [6, 7]
    planes = table.column("voxels").combine_chunks().to_numpy_ndarray()
    np.testing.assert_array_equal(planes, VOLUME[3:5])
    assert table.schema.metadata[b"mtneuro.box"].decode() == str(HALVES[1])
    assert table.schema.metadata[b"mtneuro.source"].decode() == IDENTITY


def truncated(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def emptied(file: Path) -> None:
    os.truncate(file, 0)


def replaced_by_text(file: Path) -> None:
    file.write_text("not parquet at all")


def foreign(file: Path, **columns: object) -> None:
    pq.write_table(pa.table(columns or {"a": [1, 2]}), file)


def foreign_with_voxels(file: Path) -> None:
    foreign(file, z=[0, 1, 2], voxels=[[1], [2], [3]])


def tensors_without_metadata(file: Path, dtype: type = np.uint8) -> None:
    planes = pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(VOLUME[:3].astype(dtype)))
    foreign(file, voxels=planes)


def of_another_type(file: Path) -> None:
    table = pq.read_table(file)
    signed = VOLUME[:3].view(np.int8)
    planes = pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(signed))
    changed = pa.table({"z": table.column("z"), "voxels": planes})
    pq.write_table(changed.replace_schema_metadata(table.schema.metadata), file)


def without_rows(file: Path) -> None:
    pq.write_table(pq.read_table(file).slice(0, 0), file)


def of_another_box(file: Path) -> None:
    shutil.copy(file.with_name(f"{HALVES[1]}.parquet"), file)


def of_another_box_of_its_shape(file: Path) -> None:
    store = store_of(file.parent.parent / "other")
    elsewhere = Roi((1, 4), (0, 6), (0, 7))
    store.write(IDENTITY, elsewhere, VOLUME[elsewhere.slices])
    shutil.move(file_of(file.parent.parent / "other", elsewhere), file)


def of_another_source(file: Path) -> None:
    store = store_of(file.parent.parent / "other")
    store.write("file:other", HALVES[0], VOLUME[HALVES[0].slices])
    shutil.move(file_of(file.parent.parent / "other", HALVES[0]), file)


DAMAGES = [
    truncated,
    emptied,
    replaced_by_text,
    foreign,
    foreign_with_voxels,
    tensors_without_metadata,
    of_another_type,
    without_rows,
    of_another_box,
    of_another_box_of_its_shape,
    of_another_source,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_shard_is_refused_and_dropped_alone(tmp_path: Path, damage: object) -> None:
    store = store_of(tmp_path, *HALVES)
    damage(file_of(tmp_path, HALVES[0]))  # type: ignore[operator]
    with pytest.raises(StoreError, match=f"shard {HALVES[0]} is damaged") as caught:
        store.read_shard(IDENTITY, HALVES[0])
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(StoreError):
        store.read(IDENTITY, [WHOLE])
    assert store.drop_damaged(IDENTITY, [WHOLE]) == [HALVES[0]]
    assert store.boxes(IDENTITY) == [HALVES[1]]
    assert store.drop_damaged(IDENTITY, [WHOLE]) == []


def test_no_flipped_byte_changes_a_voxel(tmp_path: Path) -> None:
    store = store_of(tmp_path, HALVES[0])
    file = file_of(tmp_path, HALVES[0])
    whole, refused = file.read_bytes(), 0
    for position in range(0, len(whole), 11):
        file.write_bytes(whole[:position] + bytes([whole[position] ^ 0x5A]) + whole[position + 1 :])
        try:
            # A byte of what Parquet notes beside the voxels may change and leave them as they are.
            np.testing.assert_array_equal(store.read_shard(IDENTITY, HALVES[0]), VOLUME[:3])
        except StoreError:
            refused += 1
    assert refused > len(whole) // 11 // 10


def test_only_shards_that_are_needed_are_checked(tmp_path: Path) -> None:
    store = store_of(tmp_path, *HALVES)
    for roi in HALVES:
        truncated(file_of(tmp_path, roi))
    assert store.drop_damaged(IDENTITY, [Roi((4, 5), (0, 1), (0, 1))]) == [HALVES[1]]
    assert store.boxes(IDENTITY) == [HALVES[0]]


@pytest.mark.parametrize(
    "name", ["copy.parquet", "z0-3_y0-6_x0-7 (1).parquet", "z00-3_y0-6_x0-7.parquet", "z3-3_y0-6_x0-7.parquet"]
)
def test_files_that_the_store_did_not_write_are_left_alone(tmp_path: Path, name: str) -> None:
    store = store_of(tmp_path, *HALVES)
    stranger = file_of(tmp_path, HALVES[0]).with_name(name)
    stranger.write_bytes(b"whatever")
    assert store.boxes(IDENTITY) == HALVES
    assert store.drop_damaged(IDENTITY, [WHOLE]) == []
    np.testing.assert_array_equal(store.read(IDENTITY, [WHOLE])[0], VOLUME)
    assert stranger.exists()


def test_a_shard_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=f"no shard {WHOLE}"):
        store_of(tmp_path).read_shard(IDENTITY, WHOLE)


@pytest.mark.parametrize("dtype", STORED)
def test_voxels_of_every_type_read_back_to_the_bit(tmp_path: Path, dtype: np.dtype[Any]) -> None:
    bits = np.random.default_rng(2).integers(0, 256, (*SHAPE[:2], SHAPE[2] * dtype.itemsize), np.uint8)
    voxels = np.ascontiguousarray(bits).view(dtype)  # with NaN and infinity among floats
    store = CutoutStore(Folder(tmp_path))
    store.write(IDENTITY, WHOLE, voxels)
    found = store.read(IDENTITY, [WHOLE])[0]
    assert found.dtype == dtype
    np.testing.assert_array_equal(found.view(np.uint8), voxels.view(np.uint8))
    assert store.drop_damaged(IDENTITY, [WHOLE], dtype) == []


@pytest.mark.parametrize("dtype", [np.uint8, np.uint64, np.int64, np.bool_])
def test_labels_of_8_bits_that_come_as_64_are_kept_in_one_byte(dtype: type[np.generic]) -> None:
    labels = np.array([[[0, 1, 255 if dtype is not np.bool_ else 1]]], dtype)
    stored = as_stored(labels)
    assert stored.dtype == np.uint8
    assert stored.tolist() == labels.astype(int).tolist()


@given(st.lists(st.integers(-(2**63), 2**64 - 1), min_size=1, max_size=6))
def test_integers_of_64_bits_take_the_smallest_type_that_loses_nothing(values: list[int]) -> None:
    signed = [value for value in values if value < 2**63] or [0]
    for dtype, own in ((np.int64, signed), (np.uint64, [abs(value) for value in values])):
        voxels = np.array([[own]], dtype)
        stored = as_stored(voxels)
        assert stored.dtype in STORED
        assert stored.tolist() == [[own]]


def test_shards_of_several_types_are_read_as_one_that_holds_all(tmp_path: Path) -> None:
    store = CutoutStore(Folder(tmp_path))
    left, right = (Roi.at((0, 0, x), (1, 1, 2)) for x in (0, 2))
    for values, common in (([[-1, 2], [3, 2**40]], np.int64), ([[0, 2], [3, 300]], np.uint16)):
        for roi, own in zip((left, right), values, strict=True):
            store.write(IDENTITY, roi, as_stored(np.array([[own]], np.int64)))
        found = store.read(IDENTITY, [Roi.at((0, 0, 0), (1, 1, 4))])[0]
        assert found.dtype == common
        assert found.ravel().tolist() == [*values[0], *values[1]]


def test_a_shard_of_another_type_than_the_volume_is_read_again(tmp_path: Path) -> None:
    # An earlier version stored 16 bits in one byte where all voxels of a box fitted.
    store = store_of(tmp_path, WHOLE)
    assert store.drop_damaged(IDENTITY, [WHOLE], np.dtype(np.uint64)) == []
    assert store.drop_damaged(IDENTITY, [WHOLE], np.dtype(np.uint16)) == [WHOLE]
    assert store.boxes(IDENTITY) == []


def test_a_shard_of_random_voxels_is_hardly_larger_than_they_are(tmp_path: Path) -> None:
    voxels = np.random.default_rng(1).integers(0, 256, (8, 64, 64), dtype=np.uint8)
    size = CutoutStore(Folder(tmp_path)).write(IDENTITY, Roi.at((0, 0, 0), voxels.shape), voxels)
    assert size < voxels.nbytes + 4096
