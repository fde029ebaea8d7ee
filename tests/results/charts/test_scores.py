from __future__ import annotations

import statistics

import pytest

from mtneuro_ray.results.charts.scores import scores_of
from mtneuro_ray.results.frame import runs_of
from mtneuro_ray.results.query import Results
from tests.results.records import classification_record, encoder_record, segmentation_record, with_regions

IOU = ((0.5, 0.25, 0.0), (0.7, 0.25, 0.1))
RECORDS = [with_regions(segmentation_record(iou, seed=seed)) for seed, iou in enumerate(IOU, start=1)]


def test_seeds_of_each_method_with_mean_and_sample_deviation() -> None:
    [found] = scores_of(runs_of(RECORDS))
    assert (found.name, found.classes) == ("small", ("bg", "vessels", "cells"))
    panel = next(panel for panel in found.seeds if panel.metric == "test/dataset/iou")
    [method] = panel.methods
    means = [statistics.fmean(iou) for iou in IOU]
    assert method.values == pytest.approx({1: means[0], 2: means[1]})
    assert method.mean == pytest.approx(statistics.fmean(means))
    assert method.std == pytest.approx(statistics.stdev(means))
    assert method.run_ids == [record.run_id for record in RECORDS]


def test_the_numbers_are_those_of_the_tables() -> None:
    [found] = scores_of(runs_of(RECORDS))
    [table] = Results.of(RECORDS).regions()
    rows = {(row[5], row[7]): row[8:] for row in table.rows}
    panel = next(panel for panel in found.by_class if panel.metric == "test/dataset/iou")
    assert panel.rows == ["all", "CTX", "STR"]
    for row, region in enumerate(panel.rows[1:], start=1):
        shown = [f"{panel.values[row, column]:.3f}" for column in range(3)]
        assert shown == list(rows[region, "IoU (dataset)"][:3])


def test_one_seed_has_no_deviation_and_a_task_without_class_values_no_classes() -> None:
    [found] = scores_of(runs_of([classification_record(0.5, 1)]))
    assert [panel.methods[0].std for panel in found.seeds] == [None] * len(found.seeds)
    assert {panel.metric for panel in found.seeds} >= {"test/accuracy"}
    assert found.by_class == []


def test_without_final_runs_there_are_no_scores() -> None:
    assert scores_of(runs_of([segmentation_record(role="candidate")])) == []


def test_methods_without_epochs_stand_beside_trained_ones_as_in_the_tables() -> None:
    records = [encoder_record(0.5, preset="smoke"), encoder_record(0.4, method="PCA", preset="smoke")]
    [found] = scores_of(runs_of(records))
    assert "2 epochs" in found.title
    assert [seeds.method.partition(" ")[0] for seeds in found.seeds[0].methods] == ["Supervised", "PCA"]
