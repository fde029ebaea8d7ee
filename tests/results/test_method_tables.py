import statistics
from dataclasses import replace
from typing import Any

import pytest
from scipy.stats import spearmanr

from mtneuro_ray.results import Results
from mtneuro_ray.results.published import networks, score
from mtneuro_ray.results.tables import Table, as_objects
from mtneuro_ray.storage.records import RunRecord
from tests.results.records import encoder_record, readout_record

METHODS = tuple(networks("task1"))


def tables_of(*records: RunRecord) -> dict[str, Table]:
    """Tables by the first words of their titles."""
    return {table.title.partition(",")[0]: table for table in Results.of(records).table()}


def rows_of(table: Table) -> dict[str, list[str]]:
    return {row[0]: row[1:] for row in table.rows}


def test_table_1_has_the_paper_s_layout_and_its_values_beside_ours() -> None:
    seeds = [encoder_record(0.8, seed=1), encoder_record(0.9, seed=100)]
    table = tables_of(*seeds, encoder_record(0.7, "task1_c2"), encoder_record(0.6, "task1_c3", "BYOL"))["Table 1"]
    assert table.title == "Table 1, accuracy of region classification: phantom data (columns paper: prasad2020)"
    assert table.heads[0] == ["Method", "ROI-C1", "", "", "ROI-C2", "", "", "ROI-C3", "", ""]
    assert table.heads[1] == ["", *["ours", "ours balanced", "paper"] * 3]
    rows = rows_of(table)
    assert tuple(rows) == METHODS
    # The deviation of two values is their difference over the root of 2.
    assert rows["Supervised"] == [
        *["0.850 +- 0.071", "0.750 +- 0.071", "0.88 +- 0.03"],
        *["0.700", "0.600", "0.77 +- 0.03"],
        *["-", "-", "0.88 +- 0.02"],
    ]
    assert rows["BYOL"][6:] == ["0.600", "0.500", "0.97 +- 0.01"]
    assert rows["NMF"] == ["-", "-", "0.62", "-", "-", "0.27", "-", "-", "0.50"]


def test_notes_tell_data_and_seeds() -> None:
    notes = tables_of(encoder_record(0.8, seed=1), encoder_record(0.8, seed=2))["Table 1"].notes
    assert "Seeds: 2 each." in notes
    assert any(note.startswith("Data: phantom://thalamocortical/image") for note in notes)
    uneven = tables_of(
        encoder_record(0.8), encoder_record(0.8, method="PCA"), encoder_record(0.8, method="PCA", seed=9)
    )
    assert "Seeds: Supervised ROI-C1: 1; PCA ROI-C1: 2." in uneven["Table 1"].notes


def test_json_has_numbers_with_all_their_decimals() -> None:
    values = [0.81, 0.97, 0.34]
    records = [encoder_record(value, method="Sup w/ Mixup", seed=seed) for seed, value in enumerate(values)]
    row = as_objects([tables_of(*records)["Table 1"]])[1]
    expected = {"mean": statistics.fmean(values), "std": statistics.stdev(values)}
    ours = row["ROI-C1 ours"]
    assert {key: ours[key] for key in expected} == pytest.approx(expected)
    assert (ours["seeds"], ours["mixup_probability"]) == ([0, 1, 2], 0.3)
    assert row["ROI-C1 paper"] == {"mean": 0.90, "std": 0.04}
    assert row["ROI-C2 ours"] is None


def test_the_selected_probability_of_mixup_is_shown_per_column() -> None:
    records = [
        encoder_record(0.8, method="Sup w/ Mixup", mixup_probability=0.1),
        encoder_record(0.7, "task1_c2", "Sup w/ Mixup", mixup_probability=0.7),
    ]
    row = rows_of(tables_of(*records)["Table 1"])["Sup w/ Mixup"]
    assert (row[0], row[3]) == ("0.800 (p 0.1)", "0.700 (p 0.7)")


def test_table_a3_is_there_where_another_resolution_was_trained() -> None:
    alone = tables_of(encoder_record(0.8))
    assert list(alone) == ["Table 1"]
    both = tables_of(encoder_record(0.8), encoder_record(0.7, "task1_x4"), encoder_record(0.9, "task1_x1"))
    assert list(both) == ["Table 1", "Table A3"]
    assert both["Table A3"].heads[0][1::3] == ["Downsampling 4", "Downsampling 2", "Full-res"]
    assert rows_of(both["Table A3"])["Supervised"][::3] == ["0.700", "0.800", "0.900"]
    assert rows_of(both["Table A3"])["MYOW-m"][2::3] == ["0.84 +- 0.05", "0.94 +- 0.02", "0.99 +- 0.01"]
    assert list(tables_of(encoder_record(0.7, "task1_x4"))) == ["Table A3"]


def test_whole_images_and_other_settings_are_other_rows_with_a_note() -> None:
    changed: dict[str, Any] = {"method.trans_prob": 0.9, "data.batch_size": 64}
    table = tables_of(
        encoder_record(0.8),
        encoder_record(0.9, eval_crops="whole"),
        encoder_record(0.7, method="BYOL", **changed),
    )["Table 1"]
    rows = rows_of(table)
    assert [name for name in rows if "[" in name] == ["Supervised [1]", "BYOL [2]"]
    assert (rows["Supervised"][0], rows["Supervised [1]"][0], rows["BYOL [2]"][0]) == ("0.800", "0.900", "0.700")
    assert "BYOL" not in rows
    assert any(note.startswith("Changed settings") for note in table.notes)
    assert "[1] eval_crops=whole" in table.notes
    assert "[2] trans_prob=0.9, data.batch_size=64" in table.notes


def titles(*records: RunRecord) -> list[str]:
    return [table.title.partition(": ")[2].partition(" (")[0] for table in Results.of(records).table()]


def test_other_data_and_another_scale_are_other_tables_whose_titles_say_so() -> None:
    small = [encoder_record(0.5, method=method, preset="smoke") for method in ("Supervised", "MYOW")]
    real = encoder_record(0.9, data=("bossdb://a", "bossdb://b"))
    scale = "2 epochs, 64 px, at most 32 slices a cube and split"
    assert titles(encoder_record(0.8), *small, real) == ["bossdb data", "phantom data", f"phantom data, {scale}"]


@pytest.mark.parametrize("method", ["PCA", "Random_ResNet-18_2D"])
def test_methods_without_steps_stand_beside_the_networks_of_each_number_of_epochs(method: str) -> None:
    records = [
        encoder_record(0.5, preset="smoke"),
        encoder_record(0.6, preset="smoke", epochs=1),
        encoder_record(0.4, method=method, preset="smoke"),
    ]
    tables = [table for table in Results.of(records).table() if table.title.startswith("Table 1")]
    assert len(tables) == 2
    for table in tables:
        [row] = [row for row in table.rows if row[0].startswith(method)]
        assert row[1] == "0.400"
    alone = encoder_record(0.4, method=method, preset="smoke")
    assert titles(alone, encoder_record(0.3, method="NMF", preset="smoke")) == [
        "phantom data, 64 px, at most 32 slices a cube and split"
    ]


def test_a_random_encoder_is_a_row_of_tables_1_a3_and_3_below_those_of_the_paper() -> None:
    records = [
        *(
            encoder_record(0.5, task, "Random_ResNet-18_2D", seed=seed)
            for task in ("task1", "task1_x4")
            for seed in (1, 2)
        ),
        *(readout_record(0.5, task, "Random_ResNet-18_2D") for task in ("task3", "task3_c3")),
        encoder_record(0.6, method="PCA"),
    ]
    tables = [table for table in Results.of(records).table() if table.title.startswith("Table")]
    assert len(tables) == 4
    for table in tables:
        own = [row for row in table.rows if row[0] == "Random_ResNet-18_2D"]
        assert table.rows[-len(own) :] == own
        paper, ours = ([cell for row in own for cell in row if cell.startswith(start)] for start in ("0.8", "0.5"))
        assert ours
        assert not paper
    assert rows_of(tables[0])["Random_ResNet-18_2D"][:3] == ["0.500 +- 0.000", "0.400 +- 0.000", "-"]
    assert rows_of(tables[0])["PCA"][:3] == ["0.600", "0.500", "0.59"]


ACCURACIES = {"Supervised": 0.7, "Sup w/ Mixup": 0.8, "BYOL": 0.6, "MYOW": 0.9, "PCA": 0.3, "NMF": 0.2}


def test_the_order_of_the_methods_is_compared_with_the_paper_s() -> None:
    records = [encoder_record(value, method=method) for method, value in ACCURACIES.items()]
    table = tables_of(*records, encoder_record(0.5, "task1_c2"), encoder_record(0.4, "task1_c2", "PCA"))["Table 1"]
    expected = spearmanr(
        list(ACCURACIES.values()), [found.mean for name in ACCURACIES if (found := score("task1", name, "accuracy"))]
    )
    order = next(note for note in table.notes if note.startswith("Order of the methods"))
    # Two methods in ROI-C2 have no order worth a number.
    assert order.endswith(f"ROI-C1 {expected.statistic:.2f} of 6.")
    assert any("decides nothing" in note for note in table.notes)
    real = [encoder_record(value, method=name, data=("bossdb:a", "bossdb:b")) for name, value in ACCURACIES.items()]
    assert not any("decides nothing" in note for note in tables_of(*real)["Table 1"].notes)


def test_methods_that_are_all_alike_have_no_order() -> None:
    table = tables_of(*(encoder_record(0.5, method=method) for method in ACCURACIES))["Table 1"]
    assert not any(note.startswith("Order") for note in table.notes)


def test_table_3_has_both_readouts_and_the_paper_s_row_under_them() -> None:
    tables = Results.of(
        [readout_record(0.9, seed=1), readout_record(0.8, seed=2), readout_record(0.7, "task3_c3", "MYOW")]
    ).table()
    first, second = tables
    assert first.title == (
        "Table 3, I. Linear readouts from models trained on a single subvolume (ROI-C1): phantom data "
        "(rows paper: prasad2020)"
    )
    assert second.title.startswith("Table 3, II. Linear readouts from models trained on two subvolumes (ROI-C3)")
    assert first.columns == ["Method", "Metric", "Vessels", "Axons", "Cell Count", "Cell Size", "Dist (k=1)"]
    scatter = " +- 0.071"
    assert first.rows[:3] == [
        ["Supervised", "R2 (all)", *(f"{value}{scatter}" for value in ("0.850", "0.750", "0.650", "0.550", "0.450"))],
        [
            "Supervised",
            "R2 (held out)",
            *(f"{value}{scatter}" for value in ("0.650", "0.550", "0.450", "0.350", "0.250")),
        ],
        ["Supervised", "R2 (paper)", "0.77 +- 0.06", "0.94 +- 0.01", "0.67 +- 0.06", "0.61 +- 0.05", "0.48 +- 0.05"],
    ]
    assert [row[0] for row in first.rows[2:]] == list(METHODS)
    myow = [row for row in second.rows if row[0] == "MYOW"]
    assert [row[1:3] for row in myow] == [
        ["R2 (all)", "0.700"],
        ["R2 (held out)", "0.500"],
        ["R2 (paper)", "0.88 +- 0.01"],
    ]


def test_a_readout_shows_the_probability_of_mixup_of_its_encoder() -> None:
    [table] = Results.of([readout_record(0.9, method="Sup w/ Mixup", mixup_probability=0.5)]).table()
    assert table.rows[1][:2] == ["Sup w/ Mixup (p 0.5)", "R2 (all)"]
    assert as_objects([table])[1]["Method"] == {"method": "Sup w/ Mixup", "mixup_probability": 0.5}


def test_an_attribute_that_is_the_same_everywhere_has_no_r2() -> None:
    record = readout_record(0.9)
    del record.metrics["test"]["r2/axons"]
    for tables in (Results.of([record]).table(), Results.of([own_task(record)]).table()):
        row = next(row for row in tables[0].rows if "R2 (held out)" in row)
        assert row[-5:] == ["0.700", "-", "0.500", "0.400", "0.300"]


def test_a_readout_s_title_tells_the_images_of_its_encoder_where_they_differ() -> None:
    record = readout_record(0.9, preset="smoke")
    own = "phantom data, 2 epochs, 64 px, at most 64 slices a cube and split"
    assert titles(record) == [f"{own}, encoders of 64 px, at most 32 slices a cube and split"]
    record.settings["encoder_run"]["task"]["max_slices"] = None
    assert titles(record) == [f"{own}, encoders of 64 px"]
    record.settings["encoder_run"]["task"]["max_slices"] = 64
    assert titles(record) == [own]


def own_task(record: RunRecord, **changes: Any) -> RunRecord:
    """The record on a task that is not the benchmark's."""
    task = {**record.settings["task"], "name": "mine", **changes}
    return replace(record, settings={**record.settings, "task": task}, summary={**record.summary, "task": "mine"})


def test_readouts_of_other_tasks_have_the_generic_table() -> None:
    [table] = Results.of([own_task(readout_record(0.9, method="PCA"))]).table()
    assert table.title == "mine, phantom data"
    assert table.columns[-6:] == ["Metric", "Vessels", "Axons", "Cell Count", "Cell Size", "Dist (k=1)"]
    assert [row[0] for row in table.rows] == ["PCA", "PCA"]
    assert [row[5:7] for row in table.rows] == [["R2 (all)", "0.900"], ["R2 (held out)", "0.700"]]
    relabelled = encoder_record(0.9)
    relabelled.settings["task"]["classes"] = ["a", "b", "c", "d"]
    assert [table.title for table in Results.of([relabelled]).table()] == ["task1, test split, phantom data"]


def test_cells_and_failed_runs_are_in_no_table() -> None:
    failed = replace(encoder_record(0.9, seed=3), status="error", metrics={})
    assert Results.of([encoder_record(0.9, role="candidate"), failed]).table() == []
