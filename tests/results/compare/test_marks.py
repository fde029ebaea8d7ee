"""Marks of tables: the best of a column, and what is not told apart from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtneuro_ray.results import Results
from mtneuro_ray.results.compare.marks import Judge
from mtneuro_ray.results.compare.series import ScoredImages
from mtneuro_ray.results.frame import Key, Run
from mtneuro_ray.results.tables import as_objects
from tests.results.compare.scored import write_experiment
from tests.results.records import FOUR, benchmark_record, segmentation_record

IOU = Key("test", "dataset/iou_mean")


def without_images(run: Run) -> None:
    return None


def test_a_table_marks_the_best_and_what_is_not_told_apart_from_it(tmp_path: Path) -> None:
    for number, error in enumerate((0.10, 0.101, 0.2)):
        write_experiment(tmp_path, error, first=50 * number, name=f"net{number}_3class", start_filters=4 + number)
    [table] = Results(tmp_path).table()
    rows = [row for row in as_objects([table]) if row["Metric"] == "IoU (dataset)"]
    assert {row["Method"]: row["Avg."]["best"] for row in rows} == {"net0": True, "net1": True, "net2": False}
    texts = [row[-1] for row in table.rows if row[5] == "IoU (dataset)"]
    assert [text.endswith(" *") for text in texts] == [True, True, False]
    [note] = [note for note in table.notes if note.startswith("* ")]
    assert "seeds crossed with blocks of neighbouring images" in note
    assert table.notes[0] == note


def test_the_paper_s_table_marks_by_seeds_where_images_are_missing() -> None:
    strong = [benchmark_record(FOUR, seed=seed, val=0.5) for seed in (1, 2, 3)]
    weak = [
        benchmark_record(tuple(iou / 2 + seed / 1000 for iou in FOUR), seed=seed, name="weak_4class", n_blocks=2)
        for seed in (1, 2, 3)
    ]
    [table, *_] = Results.of([*strong, *weak]).table()
    cells = [row["4-class Avg."] for row in as_objects([table]) if row["Metric"] == "IoU (dataset)"]
    assert [cell["best"] for cell in cells] == [True, False]
    assert any("seeds alone, on these images" in note for note in table.notes)


@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
def test_a_method_alone_has_no_mark(seeds: tuple[int, ...]) -> None:
    records = [segmentation_record((0.5, 0.3, 0.1), seed=seed) for seed in seeds]
    [table] = Results.of(records).table()
    assert not any("*" in text for row in table.rows for text in row)
    assert not any(note.startswith("* ") for note in table.notes)


def test_one_seed_without_images_judges_nothing() -> None:
    runs = [Run.of(segmentation_record(iou, start_filters=size)) for iou, size in (((0.5,) * 3, 4), ((0.1,) * 3, 8))]
    assert Judge(ScoredImages(without_images)).best([[run] for run in runs], IOU) is None


def test_smaller_losses_are_better() -> None:
    groups = [
        [Run.of(segmentation_record((0.5,) * 3, seed=seed, start_filters=size)) for seed in (1, 2, 3)]
        for size in (4, 8)
    ]
    for number, group in enumerate(groups):
        for place, run in enumerate(group):
            run.values[run.keys[Key("test", "loss")]] = 0.5 + number + place / 100
    found = Judge(ScoredImages(without_images)).best(groups, Key("test", "loss"))
    assert found is not None
    assert found.methods == {groups[0][0].method}
