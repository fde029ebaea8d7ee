from dataclasses import replace
from typing import Any

import pytest

from mtneuro_ray.errors import InputError
from mtneuro_ray.results import Results
from mtneuro_ray.results.frame import Key, Run, tidy
from mtneuro_ray.storage.records import RunRecord
from tests.results.records import classification_record, encoder_record, segmentation_record, with_regions


def test_numbers_of_every_shape_land_under_their_own_names() -> None:
    test: dict[str, Any] = {
        "surface": 1.5,
        "count": 3,
        "per_class": [0.1, 0.2, 0.3],
        "longer": [1.0, 2.0, 3.0, 4.0],
        "confusion": [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
        "by_region": {"CTX": 0.7, "STR": [0.1, 0.2, 0.3]},
        "regions": {"CTX": {"dice": [0.4, 0.5, 0.6], "images": 2.0}},
        "text": "is no number",
        "nothing": None,
    }
    record = replace(
        segmentation_record(), metrics={"test": test}, class_counts={"train": {"CTX": [5, 6, 7], "STR": [1, 0, 0]}}
    )
    run = Run.of(record)
    assert run.scalars() == {"test/surface": 1.5, "test/count": 3.0}
    expected = {
        Key("test", "per_class", "vessels"): 0.2,
        Key("test", "longer", "3"): 4.0,
        Key("test", "confusion/cells", "bg"): 3.0,
        Key("test", "confusion/bg", "cells"): 7.0,
        Key("test", "by_region", "", "CTX"): 0.7,
        Key("test", "by_region", "cells", "STR"): 0.3,
        Key("test", "dice", "cells", "CTX"): 0.6,
        Key("test", "images", "", "CTX"): 2.0,
        Key("train", "voxels", "vessels", "CTX"): 6.0,
    }
    assert {key: run.value(key) for key in expected} == expected
    assert run.value(Key("test", "text")) is None
    assert len(run.values) == 2 + 3 + 4 + 9 + 4 + 4 + 6


def test_seeds_of_one_method_share_its_hash_and_other_settings_data_and_names_do_not() -> None:
    base = Run.of(segmentation_record(seed=1))
    same = [segmentation_record(seed=2), segmentation_record(seed=1, task={"image_chan": "zarr:///copy"})]
    assert {Run.of(record).method for record in same} == {base.method}
    others = [
        segmentation_record(weight_decay=0.5),
        segmentation_record(name="other_3class"),
        segmentation_record(data=("phantom:other", "phantom:labels")),
        segmentation_record(task={"downsample": 2, "tile_size": [8, 8]}),
    ]
    assert len({base.method, *(Run.of(record).method for record in others)}) == 5


def test_the_tidy_frame_has_a_row_per_value_and_the_settings_of_its_run() -> None:
    records = [with_regions(segmentation_record(seed=1)), classification_record(0.8, 2)]
    failed = RunRecord("x", "error", records[0].summary, records[0].settings, error="diverged")
    results = Results.of([*records, failed])
    frame = results.frame()
    assert len(frame) == sum(len(Run.of(record).values) for record in records)
    assert list(frame.columns[:7]) == ["run_id", "experiment", "model", "task", "role", "seed", "status"]
    row = frame[(frame["metric"] == "dataset/iou") & (frame["class"] == "vessels") & (frame["region"] == "STR")].iloc[0]
    assert (row["experiment"], row["split"], row["value"]) == ("net/small", "test", pytest.approx(0.15))
    assert (row["optimizer.learning_rate"], row["model.name"], row["seed"]) == (0.01, "UNet", 1)
    assert set(frame["model.name"]) == {"UNet", "ResNet-18"}
    assert len(tidy([])) == len(Results.of([failed]).frame()) == 0


def test_duckdb_answers_queries_of_the_frame_and_the_runs() -> None:
    results = Results.of([encoder_record(value, seed=seed) for seed, value in enumerate((0.5, 0.7))])
    query = "select avg(value) as mean from frame where split = 'test' and metric = 'accuracy' and class = ''"
    assert results.sql(query).to_dict("records") == [{"mean": pytest.approx(0.6)}]
    assert results.sql("select count(*) as n from runs where status = 'done'").to_dict("records") == [{"n": 2}]
    with pytest.raises(InputError) as caught:
        results.sql("select nothing from frames")
    assert str(caught.value).startswith("sql: Catalog Error: Table with name frames does not exist")
