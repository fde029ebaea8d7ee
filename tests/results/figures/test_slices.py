from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtneuro_ray.results.figures.colors import colors_of, painted
from mtneuro_ray.results.figures.slices import _round_length, draw_slices
from tests.results.figures.scenery import FOUR, THREE, layer, scene


def pixels(axis: Any) -> Any:
    [image] = axis.get_images()
    return np.asarray(image.get_array())


def test_the_papers_colors_and_others_for_other_classes() -> None:
    assert colors_of(FOUR) == {"vessels": (1, 0, 0), "cells": (1, 1, 0), "axons": (0, 1, 1)}
    many = colors_of(["nothing", *(f"class {number}" for number in range(9)), "cells"])
    assert (len(many), many["cells"]) == (10, (1, 1, 0))
    assert len(set(list(many.values())[:6])) == 6


def test_paint_lies_over_the_grey_values_and_leaves_the_rest() -> None:
    image = np.array([[0, 255], [51, 51]], np.uint8)
    picture = painted(image, np.array([[0, 1], [3, 255]], np.uint8), FOUR, strength=0.5)
    assert picture.tolist() == [[[0, 0, 0], [1, 0.5, 0.5]], [[0.1, 0.6, 0.6], [0.2, 0.2, 0.2]]]


def test_a_row_per_region_with_image_truth_and_each_setting() -> None:
    wrong = layer()
    wrong.predicted[3, 2:7, 2:7] = 0
    figure = draw_slices([scene(layer(THREE), wrong), scene(layer(THREE), region="ZI")])
    axes = np.array(figure.axes).reshape(2, 4)
    assert [axis.get_ylabel() for axis in axes[:, 0]] == ["CTX\nz 423", "ZI\nz 422"]
    assert [axis.get_title() for axis in axes[0]] == [
        "image",
        "ground truth",
        "prediction\ntask_3class\nmean IoU 1.00",
        f"prediction\ntask_4class\nmean IoU {wrong.mean_iou(3):.2f}",
    ]
    assert pixels(axes[0, 0]).shape == (20, 20)
    # y points down: the vessel, below, is in the last rows; the cell is at the upper left.
    assert axes[0, 0].get_ylim() == (19.5, -0.5)
    truth, prediction = pixels(axes[0, 1]), pixels(axes[0, 3])
    red, yellow, cyan = (truth[place] for place in ((17, 10), (4, 4), (5, 15)))
    assert red[0] > red[1] == red[2]
    assert yellow[0] == yellow[1] > yellow[2]
    assert cyan[0] < cyan[1] == cyan[2]
    assert prediction[4, 4].std() == 0
    np.testing.assert_array_equal(prediction[17, 10], red)
    # Without axons in the 3-class setting.
    assert pixels(axes[0, 2])[5, 15].std() == 0
    [text] = axes[1, 3].texts
    assert text.get_text() == "not in\nthis task"
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["vessels", "cells", "axons"]


def test_the_bar_is_as_long_as_it_says() -> None:
    figure = draw_slices([scene()])
    [bar], [label] = figure.axes[0].lines, figure.axes[0].texts
    left, right = np.asarray(bar.get_xdata(), float)
    assert label.get_text() == "10 \u00b5m"
    assert (right - left) * 2.34 == pytest.approx(10)
    assert right < 19.5


@given(st.floats(1e-6, 1e6))
def test_round_lengths(most: float) -> None:
    length = _round_length(most)
    assert most / 2.5 * (1 - 1e-6) <= length <= most * (1 + 1e-6)
    assert f"{length:e}"[0] in "125"
    assert float(f"{length:e}"[:-4]) in (1, 2, 5)
