import statistics
from dataclasses import replace
from typing import Any

import pytest

from mtneuro_ray.results import Results
from mtneuro_ray.results.candidates import hyperparameter_tables
from mtneuro_ray.results.frame import runs_of
from mtneuro_ray.results.published import classes
from mtneuro_ray.results.tables import Table, as_objects
from mtneuro_ray.storage.records import RunRecord
from tests.results.records import FOUR, THREE, benchmark_record, segmentation_record


def tables_of(*records: RunRecord) -> dict[str, Table]:
    """Tables by the first words of their titles."""
    return {table.title.partition(":")[0]: table for table in Results.of(records).table()}


def table_2(*records: RunRecord) -> Table:
    return tables_of(*records)["Table 2, I. 2D pixel-level segmentation"]


def manet(iou: tuple[float, ...], **changes: Any) -> RunRecord:
    values = {"model": "MAnet", "name": f"MAnet_{len(iou)}class", "learning_rate": 0.001, "batch_size": 8, **changes}
    return benchmark_record(iou, **values)


def test_table_2_has_the_paper_s_layout_with_its_rows_under_ours() -> None:
    three = [benchmark_record((0.9, 0.6, 0.7), seed=1), benchmark_record((0.9, 0.4, 0.7), seed=100)]
    table = table_2(*three, benchmark_record(FOUR, seed=1, learning_rate=0.1, batch_size=8))
    assert table.title.endswith(": phantom data (rows paper: prasad2020)")
    assert table.heads == [
        ["Method", "Metric", "3-class", "", "", "", "", "4-class", "", "", "", "", ""],
        ["", "", "lr/batch", *classes("task2_2D_3class"), "Avg.", "lr/batch", *classes("task2_2D_4class"), "Avg."],
    ]
    rows = {row[1]: row for row in table.rows}
    assert [row[:2] for row in table.rows] == [
        ["2D U-Net", f"{metric} ({kind})"] for metric in ("F1", "IoU") for kind in ("dataset", "image", "paper")
    ]
    # Means of the seeds 0.7333 and 0.6667; the deviation of two values is their difference over the root of 2.
    assert rows["IoU (dataset)"][2:7] == ["0.01/2", "0.900", "0.500", "0.700", "0.700 +- 0.047"]
    assert rows["F1 (image)"][2:7] == ["0.01/2", "0.990", "0.590", "0.790", "0.790 +- 0.047"]
    assert rows["IoU (dataset)"][7:] == ["0.1/8", "0.900", "0.600", "0.700", "0.800", "0.750"]
    assert rows["IoU (paper)"][2:] == [
        *["0.1/8", "0.98", "0.64", "0.75", "0.79 +- 0.014"],
        *["0.01/4", "0.89", "0.70", "0.77", "0.60", "0.74 +- 0.008"],
    ]
    assert "Seeds: 2D U-Net 3-class 0.01/2: 2; 2D U-Net 4-class 0.1/8: 1." in table.notes


def test_the_same_number_of_seeds_everywhere_is_said_once() -> None:
    table = table_2(*(benchmark_record(iou, seed=seed) for iou in (THREE, FOUR) for seed in (1, 100)))
    assert "Seeds: 2 each." in table.notes


def test_json_has_numbers_with_all_their_decimals() -> None:
    seeds = [(0.9, 0.6, 0.7), (0.8, 0.4, 0.7), (0.7, 0.1, 0.6)]
    table = table_2(*(benchmark_record(iou, seed=seed) for seed, iou in enumerate(seeds)))
    row = next(row for row in as_objects([table]) if row["Metric"] == "IoU (dataset)")
    means = [statistics.fmean(iou) for iou in seeds]
    average = {key: row["3-class Avg."][key] for key in ("mean", "std")}
    assert average == pytest.approx({"mean": statistics.fmean(means), "std": statistics.stdev(means)})
    assert row["3-class Vessels"] == pytest.approx(1.1 / 3)
    assert row["3-class lr/batch"] == {"learning_rate": 0.01, "batch_size": 2, "seeds": [0, 1, 2]}
    assert row["4-class Avg."] is None


def test_a_setting_that_is_missing_is_dashes_and_the_paper_stays() -> None:
    table = table_2(manet(FOUR))
    assert all(row[2:7] == ["-"] * 5 for row in table.rows if "paper" not in row[1])
    assert table.rows[2][2:7] == ["0.01/2", "0.99", "0.79", "0.87", "0.88 +- 0.003"]
    assert {len(row) for row in table.rows} == {len(table.columns)} == {13}


def test_methods_stand_in_the_order_of_the_paper() -> None:
    models = ["PSPNet", "MAnet", "UnetPlusPlus", "FPN", "PAN"]
    records = [manet(THREE, model=model, name=f"{model}_3class") for model in models]
    table = table_2(*records, benchmark_record())
    names = list(dict.fromkeys(row[0] for row in table.rows))
    assert names == ["2D U-Net", "MA-Net", "FPN", "U-Net++", "PAN", "PSPNet"]
    deep = [benchmark_record(dim=3, model=model, name=model) for model in ("HighResNet", "VNetLight")]
    table = tables_of(*deep, benchmark_record(dim=3))["Table 2, II. 3D pixel-level segmentation"]
    assert [row[0] for row in table.rows[::6]] == ["3D U-Net", "VNetLight", "HighResNet"]


def test_several_cells_of_a_model_are_told_apart_and_share_the_paper_s_row() -> None:
    records = [benchmark_record(iou, learning_rate=rate) for iou, rate in ((THREE, 0.1), (THREE, 0.01), (FOUR, 0.005))]
    rows = [row for row in table_2(*records).rows if row[1].startswith("IoU")]
    assert [(row[1], row[2], row[7]) for row in rows] == [
        ("IoU (dataset)", "0.01/2", "0.005/2"),
        ("IoU (image)", "0.01/2", "0.005/2"),
        ("IoU (dataset)", "0.1/2", "-"),
        ("IoU (image)", "0.1/2", "-"),
        ("IoU (paper)", "0.1/8", "0.01/4"),
    ]


def test_another_encoder_is_another_method_with_a_note() -> None:
    small = [manet(iou, encoder_name="resnet18") for iou in (THREE, FOUR)]
    table = table_2(manet(THREE), *small)
    assert [row[0] for row in table.rows if row[1] == "IoU (dataset)"] == ["MA-Net", "MA-Net [1]"]
    assert [row[0] for row in table.rows if row[1] == "IoU (paper)"] == ["MA-Net", "MA-Net"]
    assert "[1] encoder_name=resnet18" in table.notes


def test_another_scale_is_another_table_whose_title_says_so() -> None:
    small = benchmark_record(epochs=2, task={"max_slices": 16})
    titles = [table.title for table in Results.of([benchmark_record(), small]).table()]
    assert "Table 2, I. 2D pixel-level segmentation: phantom data (rows paper: prasad2020)" in titles
    assert (
        "Table 2, I. 2D pixel-level segmentation: phantom data, 2 epochs, at most 16 slices a cube and split "
        "(rows paper: prasad2020)"
    ) in titles


def test_runs_of_own_tasks_stay_in_the_generic_table() -> None:
    tables = tables_of(segmentation_record(), benchmark_record())
    assert next(iter(tables)) == "small, test split, phantom data"
    assert {row[0] for row in tables["small, test split, phantom data"].rows} == {"net"}


def test_a_model_that_the_paper_has_not_has_no_rows_of_the_paper() -> None:
    record = benchmark_record()
    record.settings["network"]["model"]["name"] = record.summary["model"] = "Mamba"
    tables = tables_of(record)
    assert list(tables) == ["Table 2, I. 2D pixel-level segmentation"]
    assert [row[:2] for row in tables["Table 2, I. 2D pixel-level segmentation"].rows][-1] == ["Mamba", "IoU (image)"]


def distance(*records: RunRecord) -> Table:
    return tables_of(*records)["Table 2, mean absolute difference of our IoU from the paper's"]


def test_which_reduction_is_closer_to_the_paper() -> None:
    # The paper's 3-class U-Net has 0.98, 0.64, 0.75; our image values are 0.01 below those of the dataset.
    above, below = benchmark_record((0.99, 0.65, 0.76), dim=2), benchmark_record((0.78, 0.65, 0.55), dim=3)
    table = distance(above, below)
    assert [row[3:] for row in table.rows] == [
        ["3", "0.010", "0.000", "image"],
        # The paper's 3D U-Net has 0.98, 0.65, 0.76: 0.2, 0, 0.21 away, or 0.21, 0.01, 0.22.
        ["3", "0.137", "0.147", "dataset"],
    ]
    assert table.rows[0][:3] == ["I. 2D pixel-level segmentation", "phantom data", "prasad2020"]
    assert any("phantom is not prasad2020" in note for note in table.notes)


def test_the_distance_is_taken_from_the_means_over_seeds_and_all_settings() -> None:
    seeds = [benchmark_record((0.97, 0.64, 0.75), seed=1), benchmark_record((0.99, 0.64, 0.75), seed=100)]
    four = manet((0.89, 0.71, 0.78, 0.76))
    [row] = distance(*seeds, four).rows
    assert row[3:5] == ["7", "0.000"]


def test_equally_far_is_told_and_real_data_have_no_word_of_caution() -> None:
    table = distance(benchmark_record((0.985, 0.645, 0.755), data=("bossdb://a", "bossdb://b")))
    assert table.rows[0][1:] == ["bossdb data", "prasad2020", "3", "0.005", "0.005", "equal"]
    assert not any("phantom" in note for note in table.notes)


def cell(iou: tuple[float, ...], val: float, **changes: Any) -> RunRecord:
    return benchmark_record(iou, role="candidate", val=val, **changes)


def test_table_a4_shows_the_best_cells_beside_the_paper_s() -> None:
    cells = [
        cell(THREE, 0.5, learning_rate=0.1, batch_size=8),
        cell(THREE, 0.7, learning_rate=0.05, batch_size=10),
        cell(THREE, float("nan"), learning_rate=0.01, batch_size=10),
        manet(FOUR, role="candidate", val=0.25),
    ]
    [table] = Results.of(cells).table()
    assert table.title == "Table A4, I. 2D pixel-level segmentation, best candidates: phantom data"
    assert table.rows == [
        ["2D U-Net", "0.05", "10", "0.700", "3", "0.1", "8", *["-"] * 4, "0.01", "4"],
        ["MA-Net", *["-"] * 4, "0.01", "2", "0.001", "8", "0.250", "1", "0.001", "8"],
    ]
    best = Results.of(cells).best()
    assert [entry["learning_rate"] for entry in best] == [0.05, 0.001]
    assert as_objects([table])[0]["3-class lr"] == 0.05
    assert "val/dataset/iou_mean" in table.notes[0]


@pytest.mark.parametrize("repeated", [0.1, 0.01])
def test_of_equal_cells_table_a4_shows_the_one_that_was_repeated(repeated: float) -> None:
    cells = [cell(THREE, 0.5, learning_rate=rate) for rate in (0.1, 0.01)]
    [table] = hyperparameter_tables(runs_of([*cells, benchmark_record(learning_rate=repeated, seed=1)]))
    assert table.rows[0][1:5] == [f"{repeated:g}", "2", "0.500", "2"]


def test_the_best_cell_of_small_images_is_not_that_of_whole_ones() -> None:
    cells = [cell(THREE, 0.5), cell(THREE, 0.9, task={"tile_size": [64, 64]})]
    assert sorted(entry["value"] for entry in Results.of(cells).best()) == [0.5, 0.9]


def test_cells_of_another_scale_or_of_no_value_are_not_mixed_in() -> None:
    cells = [cell(THREE, 0.5), cell(THREE, 0.9, epochs=2), cell(FOUR, float("nan"), dim=3)]
    tables = hyperparameter_tables(runs_of(cells))
    assert [table.title.partition(": ")[2] for table in tables] == ["phantom data", "phantom data, 2 epochs"]
    assert [table.rows[0][3:5] for table in tables] == [["0.500", "1"], ["0.900", "1"]]


def test_failed_and_stopped_runs_and_cells_are_in_no_table_2() -> None:
    runs = [benchmark_record(seed=seed) for seed in (1, 2, 3)]
    others = [replace(runs[1], status="error", metrics={}), replace(runs[2], status="stopped", metrics={})]
    table = table_2(runs[0], *others, cell(THREE, 0.5))
    assert "Seeds: 1 of 3 each." in table.notes
    assert Results.of(others).table() == []
