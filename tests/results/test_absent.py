"""A class that a split lacks, from the volume on disk to tables, lists and pictures."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtneuro_ray.api import task_data
from mtneuro_ray.config.pairs import load_pair
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data.export import export_splits
from mtneuro_ray.data.ingest import identities_of
from mtneuro_ray.engine.execute import train_here
from mtneuro_ray.results import Results
from mtneuro_ray.results.printing import as_json
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder
from tests.tiny import write_tiny


def out_of(folder: Path, changes: dict[str, Any], roles: Any = ("candidate", "final")) -> Folder:
    """Runs on labels that are background but for one split."""
    tiny = write_tiny(folder, epochs=1)
    labels = np.load(tiny.labels)
    labels[labels == 2] = 0
    np.save(tiny.labels, labels)
    task = json.loads(tiny.task.read_text())
    tiny.task.write_text(json.dumps({**task, **changes}))
    pair = load_pair(str(tiny.task), str(tiny.network))
    out = Folder(folder / "out")
    data = task_data.load_task(str(tiny.task), store=folder / "store").splits()
    for role in roles:
        run = RunSettings.of(pair.task, pair.network, role, identities_of(pair))
        given = data if role == "final" else {split: data[split] for split in ("train", "val")}
        assert train_here(run, given, out).status == "done"
    return out


def test_a_class_without_a_voxel_has_no_score(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        out = out_of(tmp_path, {})
    assert sum("train has no two; val has no two; test has no two" in line for line in caplog.messages) == 1
    records = {record.summary["role"]: record for record in RunFolder(out).all()}
    test = records["final"].metrics["test"]
    assert test["dataset/iou"][2] is test["image/f1"][2] is test["regions"]["left"]["dataset/iou"][2] is None
    assert test["dataset/iou_mean"] == pytest.approx(sum(test["dataset/iou"][:2]) / 2)
    assert {"train: has no two", "val: has no two", "test: has no two"} <= set(records["final"].notes)
    results = Results(out)
    [table] = results.table()
    assert all(row[table.columns.index("two")] == "-" for row in table.rows)
    assert all(row[table.columns.index("Avg.")] != "-" for row in table.rows)
    assert "NaN" not in as_json([*results.table(), *results.regions(), *results.confusion()])
    assert any("no score" in note for note in results.regions()[0].notes)
    [best] = results.best()
    assert best["value"] == records["candidate"].metrics["val"]["dataset/iou_mean"]
    frame = results.frame()
    scores = frame[(frame["metric"] == "dataset/iou") & (frame["split"] == "test") & (frame["region"] == "")]
    assert scores["class"].tolist() == ["bg", "one"]
    answer = results.sql("select avg(value) as mean from frame where metric = 'dataset/iou' and split = 'test'")
    assert np.isfinite(answer["mean"]).all()


def test_the_paper_s_rule_counts_it_as_one(tmp_path: Path) -> None:
    out = out_of(tmp_path, {"absent": "one"}, ["final"])
    [record] = RunFolder(out).all()
    assert record.metrics["test"]["truth"][2] == 0
    own = record.metrics["test"]["dataset/iou"]
    assert own[2] in (0.0, 1.0)
    assert record.metrics["test"]["dataset/iou_mean"] == pytest.approx(sum(own) / 3)
    assert any("scores 1" in note for note in Results(out).regions()[0].notes)


def test_a_run_on_sparse_labels_is_evaluated_and_read_again(tmp_path: Path) -> None:
    """Annotated slices, a mask volume, an ignored label and instance ids beyond 32 bits in one task."""
    tiny = write_tiny(tmp_path, epochs=1)
    labels = np.load(tiny.labels).astype(np.uint64)
    ids = np.where(
        labels == 2, np.uint64(2**63) + np.arange(labels.size, dtype=np.uint64).reshape(labels.shape), labels
    )
    ids[:, 20, 20] = 77
    ids[3] = 99  # no class: refused, were the slice annotated
    np.save(tiny.labels, ids)
    mask = np.ones(labels.shape, np.bool_)
    mask[:, 4:6] = False
    np.save(tmp_path / "mask.npy", mask)
    task = json.loads(tiny.task.read_text())
    changes = {
        "annotation_map": {"0": 0, "1": 1, "9223372036854775808-18446744073709551615": 2},
        "ignore_labels": [77],
        "mask_chan": "file:mask.npy",
        "annotated": [{"z": 2}, {"z": [5, 7]}, {"z": 14}, {"z": [20, 22], "x": [0, 32]}],
        "absent": "leave_out",
    }
    tiny.task.write_text(json.dumps({**task, **changes}))
    pair = load_pair(str(tiny.task), str(tiny.network))
    data = task_data.load_task(str(tiny.task), store=tmp_path / "store")
    arrays = data.arrays("train")
    assert arrays.masks is not None
    # Three slices of two regions with four tiles each.
    assert len(arrays) == 3 * 2 * 4
    expected = np.where(mask & (ids != 77), labels, 255)
    for number, z in enumerate((2, 5, 6)):
        np.testing.assert_array_equal(arrays.masks[4 * number, 0], expected[z, 4:20, 0:16])
    assert {len(data.arrays("val")), len(data.arrays("test"))} == {8}
    export_splits(pair.task, {"train": arrays}, tmp_path / "exported")
    assert json.loads((tmp_path / "exported" / "task.json").read_text())["ignored"] == 255
    run = RunSettings.of(pair.task, pair.network, "final", identities_of(pair))
    assert len(run.data) == 3
    out = Folder(tmp_path / "out")
    record = train_here(run, data.splits(), out)
    assert record.status == "done"
    counted = np.concatenate([own for own in (data.arrays("test").masks,) if own is not None])
    assert record.metrics["test"]["truth"] == np.bincount(counted[counted != 255], minlength=3).tolist()

    from mtneuro_ray.data.store import CutoutStore
    from mtneuro_ray.engine.finished import evaluate_run
    from mtneuro_ray.engine.predict import predict_run

    store = CutoutStore(Folder(tmp_path / "store"))
    metrics, _ = evaluate_run(record, run, out, store)
    assert metrics == {key: value for key, value in record.metrics["test"].items() if key != "loss"}
    written = predict_run(record, out, store)
    assert written.verdict == "equal to the test metrics in the run's file"
