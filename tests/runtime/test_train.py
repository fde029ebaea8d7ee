from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mtneuro_ray.config.loading import load_pair
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.space import ResourceSettings, SearchSettings, SettingSpace
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.results.record import RunRecord
from mtneuro_ray.runtime.local import train_here
from mtneuro_ray.runtime.prepare import ingest
from mtneuro_ray.runtime.ray_data import SplitRefs, fetch_all, get_splits, share_splits
from mtneuro_ray.runtime.ray_train import train_on_workers
from mtneuro_ray.runtime.ray_tune import run_stage
from mtneuro_ray.search import Search
from mtneuro_ray.storage import Folder
from tests.tiny import write_tiny

pytestmark = pytest.mark.ray


def _ready(folder: Path, **network: Any) -> tuple[Search, RunSettings, SplitRefs]:
    tiny = write_tiny(folder / "tiny", **network)
    pair = load_pair(str(tiny.task), str(tiny.network))
    store = CutoutStore(Folder(folder / "store"))
    volumes = ingest(store, pair.task, tiny.task, fetch_all)
    identities = tuple(channel.identity for channel in volumes.channels)
    space = SettingSpace(task="t", network="n", seeds=(5,), search=SearchSettings(axes={"learning_rate": (0.01,)}))
    search = Search.of(space, pair, identities)
    return search, search.final_plans({"learning_rate": 0.01})[0].run, share_splits(store, pair.task, volumes)


def _close(one: Any, other: Any) -> None:
    """Numbers to tolerance, whatever they are nested in."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            _close(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            _close(a, b)
    else:
        assert one == pytest.approx(other, abs=2e-2)


@pytest.mark.parametrize("kind", ["segmentation", "classification"])
def test_one_process_a_trial_and_workers_find_the_same(cluster: None, tmp_path: Path, kind: str) -> None:
    search, run, splits = _ready(tmp_path, kind=kind, augmentations=True, batch_size=7, learning_rate=0.001)
    assert len(get_splits(splits)["train"]) % 7 != 0
    here = train_here(run, get_splits(splits), Folder(tmp_path / "here"))
    assert here.status == "done"

    plan = search.final_plans({"learning_rate": 0.01})[0]
    assert plan.run == run
    run_stage("seeds", [plan], {run.task.name: splits}, Folder(tmp_path / "trial"), ResourceSettings())
    trial = _read(tmp_path / "trial", run)
    one = train_on_workers(run, splits, Folder(tmp_path / "one"), ResourceSettings())
    two = train_on_workers(
        run, splits, Folder(tmp_path / "two"), ResourceSettings(workers_per_trial=2, max_concurrent=1)
    )

    for other in (trial, one):
        assert other.metrics == here.metrics
        assert other.history == here.history
    assert two.placement["workers"] == 2
    confusions = [record.metrics["test"]["confusion"] for record in (here, two)]
    totals = [sum(sum(row) for row in confusion) for confusion in confusions]
    # No image is lost or counted twice.
    assert totals[0] == totals[1]
    assert [entry["train/loss"] for entry in two.history] == pytest.approx(
        [entry["train/loss"] for entry in here.history], rel=2e-2
    )
    _close(here.metrics["val"]["loss"], two.metrics["val"]["loss"])


def test_a_diverged_run_is_an_error_with_a_file(cluster: None, tmp_path: Path) -> None:
    _, run, splits = _ready(tmp_path, optimizer="SGD", opt_momentum=0.9)
    wild = run.replace("run", network=run.network.replace("network", learning_rate=1e30).model_dump(mode="json"))
    record = train_on_workers(wild, splits, Folder(tmp_path / "out"), ResourceSettings(max_failures=0))
    assert record.status == "error"
    assert record.error is not None
    assert "diverged" in record.error


def _read(out: Path, run: RunSettings) -> RunRecord:
    from mtneuro_ray.results.record import RunFolder

    record = RunFolder(Folder(out)).read(run.run_id)
    assert record is not None
    return record
