from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mtneuro_ray.config.loading import load_pair
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.space import ResourceSettings, SearchSettings, SettingSpace
from mtneuro_ray.data.ingest import open_volumes
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.results.record import RunFolder, RunRecord
from mtneuro_ray.runtime.local import train_here
from mtneuro_ray.runtime.ray_data import SplitRefs, get_splits, share_task
from mtneuro_ray.runtime.ray_train import train_on_workers
from mtneuro_ray.runtime.ray_tune import Shared, run_stage
from mtneuro_ray.search import Search
from mtneuro_ray.storage import Folder
from tests.tiny import write_tiny

pytestmark = pytest.mark.ray


def _ready(folder: Path, **network: Any) -> tuple[Search, RunSettings, SplitRefs]:
    tiny = write_tiny(folder / "tiny", **network)
    pair = load_pair(str(tiny.task), str(tiny.network))
    store = CutoutStore(Folder(folder / "store"))
    identities = tuple(channel.identity for channel in open_volumes(pair.task, tiny.task).channels)
    space = SettingSpace(task="t", network="n", seeds=(5,), search=SearchSettings(axes={"learning_rate": (0.001,)}))
    search = Search.of(space, pair, identities)
    return search, search.final_plans({"learning_rate": 0.001})[0].run, share_task(store, pair.task, tiny.task)


def test_one_process_a_trial_and_one_or_two_workers_find_the_same(cluster: None, tmp_path: Path) -> None:
    search, run, splits = _ready(tmp_path, augmentations=True, batch_size=7, optimizer="SGD", learning_rate=0.001)
    assert len(get_splits(splits)["train"]) % 7 != 0
    here = train_here(run, get_splits(splits), Folder(tmp_path / "here"))
    assert here.status == "done"

    plan = search.final_plans({"learning_rate": 0.001})[0]
    assert plan.run == run
    run_stage("seeds", [plan], Shared({run.task.name: splits}), Folder(tmp_path / "trial"), ResourceSettings())
    trial = RunFolder(Folder(tmp_path / "trial")).read(run.run_id)
    assert trial is not None
    one = train_on_workers(run, splits, Folder(tmp_path / "one"), ResourceSettings())
    both = ResourceSettings(workers_per_trial=2, max_concurrent=1)
    two = train_on_workers(run, splits, Folder(tmp_path / "two"), both)

    for other in (trial, one):
        assert other.metrics == here.metrics
        assert other.history == here.history
    assert two.placement["workers"] == 2
    # No image is lost or counted twice.
    assert _images(two) == _images(here)
    for key in ("train/loss", "val/loss"):
        assert [entry[key] for entry in two.history] == pytest.approx([entry[key] for entry in here.history], rel=1e-3)


def _images(record: RunRecord) -> int:
    return sum(sum(row) for row in record.metrics["test"]["confusion"])
