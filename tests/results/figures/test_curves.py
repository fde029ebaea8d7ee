from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mtneuro_ray.results.charts.searches import grid_of, searches_of
from mtneuro_ray.results.figures import curves
from mtneuro_ray.results.frame import Run
from mtneuro_ray.results.methods import differences, label_of
from mtneuro_ray.storage.records import RunRecord
from tests.results.records import classification_record, encoder_record, segmentation_record

METRIC = "val/dataset/iou_mean"


def runs(records: Sequence[RunRecord]) -> list[Run]:
    return [Run.of(record) for record in records]


def draw_curves(records: Sequence[RunRecord], title: str) -> Figure:
    [search] = searches_of(runs(records))
    return curves.draw_curves(search._replace(title=title), {record.run_id: record for record in records})


def history(*values: float, loss: float = 1.0) -> list[dict[str, Any]]:
    return [{"epoch": n, "train/loss": loss / n, METRIC: value} for n, value in enumerate(values, start=1)]


def cell(val: float, **network: Any) -> RunRecord:
    return replace(segmentation_record(role="candidate", val=val, **network), history=history(val / 2, val))


def stopped(**network: Any) -> RunRecord:
    record = segmentation_record(role="candidate", **network)
    return replace(record, status="stopped", metrics={}, history=history(0.05))


GRID = [cell(rate * size, learning_rate=rate, batch_size=size) for rate in (0.01, 0.1) for size in (4, 2)]
SEEDS = [replace(segmentation_record(seed=seed), history=history(0.1 * seed, 0.2 * seed)) for seed in (1, 2, 3)]


def test_stopped_cells_have_a_place_without_a_value() -> None:
    grid = grid_of(runs([*GRID[1:], stopped(learning_rate=0.01, batch_size=4)]), METRIC)
    assert grid is not None
    assert math.isnan(grid.values[(0, 1)])
    figure = draw_curves([*GRID[1:], stopped(learning_rate=0.01, batch_size=4)], "title")
    heat_map = figure.axes[2]
    assert sorted(text.get_text() for text in heat_map.texts) == ["0.020", "0.200", "0.400", "stopped"]
    everything_stopped = draw_curves([stopped(batch_size=2), stopped(batch_size=4)], "title")
    assert [text.get_text() for text in everything_stopped.axes[2].texts] == ["stopped", "stopped"]


def test_values_drawn_from_ranges_are_points() -> None:
    random = np.random.default_rng(0)
    rates = 10 ** random.uniform(-4, -1, 12)
    cells = [
        cell(0.5, learning_rate=float(rate), batch_size=int(size))
        for rate, size in zip(rates, random.integers(2, 9, 12), strict=True)
    ]
    cells.append(stopped(learning_rate=0.5, batch_size=64))
    figure = draw_curves(cells, "title")
    axis = figure.axes[2]
    points, crosses = axis.collections
    np.testing.assert_allclose(sorted(np.asarray(points.get_offsets())[:, 1]), sorted(rates))
    assert np.asarray(crosses.get_offsets()).tolist() == [[64, 0.5]]
    assert (axis.get_xlabel(), axis.get_ylabel(), axis.get_yscale()) == ("batch_size", "learning_rate", "log")

    alone = draw_curves(
        [cell(float(rate), learning_rate=float(rate)) for rate in np.linspace(0.1, 0.9, 150)], "t"
    ).axes[2]
    [dots] = alone.collections
    offsets = np.asarray(dots.get_offsets())
    assert (alone.get_xlabel(), alone.get_ylabel()) == ("learning_rate", METRIC)
    np.testing.assert_allclose(offsets[:, 0], offsets[:, 1])


def test_a_line_per_run_and_the_mean_of_the_seeds() -> None:
    longer = replace(SEEDS[0], history=history(0.1, 0.2, 0.3))
    figure = draw_curves([*GRID, *SEEDS[1:], longer, stopped(batch_size=8)], "net on small")
    loss, metric = figure.axes[:2]
    assert [len(axis.lines) for axis in (loss, metric)] == [9, 9]
    mean = metric.lines[-1]
    assert mean.get_label() == "mean of 3 seeds"
    np.testing.assert_allclose(np.asarray(mean.get_xdata()), [1, 2])
    np.testing.assert_allclose(np.asarray(mean.get_ydata(), float), [0.2, 0.4])
    [legend] = [axis.get_legend() for axis in (metric,)]
    assert legend is not None
    assert {text.get_text() for text in legend.get_texts()} == {
        "candidates",
        "stopped candidates",
        "seeds",
        "mean of 3 seeds",
    }
    assert (loss.get_ylabel(), metric.get_ylabel(), figure.get_suptitle()) == ("train/loss", METRIC, "net on small")
    assert len(draw_curves(SEEDS, "no grid").axes) == 2


def test_losses_far_apart_are_on_a_logarithmic_scale() -> None:
    wild = replace(SEEDS[1], history=history(0.1, 0.2, loss=1000.0))
    assert draw_curves(SEEDS, "t").axes[0].get_yscale() == "linear"
    assert draw_curves([SEEDS[0], wild], "t").axes[0].get_yscale() == "log"


def test_classification_has_its_own_metric() -> None:
    record = replace(classification_record(0.5, 0), history=[{"epoch": 1, "train/loss": 1.0, "val/accuracy": 0.7}])
    assert draw_curves([record], "t").axes[1].get_ylabel() == "val/accuracy"


def test_curves_of_self_supervised_training_are_its_loss_and_the_spread_of_its_features() -> None:
    entries = [{"epoch": n, "train/loss": 3.0 - n, "train/feature_std": 0.04 * n} for n in (1, 2)]
    record = replace(encoder_record(0.5, method="MYOW"), history=entries)
    axes = draw_curves([record], "title").axes
    assert [axis.get_ylabel() for axis in axes] == ["train/loss", "train/feature_std"]
    assert np.asarray(axes[1].lines[0].get_ydata()).tolist() == [0.04, 0.08]


def test_settings_of_self_supervised_training_tell_methods_apart() -> None:
    epochs: list[dict[str, Any]] = [{"method.epochs": number} for number in (50, 20)]
    records = [encoder_record(0.5, method="BYOL", **options) for options in epochs]
    keys = differences(runs(records))
    assert keys == {"method.epochs": [20, 50]}
    assert [label_of(run, keys) for run in runs(records)] == ["method.epochs 50", "method.epochs 20"]
