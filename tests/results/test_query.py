from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mtneuro_ray.errors import InputError
from mtneuro_ray.results import Results
from mtneuro_ray.results.query import BEST_COLUMNS, best_columns
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord
from tests.results.records import classification_record, encoder_record, readout_record, segmentation_record
from tests.settings import run_settings

NAN = float("nan")


def candidate(lr: float, val: float, batch: int = 2, **changes: Any) -> RunRecord:
    return segmentation_record(role="candidate", val=val, learning_rate=lr, batch_size=batch, **changes)


CANDIDATES = [candidate(0.1, 0.3), candidate(0.01, 0.6), candidate(0.001, NAN), candidate(0.1, 0.5, 4)]
FAILED = RunRecord.failed(run_settings(role="candidate", network={"learning_rate": 9.0}), "diverged")
FINALS = [segmentation_record((0.5, 0.3, 0.1), seed=1, learning_rate=0.01, val=0.99)]


def test_the_best_cell_by_validation_of_each_model_and_setting() -> None:
    other = candidate(0.5, 0.1, name="wide_3class")
    best = Results.of([*CANDIDATES, FAILED, *FINALS, other]).best()
    assert best == [
        {
            "model": "net",
            "task": "small",
            "learning_rate": 0.01,
            "batch_size": 2,
            "metric": "val/dataset/iou_mean",
            "value": 0.6,
            "run_id": CANDIDATES[1].run_id,
        },
        {
            "model": "wide",
            "task": "small",
            "learning_rate": 0.5,
            "batch_size": 2,
            "metric": "val/dataset/iou_mean",
            "value": 0.1,
            "run_id": other.run_id,
        },
    ]


def test_another_metric_and_the_smallest_value() -> None:
    [best] = Results.of(CANDIDATES).best(metric="val/loss", mode="min")
    assert (best["run_id"], best["metric"], best["value"]) == (CANDIDATES[1].run_id, "val/loss", 0.4)
    [worst] = Results.of(CANDIDATES).best(mode="min")
    assert worst["run_id"] == CANDIDATES[0].run_id


def test_the_order_of_the_records_does_not_matter() -> None:
    assert Results.of(reversed(CANDIDATES)).best() == Results.of(CANDIDATES).best()


@pytest.mark.parametrize("repeated", [0, 1])
def test_of_equal_cells_the_one_that_was_repeated_is_best(repeated: int) -> None:
    candidates = [candidate(0.1, 0.6), candidate(0.01, 0.6)]
    final = segmentation_record(learning_rate=(0.1, 0.01)[repeated], seed=1)
    [best] = Results.of([*candidates, final]).best()
    assert best["run_id"] == candidates[repeated].run_id


def test_runs_of_other_data_and_of_another_scale_are_not_compared() -> None:
    small = candidate(0.1, 0.9, epochs=1)
    moved = candidate(0.1, 0.8, data=("bossdb:image", "bossdb:labels"))
    values = {row["value"] for row in Results.of([CANDIDATES[1], small, moved]).best()}
    assert values == {0.6, 0.9, 0.8}


def test_where_keeps_a_model_or_a_task() -> None:
    results = Results.of([*CANDIDATES, classification_record(0.9, 1)])
    assert {r.summary["model"] for r in results.where(model="res").records} == {"res"}
    assert len(results.where(task="small").records) == 4
    assert len(results.where("net", "small").records) == 4


@pytest.mark.parametrize(
    ("model", "task", "text"),
    [
        ("nope", None, "--model: no run of 'nope'; accepted: net, res"),
        (None, "nope", "--task: no run of 'nope'; accepted: regions, small"),
        ("res", "small", "--task: no run of 'small'; accepted: regions"),
    ],
)
def test_a_name_that_does_not_occur_is_one_line_with_those_that_do(
    model: str | None, task: str | None, text: str
) -> None:
    with pytest.raises(InputError) as caught:
        Results.of([*CANDIDATES, classification_record(0.9, 1)]).where(model, task)
    assert str(caught.value) == text


def test_a_metric_that_does_not_occur_is_one_line_with_those_that_do() -> None:
    with pytest.raises(InputError) as caught:
        Results.of([*CANDIDATES, *FINALS]).best(metric="val/iou")
    assert str(caught.value) == (
        "--metric: no candidate has 'val/iou'; did you mean 'val/dataset/iou_mean'?; accepted: val/dataset/iou_mean, "
        "val/loss"
    )


def test_no_cell_is_no_best_cell() -> None:
    assert Results.of([FAILED, *FINALS]).best() == []
    assert Results.of([]).best() == []


def test_runs_are_flat_and_show_errors() -> None:
    rows = {row["run_id"]: row for row in Results.of([FAILED, *FINALS]).runs()}
    failed, final = rows[FAILED.run_id], rows[FINALS[0].run_id]
    assert (failed["status"], failed["error"], failed["seconds"]) == ("error", "diverged", None)
    assert (final["status"], final["error"], final["seconds"]) == ("done", None, 1.5)
    assert final["test/dataset/iou_mean"] == pytest.approx(0.3)
    assert final["seed"] == 1
    assert not any(isinstance(value, list) for value in final.values())


def test_a_folder_loads_as_its_runs_and_as_a_data_frame(tmp_path: Path) -> None:
    runs = RunFolder(Folder(tmp_path))
    for record in (*CANDIDATES, FAILED):
        runs.write(record)
    frame = Results(tmp_path).to_pandas()
    assert len(frame) == 5
    assert sorted(frame.query("status == 'done'")["learning_rate"]) == [0.001, 0.01, 0.1, 0.1]
    assert frame.set_index("run_id").loc[CANDIDATES[1].run_id, "val/dataset/iou_mean"] == 0.6


def test_a_run_without_a_metric_is_passed_over() -> None:
    bare = replace(candidate(0.9, 0.9), metrics={"val": {}})
    [best] = Results.of([bare, CANDIDATES[0]]).best()
    assert best["run_id"] == CANDIDATES[0].run_id


def mixup_cell(val: float, probability: float, seed: int = 0, **changes: Any) -> RunRecord:
    options = {"mixup_probability": probability, "seed": seed, **changes}
    return encoder_record(val, method="Sup w/ Mixup", role="candidate", **options)


def test_a_cell_that_was_repeated_over_seeds_is_worth_their_mean() -> None:
    candidates = [mixup_cell(0.9, 0.1, 1), mixup_cell(0.5, 0.1, 2), mixup_cell(0.8, 0.3, 1), mixup_cell(0.7, 0.3, 2)]
    [best] = Results.of(candidates).best()
    assert (best["value"], best["mixup_probability"]) == (pytest.approx(0.75), 0.3)
    assert best["run_id"] == candidates[2].run_id
    assert best_columns([best]) == [*BEST_COLUMNS[:4], "mixup_probability", *BEST_COLUMNS[4:], "std", "close"]
    assert best["close"] == "learning_rate 0.03, batch_size 256, mixup_probability 0.1"
    assert "mixup_probability" not in best_columns(Results.of(CANDIDATES).best())


def test_a_cell_of_which_a_seed_has_no_number_is_passed_over() -> None:
    candidates = [mixup_cell(0.9, 0.1, 1), mixup_cell(NAN, 0.1, 2), mixup_cell(0.4, 0.3, 1)]
    [best] = Results.of(candidates).best()
    assert best["mixup_probability"] == 0.3


def test_readouts_and_runs_without_validation_are_listed_and_select_nothing() -> None:
    results = Results.of([readout_record(0.9), encoder_record(0.8, "task1_c3")])
    assert results.best() == []
    assert not any("A4" in table.title for table in results.table())
    rows = {row["task"]: row for row in results.runs()}
    assert rows["task3"]["all/r2/vessels"] == 0.9
    assert rows["task1_c3"]["test/accuracy"] == 0.8


def test_confusion_matrices_are_of_classifications() -> None:
    results = Results.of([readout_record(0.9), encoder_record(0.8), encoder_record(0.8, method="BYOL", seed=5)])
    [table] = results.confusion()
    assert table.title == "Confusion matrices: task1, test split, phantom data"
    assert [row[0] for row in table.rows[::4]] == ["Supervised", "BYOL"]
    assert table.rows[0][6:10] == ["1", "1", "1", "1"]
    assert results.regions() == results.proportions() == []
