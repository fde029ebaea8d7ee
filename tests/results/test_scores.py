from dataclasses import replace

import pytest

from mtneuro_ray.results import Results
from mtneuro_ray.results.tables import Table, as_objects
from mtneuro_ray.storage.records import RunRecord
from tests.results.records import (
    FOUR,
    THREE,
    benchmark_record,
    classification_record,
    segmentation_record,
    with_regions,
)


def only(tables: list[Table]) -> Table:
    [table] = tables
    return table


def rows_of(table: Table, *first: str) -> list[list[str]]:
    """The rest of the rows that begin so."""
    return [row[len(first) :] for row in table.rows if row[: len(first)] == list(first)]


def test_proportions_per_region_and_split_with_the_paper_s_under_them() -> None:
    table = only(Results.of([with_regions(benchmark_record(FOUR))]).proportions())
    assert table.title == "Class proportions, % of voxels: task2_2D_4class, phantom data"
    assert table.columns == ["Region", "Split", "bg", "vessels", "cells", "axons", "Voxels"]
    assert rows_of(table, "CTX", "train") == [["97.00", "2.00", "1.00", "0.00", "1000"]]
    assert rows_of(table, "CTX", "paper") == [["93.00", "2.33", "4.64", "0.00", "-"]]
    assert [row[1] for row in table.rows] == ["train", "val", "test", "all", "paper"] * 3
    # 97 + 1, 2 + 1, 1 + 1 and 0 + 1 of 104, whatever the split.
    assert rows_of(table, "Total", "all") == [["94.23", "2.88", "1.92", "0.96", "1352"]]
    assert rows_of(table, "Total", "paper") == [["82.81", "2.42", "5.15", "9.61", "-"]]
    assert any("CTX, STR" in note for note in table.notes)


def test_three_classes_are_compared_with_background_and_axons_together() -> None:
    table = only(Results.of([with_regions(benchmark_record())]).proportions())
    assert rows_of(table, "STR", "paper") == [["91.85", "2.50", "5.66", "-"]]
    assert any("bg+axons" in note for note in table.notes)


def test_all_four_regions_have_the_paper_s_total() -> None:
    counts = {"train": {region: [6, 1, 2, 1] for region in ("CTX", "STR", "VP", "ZI")}}
    table = only(Results.of([replace(benchmark_record(FOUR), class_counts=counts)]).proportions())
    assert rows_of(table, "Total", "paper") == [["55.13", "3.74", "6.36", "34.77", "-"]]
    assert not any("mean" in note for note in table.notes)


def test_proportions_of_seeds_and_methods_on_one_task_are_shown_once() -> None:
    records = [with_regions(benchmark_record(seed=seed, learning_rate=rate)) for seed in (1, 2) for rate in (0.1, 0.2)]
    old = benchmark_record(seed=3)
    assert len(Results.of([*records, old]).proportions()) == 1
    other = replace(records[0], class_counts={"train": {"CTX": [1, 0, 0]}}, run_id="other")
    assert len(Results.of([*records, other]).proportions()) == 2


def test_own_tasks_have_their_proportions_without_the_paper() -> None:
    record = replace(segmentation_record(), class_counts={"train": {"A": [3, 1, 0]}, "test": {"A": [0, 0, 0]}})
    table = only(Results.of([record]).proportions())
    assert table.rows == [
        ["A", "train", "75.00", "25.00", "0.00", "4"],
        ["A", "test", "-", "-", "-", "0"],
        ["A", "all", "75.00", "25.00", "0.00", "4"],
        ["Total", "train", "75.00", "25.00", "0.00", "4"],
        ["Total", "test", "-", "-", "-", "0"],
        ["Total", "all", "75.00", "25.00", "0.00", "4"],
    ]
    assert len(table.notes) == 1


def test_regions_of_the_benchmark_s_task_that_the_paper_has_not_are_not_compared() -> None:
    record = replace(benchmark_record(), class_counts={"test": {"CTX": [1, 1, 1], "TRN": [1, 1, 1]}})
    table = only(Results.of([record]).proportions())
    assert "paper" not in {row[1] for row in table.rows}


def test_regions_are_means_over_seeds_in_both_reductions() -> None:
    seeds = [with_regions(benchmark_record(iou, seed=n)) for n, iou in enumerate([(0.5, 0.3, 0.1), (0.7, 0.2, 0.3)])]
    table = only(Results.of(seeds).regions())
    assert table.title == "By region: task2_2D_3class, test split, phantom data"
    common = ["2D U-Net", "0.01", "2", "20", "2"]
    # The region's IoU is 0.1 above the split's: 0.4 and 0.5 on average.
    assert rows_of(table, *common, "CTX", "50") == [
        ["F1 (dataset)", "0.800", "0.450", "0.400", "0.550 +- 0.071"],
        ["IoU (dataset)", "0.700", "0.350", "0.300", "0.450 +- 0.071"],
        ["F1 (image)", "0.790", "0.440", "0.390", "0.540 +- 0.071"],
        ["IoU (image)", "0.690", "0.340", "0.290", "0.440 +- 0.071"],
    ]
    assert rows_of(table, *common, "STR", "51")[1] == ["IoU (dataset)", "0.500", "0.150", "0.100", "0.250 +- 0.071"]
    assert len(table.rows) == 8


def test_older_files_without_regions_are_left_out_and_counted() -> None:
    table = only(Results.of([with_regions(benchmark_record(seed=1)), benchmark_record(seed=2)]).regions())
    assert {row[4] for row in table.rows} == {"1 of 2"}
    assert "Left out: 1 runs whose files have no such values." in table.notes
    assert Results.of([benchmark_record()]).regions() == []


def test_classification_has_no_regions_and_no_proportions_but_a_confusion_matrix() -> None:
    results = Results.of([classification_record(0.8, 1), classification_record(0.9, 2)])
    assert results.regions() == results.proportions() == []
    table = only(results.confusion())
    assert table.columns[5:] == ["Truth", "samples A", "samples B", "% of the row A", "% of the row B"]
    assert [row[5:] for row in table.rows] == [["A", "6", "2", "75.0", "25.0"], ["B", "0", "8", "0.0", "100.0"]]


def with_confusion(record: RunRecord, matrix: list[list[int]]) -> RunRecord:
    test = {**record.metrics["test"], "confusion": matrix}
    return replace(record, metrics={**record.metrics, "test": test})


def test_confusion_matrices_add_up_over_seeds_and_not_over_methods() -> None:
    records = [
        with_confusion(benchmark_record(seed=1), [[8, 1, 1], [2, 3, 5], [0, 0, 0]]),
        with_confusion(benchmark_record(seed=2), [[9, 1, 0], [1, 1, 8], [0, 0, 0]]),
        with_confusion(benchmark_record(seed=1, learning_rate=0.5), [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
    ]
    table = only(Results.of(records).confusion())
    assert rows_of(table, "2D U-Net", "0.01", "2", "20", "2") == [
        ["bg+axons", "17", "2", "1", "85.0", "10.0", "5.0"],
        ["vessels", "3", "4", "13", "15.0", "20.0", "65.0"],
        ["cells", "0", "0", "0", "-", "-", "-"],
    ]
    assert len(rows_of(table, "2D U-Net", "0.5")) == 3
    row = as_objects([table])[0]
    assert (row["voxels bg+axons"], row["% of the row bg+axons"]) == (17, 85.0)
    assert table.heads[0][6:] == ["voxels", "", "", "% of the row", "", ""]


@pytest.mark.parametrize("what", ["proportions", "regions", "confusion"])
def test_a_table_per_setting_data_and_scale(what: str) -> None:
    records = [
        with_regions(record)
        for record in (
            benchmark_record(THREE),
            benchmark_record(FOUR),
            benchmark_record(THREE, epochs=2),
            benchmark_record(THREE, data=("bossdb://a", "bossdb://b")),
        )
    ]
    tables = getattr(Results.of(records), what)()
    assert len(tables) == len({table.title for table in tables}) == 4
    assert len(getattr(Results.of(records), what)(task="task2_2D_4class")) == 1


def test_methods_stand_in_the_order_of_the_paper() -> None:
    records = [
        with_regions(benchmark_record(model=model, name=f"{model}_3class")) for model in ("PSPNet", "FPN", "MAnet")
    ]
    for tables in (Results.of(records).regions(), Results.of(records).confusion()):
        assert list(dict.fromkeys(row[0] for row in only(tables).rows)) == ["MA-Net", "FPN", "PSPNet"]
