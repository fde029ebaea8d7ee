"""No Ray: predictions are made in this process."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtneuro_ray.cli.main import main
from mtneuro_ray.config.base import read_json
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data.mosaic import EMPTY
from mtneuro_ray.data.predictions import place_of, read
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.engine.finished import stored_split
from mtneuro_ray.engine.predict import predict_run
from mtneuro_ray.errors import InputError
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord
from tests.settings import write_json
from tests.tiny import Tiny, write_tiny


@dataclass(frozen=True)
class Trained:
    """A run of the tiny task and where it lies."""

    tiny: Tiny
    out: Folder
    record: RunRecord

    @property
    def store(self) -> CutoutStore:
        return CutoutStore(self.out / "store")

    @property
    def run(self) -> RunSettings:
        return RunSettings.load(self.record.settings, "test")


@pytest.fixture
def trained(tmp_path: Path) -> Callable[..., Trained]:
    def train(**task: Any) -> Trained:
        tiny = write_tiny(tmp_path / "tiny", epochs=1)
        values = {**read_json(tiny.task), **task}
        for key in ("image_chan", "annotation_chan"):
            values[key] = f"file:{tiny.task.parent}/{values[key].removeprefix('file:')}"
        write_json(tiny.task, values)
        out = Folder(tmp_path / "out")
        where = ["--task", str(tiny.task), "--network", str(tiny.network), "--out", out.root]
        assert main(["train", *where, "--store", f"{out.root}/store", "--workers", "0"]) == 0
        [record] = RunFolder(out).all()
        return Trained(tiny, out, record)

    return train


def test_predictions_are_written_where_they_lie_and_score_as_the_run(trained: Callable[..., Trained]) -> None:
    made = trained()
    written = predict_run(made.record, made.out, made.store)
    assert (written.agrees, written.verdict) == (True, "equal to the test metrics in the run's file")
    assert {name: made.record.metrics["test"][name] for name in written.metrics} == written.metrics
    assert written.place.root == place_of(made.out, made.record.run_id).root
    left, right = read(written.place).cubes
    assert (left.region, left.offset, left.pixels.shape) == ("left", (19, 4, 0), (5, 32, 32))
    assert (right.region, right.offset, right.pixels.shape) == ("right", (19, 4, 40), (5, 32, 32))
    assert left.pixels.max() < 3
    truth = np.load(made.tiny.labels)[19:24, 4:36, 0:32]
    assert (left.pixels == truth).mean() > 0.4


def test_slices_that_the_run_skipped_are_marked(trained: Callable[..., Trained]) -> None:
    made = trained(max_slices=2)
    assert predict_run(made.record, made.out, made.store).agrees
    for cube in read(place_of(made.out, made.record.run_id)).cubes:
        assert cube.offset[0] == 20
        assert [int(plane.min()) for plane in cube.pixels] == [
            int(cube.pixels[0].min()),
            EMPTY,
            int(cube.pixels[2].min()),
        ]
        assert cube.pixels[0].max() < EMPTY


def test_another_split_has_a_place_of_its_own(trained: Callable[..., Trained]) -> None:
    made = trained()
    val = predict_run(made.record, made.out, made.store, "val")
    assert (val.verdict, val.place.local_path.name) == (
        "equal to the val metrics in the run's file",
        f"{made.record.run_id}-val.zarr",
    )
    train = predict_run(made.record, made.out, made.store, "train")
    assert train.agrees
    assert train.verdict == "the run's file has no metrics of the train split to compare with"


def test_numbers_that_are_not_the_runs_are_told(trained: Callable[..., Trained]) -> None:
    made = trained()
    confusion = np.array(made.record.metrics["test"]["confusion"])
    near, far = confusion.copy(), np.roll(confusion, 1, axis=1)
    row = int(near.max(axis=1).argmax())
    near[row, near[row].argmax()] -= 3
    near[row, near[row].argmin()] += 3

    def compared(counts: Any, **changes: Any) -> tuple[bool, str]:
        test = {**made.record.metrics["test"], "confusion": counts.tolist()}
        record = replace(made.record, metrics={"test": test}, **changes)
        written = predict_run(record, made.out, made.store)
        return written.agrees, written.verdict

    assert compared(near) == (
        False,
        "not the test metrics in the run's file: 3 of 10240 voxels or more have another class",
    )
    agrees, verdict = compared(near, host="elsewhere", placement={**made.record.placement, "device": "H200"})
    assert agrees
    assert "(device H200 then, " in verdict
    assert "; host elsewhere then, " in verdict
    agrees, verdict = compared(far, host="elsewhere")
    assert not agrees
    assert "have another class (host elsewhere then, " in verdict
    assert compared(2 * confusion, host="elsewhere") == (
        False,
        "not the test metrics in the run's file: those count 20480 voxels, these 10240",
    )


def test_of_overlapping_tiles_only_the_map_is_measured(trained: Callable[..., Trained]) -> None:
    made = trained(tile_stride=[8, 16])
    written = predict_run(made.record, made.out, made.store)
    assert written.agrees
    assert written.verdict.startswith("tiles overlap and the later one is kept")
    assert [cube.pixels.shape for cube in read(written.place).cubes] == [(5, 32, 32)] * 2


def test_the_store_is_enough_and_what_it_lacks_of_the_split_is_read_again(trained: Callable[..., Trained]) -> None:
    made = trained()
    for path in (made.tiny.image, made.tiny.labels):
        path.rename(path.with_suffix(".away"))
    before = stored_split(made.store, made.run, "test")
    assert before.masks is not None

    shutil.rmtree(made.store.folder.local_path)
    with pytest.raises(InputError, match=r"image\.npy"):
        stored_split(made.store, made.run, "test")
    for path in (made.tiny.image, made.tiny.labels):
        path.with_suffix(".away").rename(path)
    again = stored_split(made.store, made.run, "test")
    np.testing.assert_array_equal(again.images, before.images)
    np.testing.assert_array_equal(again.masks, before.masks)
    # No other split was read for it.
    assert all(box.z == (19, 24) for box in made.store.boxes(made.run.data[0]))


def test_another_volume_in_the_same_place_is_refused(trained: Callable[..., Trained]) -> None:
    made = trained()
    shutil.rmtree(made.store.folder.local_path)
    np.save(made.tiny.image, np.load(made.tiny.image)[::-1])
    with pytest.raises(
        InputError, match="is not the volume it was trained on; accepted: the --store that the run used"
    ):
        stored_split(made.store, made.run, "test")
