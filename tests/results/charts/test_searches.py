from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from mtneuro_ray.results.charts import searches
from mtneuro_ray.results.charts.searches import Grid, searches_of
from mtneuro_ray.results.frame import runs_of
from mtneuro_ray.storage.records import RunRecord
from tests.results.figures.test_curves import GRID, METRIC, SEEDS, cell, stopped
from tests.results.records import segmentation_record


def grid_of(records: Sequence[RunRecord], metric: str) -> Grid | None:
    return searches.grid_of(runs_of(records), metric)


def test_the_grid_of_learning_rate_and_batch_size() -> None:
    grid = grid_of([*GRID, *SEEDS], METRIC)
    assert grid is not None
    assert (grid.keys, grid.rows, grid.columns, grid.others) == (
        ("learning_rate", "batch_size"),
        [0.01, 0.1],
        [2, 4],
        (),
    )
    assert grid.values == pytest.approx({(0, 0): 0.02, (0, 1): 0.04, (1, 0): 0.2, (1, 1): 0.4})
    assert grid.is_filled


def test_cells_that_differ_in_nothing_or_are_none_have_no_grid() -> None:
    assert grid_of(SEEDS, METRIC) is None
    assert grid_of(GRID[:1], METRIC) is None
    assert grid_of([], METRIC) is None


def test_other_axes_one_axis_and_more_than_two() -> None:
    losses = [cell(value, loss=loss) for value, loss in ((0.3, "focal"), (0.5, "dice"))]
    one = grid_of(losses, METRIC)
    assert one is not None
    assert (one.keys, one.rows, one.columns) == (("loss",), [""], ["dice", "focal"])
    assert one.values == {(0, 0): 0.5, (0, 1): 0.3}

    better = cell(0.3, learning_rate=0.1, batch_size=2, loss="dice")
    worse = cell(0.3, learning_rate=0.1, batch_size=4, loss="dice")
    best = grid_of([*GRID, better, worse], METRIC)
    assert best is not None
    assert (best.keys, best.others) == (("learning_rate", "batch_size"), ("loss",))
    assert (best.values[(1, 0)], best.values[(1, 1)]) == (0.3, 0.4)


def test_values_are_in_an_order_and_keys_younger_than_a_file_have_their_default() -> None:
    cells = [cell(0.1, batch_size=size, input_norm="image") for size in (128, 64)]
    old = cell(0.3)
    del old.settings["network"]["data"]["normalization"]
    grid = grid_of([*cells, old], METRIC)
    assert grid is not None
    assert (grid.rows, grid.columns) == ([2, 64, 128], ["image", "unit"])
    assert grid.values == {(0, 1): 0.3, (1, 0): 0.1, (2, 0): 0.1}


def test_a_cell_that_was_repeated_over_seeds_is_worth_their_mean() -> None:
    cells = [
        cell(val, learning_rate=rate, seed=seed) for rate, val, seed in ((0.1, 0.2, 1), (0.1, 0.8, 2), (0.3, 0.6, 1))
    ]
    grid = grid_of(cells, METRIC)
    assert grid is not None
    assert (grid.keys, grid.columns) == (("learning_rate",), [0.1, 0.3])
    assert grid.values == pytest.approx({(0, 0): 0.5, (0, 1): 0.6})


def test_of_a_metric_whose_smaller_values_are_better_the_smallest_is_the_best() -> None:
    # The loss on validation is 1 - val.
    axes = {"learning_rate": 0.1, "batch_size": 2}
    cells = [cell(0.2, loss="dice", **axes), cell(0.6, loss="focal", **axes), *GRID[:1]]
    by_loss, by_iou = grid_of(cells, "val/loss"), grid_of(cells, METRIC)
    assert by_loss is not None
    assert by_iou is not None
    assert (by_loss.keys, by_loss.others) == (("learning_rate", "batch_size"), ("loss",))
    assert by_loss.values[1, 0] == pytest.approx(0.4)
    assert by_iou.values[1, 0] == 0.6


def test_searches_are_by_model_task_epochs_and_data_without_failed_runs() -> None:
    failed = replace(segmentation_record(seed=9), status="error", error="diverged")
    other = [segmentation_record(data=("zarr:a", "zarr:b")), segmentation_record(epochs=9)]
    found = searches_of(runs_of([*GRID, stopped(batch_size=8), *SEEDS, *other, failed]))
    assert sorted((search.title, len(search.candidates), len(search.finals)) for search in found) == [
        ("net on small, 2 epochs, phantom data", 5, 3),
        ("net on small, 2 epochs, zarr data", 0, 1),
        ("net on small, 9 epochs, phantom data", 0, 1),
    ]
    [ranked] = [search.ranked(search.candidates) for search in found if search.candidates]
    assert [run.metric(METRIC) for run in ranked] == [0.4, 0.2, 0.04, 0.02, None]
