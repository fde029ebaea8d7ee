from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtneuro_ray.cluster.driver import Where, sweep
from mtneuro_ray.cluster.ray_data import get_splits, share_task
from mtneuro_ray.cluster.streaming import stream
from mtneuro_ray.cluster.trial import train_on_workers
from mtneuro_ray.config.pairs import Pair, load_pair
from mtneuro_ray.config.resources import ResourceSettings
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.space import ExperimentSpace, SearchSettings
from mtneuro_ray.data.cubes import CubeArrays
from mtneuro_ray.data.ingest import open_volumes
from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.data.stored import StoredSplit
from mtneuro_ray.data.stored_cubes import StoredCubes
from mtneuro_ray.engine.execute import train_here
from mtneuro_ray.errors import StoreError
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord
from mtneuro_ray.sweep.experiment import Experiment
from tests.tiny import write_tiny

pytestmark = pytest.mark.ray
# A window holds one or two images.
BUDGET = 4000


def final_run(pair: Pair, task_file: Path) -> tuple[ExperimentSpace, RunSettings]:
    """A space of one candidate, and its final run."""
    space = ExperimentSpace(task="t", network="n", seeds=(5,), search=SearchSettings(axes={"learning_rate": (0.001,)}))
    identities = tuple(channel.identity for channel in open_volumes(pair.task, task_file).channels)
    return space, Experiment(space, pair, identities).final_runs({"learning_rate": 0.001})[0].run


def check_two_workers(run: RunSettings, refs: Any, out: Path, here: RunRecord) -> None:
    """Two workers that stream have the losses of one process."""
    two = train_on_workers(run, refs, Folder(out), ResourceSettings(workers_per_trial=2, max_concurrent=1))
    assert (two.status, two.placement["workers"]) == ("done", 2)
    for key in ("train/loss", "val/loss"):
        assert [entry[key] for entry in two.history] == pytest.approx([entry[key] for entry in here.history], rel=1e-3)


@pytest.mark.slow
def test_streamed_splits_train_as_resident_ones_in_a_trial_and_on_two_workers(cluster: None, tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path / "tiny", augmentations=True, batch_size=7, optimizer="SGD", learning_rate=0.001)
    pair, store = load_pair(str(tiny.task), str(tiny.network)), CutoutStore(Folder(tmp_path / "store"))
    resident = get_splits(share_task(store, pair.task, tiny.task))
    refs = share_task(store, pair.task, tiny.task, BUDGET)
    streamed = get_splits(refs)
    for split, data in streamed.items():
        assert isinstance(data, StoredSplit)
        assert isinstance(resident[split], SplitArrays)
        assert data.reader is stream
        np.testing.assert_array_equal(data.class_counts(3), resident[split].class_counts(3))

    space, run = final_run(pair, tiny.task)
    here = train_here(run, resident, Folder(tmp_path / "here"))
    assert here.status == "done"

    where = Where(store, Folder(tmp_path / "trial"))
    assert sweep([(space, pair)], ResourceSettings(memory_budget=BUDGET), where) == []
    trial = RunFolder(where.out).read(run.run_id)
    assert trial is not None
    assert (trial.metrics, trial.history) == (here.metrics, here.history)

    check_two_workers(run, refs, tmp_path / "two", here)


@pytest.mark.slow
def test_patches_stream_as_resident_ones_in_a_trial_and_on_two_workers(cluster: None, tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path / "tiny", batch_size=7, optimizer="SGD", learning_rate=0.001)
    task = json.loads(tiny.task.read_text())
    task["sampling"] = {"kind": "patches", "patches_per_epoch": 40, "balance": "class"}
    tiny.task.write_text(json.dumps(task))
    pair, store = load_pair(str(tiny.task), str(tiny.network)), CutoutStore(Folder(tmp_path / "store"))
    resident = get_splits(share_task(store, pair.task, tiny.task))
    assert all(isinstance(data, CubeArrays) for data in resident.values())
    refs = share_task(store, pair.task, tiny.task, BUDGET)
    for split, data in get_splits(refs).items():
        assert isinstance(data, StoredCubes)
        assert data.reader is stream
        np.testing.assert_array_equal(data.class_counts(3), resident[split].class_counts(3))

    _, run = final_run(pair, tiny.task)
    here = train_here(run, resident, Folder(tmp_path / "here"))
    one = train_on_workers(run, refs, Folder(tmp_path / "one"), ResourceSettings(workers_per_trial=1))
    assert (one.metrics, one.history) == (here.metrics, here.history)
    check_two_workers(run, refs, tmp_path / "two", here)


@pytest.mark.slow
def test_voxels_that_are_lost_are_one_error_and_a_pipeline_may_end_early(cluster: None, tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path / "tiny")
    pair, store = load_pair(str(tiny.task), str(tiny.network)), CutoutStore(Folder(tmp_path / "store"))
    data = get_splits(share_task(store, pair.task, tiny.task, BUDGET))["train"]
    assert isinstance(data, StoredSplit)
    batches = np.array_split(np.random.default_rng(0).permutation(len(data)), 10)
    expected = [data.read(batch) for batch in batches]
    for (images, masks), (own, own_masks) in zip(stream(data, iter(batches)), expected, strict=True):
        np.testing.assert_array_equal(images, own)
        np.testing.assert_array_equal(np.asarray(masks), np.asarray(own_masks))
    early = stream(data, batches)
    next(early)
    early.close()  # type: ignore[attr-defined]
    for shard in (tmp_path / "store").rglob("*.parquet"):
        shard.unlink()
    with pytest.raises(StoreError, match="are not stored"):
        list(stream(data, batches))
