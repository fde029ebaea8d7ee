from dataclasses import replace

from mtneuro_ray.results import Results
from mtneuro_ray.results.frame import runs_of
from mtneuro_ray.results.methods import Seeds, by_method, finished
from mtneuro_ray.storage.records import RunRecord
from tests.results.records import benchmark_record, encoder_record, segmentation_record


def with_confusion(record: RunRecord, matrix: list[list[int]]) -> RunRecord:
    return replace(record, metrics={**record.metrics, "test": {**record.metrics["test"], "confusion": matrix}})


def notes_of(*records: RunRecord) -> str:
    return "\n".join(Results.of(records).table()[0].notes)


LEARNED = [[9, 1, 0], [2, 8, 0], [0, 1, 9]]
CONSTANT = [[10, 0, 0], [10, 0, 0], [10, 0, 0]]


def test_a_run_that_predicts_one_class_is_marked_and_one_that_learned_is_not() -> None:
    good, bad = (
        with_confusion(segmentation_record(seed=1), LEARNED),
        with_confusion(segmentation_record(seed=2), CONSTANT),
    )
    assert notes_of(good) == ""
    assert "No better than predicting one class everywhere: net (1 of 2 seeds)." in notes_of(good, bad)
    assert "No better than predicting one class everywhere: net." in notes_of(bad)
    # The paper's tables say so, too.
    chance = with_confusion(encoder_record(0.25), [[5, 0, 0, 0]] * 4)
    assert "No better than predicting one class everywhere: Supervised ROI-C1." in notes_of(chance)


def test_a_class_that_is_nowhere_and_scores_1_is_told() -> None:
    background = [[30, 0, 0], [0, 0, 0], [0, 0, 0]]
    record = with_confusion(segmentation_record((1.0, 1.0, 1.0)), background)
    notes = notes_of(record)
    assert "vessels, cells, in neither" not in notes
    assert "cells, vessels: in neither truth nor prediction of the test split, which scores 1: net." in notes
    assert "Classes without data: test split: no cells; test split: no vessels." in notes


def test_a_split_that_lacks_a_class_is_told() -> None:
    record = with_confusion(segmentation_record(), LEARNED)
    counted = replace(record, class_counts={"train": {"A": [5, 0, 2], "B": [5, 0, 0]}, "val": {"A": [1, 1, 1]}})
    assert "Classes without data: train split: no vessels." in notes_of(counted)


def test_a_mean_over_fewer_seeds_than_asked_says_so() -> None:
    done = [with_confusion(segmentation_record(seed=seed), LEARNED) for seed in (1, 2, 3, 4)]
    lost = segmentation_record(seed=5)
    failed = RunRecord(lost.run_id, "error", lost.summary, lost.settings, error="diverged")
    [table] = Results.of([*done, failed]).table()
    assert {row[4] for row in table.rows} == {"4 of 5"}
    paper = [benchmark_record(seed=seed) for seed in (1, 2)]
    broken = [replace(paper[1], status="error", metrics={})]
    assert "Seeds: 1 of 2 each." in notes_of(paper[0], *broken)


def test_seeds_of_another_method_of_the_experiment_are_asked_for_where_it_has_all_of_ours() -> None:
    records = [
        segmentation_record(seed=seed, weight_decay=decay) for seed, decay in ((1, 0.0), (2, 0.0), (1, 0.5), (9, 0.9))
    ]
    runs = runs_of(records)
    told = {seeds[0].network["optimizer.weight_decay"]: Seeds(runs).told(seeds) for seeds in by_method(finished(runs))}
    assert told == {0.0: "2", 0.5: "1 of 2", 0.9: "1"}
