from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data.attributes import ATTRIBUTES, names_of
from mtneuro_ray.data.embeddings import Embeddings, read, write
from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.data.sampling import samples
from mtneuro_ray.errors import InputError
from mtneuro_ray.storage.folder import Folder
from tests.settings import cube, network_settings, task_settings

TASK = task_settings(
    "readout",
    name="probe",
    classes=["bg", "vessels", "cells", "axons"],
    tile_size=[6, 8],
    downsample=2,
    cubes=[
        cube("B", split="test", z=(7, 9), y=[10, 16], x=[100, 108]),
        cube("B", z=(5, 7), y=[10, 16], x=[100, 108]),
        cube("A", z=(0, 1), y=[20, 26], x=[50, 66]),
    ],
)
FEATURES = 3


def readout_run() -> RunSettings:
    network = network_settings(name="coder", model="ResNet-18", classes=2, seed=100)
    source = RunSettings.of(task_settings("classification", name="regions"), network, "final", ["grey", "regions"])
    return RunSettings.of(TASK, network, "final", ["grey", "tissue"], source)


def splits(columns: int = 5) -> dict[Split, SplitArrays]:
    random = np.random.default_rng(0)
    found: dict[Split, SplitArrays] = {}
    names: tuple[Split, ...] = ("test", "train")
    for split in names:
        count = len(samples(TASK, split))
        found[split] = SplitArrays(
            images=np.zeros((count, 1, 1, 3, 4), np.uint8),
            masks=None,
            labels=np.zeros(count, np.int64),
            regions=np.zeros(count, np.int64),
            region_names=("B", "A"),
            targets=random.normal(size=(count, 4, columns)),
        )
    return found


def embeddings(columns: int = 5) -> Embeddings:
    data = splits(columns)
    random = np.random.default_rng(1)
    vectors = {split: random.normal(size=(len(own), 4, FEATURES)).astype(np.float32) for split, own in data.items()}
    return Embeddings.of(readout_run(), data, vectors)


def test_rows_are_the_corners_of_the_images_of_the_plan() -> None:
    data, run = splits(), readout_run()
    vectors = {split: np.arange(len(own) * 4 * FEATURES, dtype=np.float32) for split, own in data.items()}
    shaped = {split: own.reshape(-1, 4, FEATURES) for split, own in vectors.items()}
    found = Embeddings.of(run, data, shaped)
    row = 0
    order: tuple[Split, ...] = ("train", "test")
    for split in order:
        for number, sample in enumerate(samples(TASK, split)):
            (z, _), (y, _), (x, _) = sample.roi.ranges
            for corner, origin in enumerate([(z, y, x), (z, y, x + 4), (z, y + 3, x), (z, y + 3, x + 4)]):
                assert (found.regions[row], found.splits[row], found.corners[row]) == (sample.region, split, corner)
                assert tuple(found.origins[row]) == origin
                np.testing.assert_array_equal(found.targets[row], np.asarray(data[split].targets)[number, corner])
                np.testing.assert_array_equal(found.vectors[row], shaped[split][number, corner])
                row += 1
    assert row == len(found.vectors) == (2 + 2 + 2) * 4


@pytest.mark.parametrize("columns", [5, 7])
def test_what_is_read_is_what_was_written(tmp_path: Path, columns: int) -> None:
    written = embeddings(columns)
    write(Folder(tmp_path), written)
    found = read(tmp_path, written.about.run_id)
    assert found.about == written.about
    for name in ("regions", "splits", "corners", "origins", "targets", "vectors"):
        np.testing.assert_array_equal(getattr(found, name), getattr(written, name))
        assert getattr(found, name).dtype == getattr(written, name).dtype
    assert tuple(name for name in found.to_pandas().columns if name in names_of(7)) == names_of(columns)
    assert [path.name for path in (tmp_path / "embeddings").iterdir()] == [f"{written.about.run_id}.parquet"]


def test_the_file_is_plain_parquet_with_what_it_is_of(tmp_path: Path) -> None:
    run, written = readout_run(), embeddings()
    write(Folder(tmp_path), written)
    table = pq.read_table(tmp_path / "embeddings" / f"{run.run_id}.parquet")
    assert table.column_names == ["region", "split", "corner", "z", "y", "x", *ATTRIBUTES, "embedding"]
    assert str(table.schema.field("embedding").type) == "fixed_size_list<element: float>[3]"
    assert run.encoder_run is not None
    assert json.loads(table.schema.metadata[b"mtneuro_ray"]) == {
        "format_version": 1,
        "run_id": run.run_id,
        "train_id": run.encoder_run.train_id,
        "network": "coder",
        "seed": 100,
        "task": "probe",
        "encoder_task": "regions",
        "data": ["grey", "tissue"],
    }
    frame = read(tmp_path, run.run_id).to_pandas()
    assert frame.columns.tolist() == table.column_names
    np.testing.assert_array_equal(np.stack(frame["embedding"]), written.vectors)
    assert frame["axons"].tolist() == written.targets[:, 1].tolist()


def test_embeddings_that_are_written_again_replace_the_first(tmp_path: Path) -> None:
    first = embeddings()
    write(Folder(tmp_path), first)
    second = Embeddings.of(readout_run(), splits(), {"train": np.zeros((4, 4, 2), np.float32)})
    write(Folder(tmp_path), second)
    found = read(Folder(tmp_path), first.about.run_id)
    assert found.vectors.shape == (16, 2)
    assert set(found.splits) == {"train"}


def _rewritten(path: Path, **about: Any) -> None:
    table = pq.read_table(path)
    values = {**json.loads(table.schema.metadata[b"mtneuro_ray"]), **about}
    pq.write_table(table.replace_schema_metadata({"mtneuro_ray": json.dumps(values)}), path)


def test_what_can_not_be_read_is_one_line(tmp_path: Path) -> None:
    written = embeddings()
    run_id = written.about.run_id
    path = tmp_path / "embeddings" / f"{run_id}.parquet"
    with pytest.raises(InputError, match=rf"embeddings/{run_id}\.parquet: no such file; accepted: "):
        read(tmp_path, run_id)
    write(Folder(tmp_path), written)
    whole = path.read_bytes()
    _rewritten(path, format_version=2)
    with pytest.raises(InputError, match="is no whole set of embeddings of this version"):
        read(tmp_path, run_id)
    path.write_bytes(whole)
    _rewritten(path, colour="red")
    with pytest.raises(InputError, match="is no whole set"):
        read(tmp_path, run_id)
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    with pytest.raises(InputError, match="is no whole set"):
        read(tmp_path, run_id)
    for content in (b"", whole[:-20], b"PAR1 and nothing else PAR1"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="is no whole set"):
            read(tmp_path, run_id)
    path.write_bytes(whole)
    assert len(read(tmp_path, run_id).vectors) == len(written.vectors)
