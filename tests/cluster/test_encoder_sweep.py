from __future__ import annotations

import json
from pathlib import Path

import pytest

from mtneuro_ray.cluster.driver import Where, sweep
from mtneuro_ray.config.sweeps import load_sweep
from mtneuro_ray.data import embeddings
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.results import Results
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunRecord
from tests.tiny import write_tiny

pytestmark = pytest.mark.ray

SPACE = """
network = "network.json"
seeds = [1, 2]

[[experiments]]
task = "task.json"

[[experiments]]
task = "elsewhere.json"

[[experiments]]
task = "readout.json"
"""


def _write(folder: Path) -> Path:
    """PCA of a task's images, evaluated on other test images too, and read out."""
    tiny = write_tiny(
        folder, kind="classification", model="PCA", method="decomposition", components=4, eval_crops="corners"
    )
    task = json.loads(tiny.task.read_text())
    others = [{**cube, "z": [20, 23]} if cube["split"] == "test" else cube for cube in task["cubes"]]
    (folder / "elsewhere.json").write_text(json.dumps({**task, "name": "elsewhere", "cubes": others}))
    readout = {
        **task,
        "name": "readout",
        "task": "readout",
        "classes": ["bg", "vessels", "cells", "axons"],
        "encoder_task": "task.json",
        "cubes": [cube for cube in task["cubes"] if cube["split"] != "val"],
    }
    (folder / "readout.json").write_text(json.dumps(readout))
    tiny.space.write_text(SPACE)
    return tiny.space


def _sweep(space: Path, out: Path) -> list[str]:
    settings, entries = load_sweep(str(space))
    return sweep(entries, settings.run, Where(CutoutStore(Folder(out / "store")), Folder(out)))


def _trained(records: list[RunRecord]) -> list[tuple[str, int]]:
    return sorted((record.summary["task"], record.summary["seed"]) for record in records if "train_s" in record.timings)


def test_what_trains_alike_is_trained_once_and_an_encoder_is_read_out_where_it_lies(
    cluster: None, tmp_path: Path
) -> None:
    space, out = _write(tmp_path / "tiny"), tmp_path / "out"
    assert _sweep(space, out) == []
    results = Results(out)
    assert len(results.records) == 6
    assert {record.status for record in results.records} == {"done"}
    assert _trained(results.records) == [("tiny_classification", 1), ("tiny_classification", 2)]
    assert len(list((out / "checkpoints").iterdir())) == 2
    by_setting = {(record.summary["task"], record.summary["seed"]): record for record in results.records}
    for seed in (1, 2):
        own, other = by_setting["tiny_classification", seed], by_setting["elsewhere", seed]
        assert own.metrics["val"] == other.metrics["val"]
        readout = by_setting["readout", seed]
        assert set(readout.metrics) == {"all", "test"}
        found = embeddings.read(out, readout.run_id)
        # Two regions of 12 and 5 slices with 2 x 2 tiles, four corners each.
        assert found.vectors.shape == (2 * (12 + 5) * 4 * 4, 4)

    before = {path: path.stat().st_mtime_ns for path in (out / "runs").iterdir()}
    assert _sweep(space, out) == []
    assert {path: path.stat().st_mtime_ns for path in (out / "runs").iterdir()} == before


@pytest.mark.slow
def test_a_readout_alone_trains_the_encoder_that_it_needs(cluster: None, tmp_path: Path) -> None:
    space, out = _write(tmp_path / "tiny"), tmp_path / "out"
    space.write_text('network = "network.json"\ntask = "readout.json"\nseeds = [1]\n')
    assert _sweep(space, out) == []
    records = Results(out).records
    assert sorted(record.summary["task"] for record in records) == ["readout", "tiny_classification"]
    assert _trained(records) == [("tiny_classification", 1)]
