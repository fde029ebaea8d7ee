from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data.mosaic import EMPTY, Mosaic, assemble
from mtneuro_ray.data.predictions import Predictions
from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.errors import InputError
from mtneuro_ray.metrics.base import image_confusions
from mtneuro_ray.metrics.segmentation import SegmentationMetric
from mtneuro_ray.results.charts.scenes import of_regions, scenes_of
from tests.engine.data import arrays as split_arrays
from tests.results.figures.scenery import THREE, layer, scene
from tests.settings import cube, run_settings, task_settings


def planes(most: int) -> Any:
    return arrays.arrays(np.uint8, (1, 4, 5), elements=st.integers(0, most))


@given(planes(4), planes(3), st.sampled_from(["one", "leave_out"]))
def test_the_iou_of_a_slice_is_that_of_the_metrics(true: Any, own: Any, absent: Any) -> None:
    counted = true < 4
    confusions = image_confusions(torch.from_numpy(own), torch.from_numpy(true), 4, torch.from_numpy(counted))
    shown = layer(truth=np.where(counted, true, EMPTY).astype(np.uint8), predicted=own, absent=absent)
    expected: Any = SegmentationMetric(task_settings(absent=absent)).of(confusions)["image/iou_mean"]
    assert shown.mean_iou(0) == pytest.approx(expected, nan_ok=True)


def test_pixels_that_were_not_predicted_do_not_count() -> None:
    shown = layer()
    shown.predicted[1, :10] = EMPTY
    assert shown.mean_iou(1) == 1.0
    assert shown.slices.tolist() == [0, 1, 2, 3, 4]


def test_the_slice_with_the_richest_mixture_is_shown_and_only_one_that_was_predicted() -> None:
    assert scene().shown_slice == 3
    without = layer()
    without.predicted[3] = EMPTY
    assert scene(without).shown_slice == 2


def test_sizes_are_micrometers_where_they_are_known() -> None:
    assert scene().pixel == (1.17, 2.34, 2.34)
    assert scene().unit == "\u00b5m"
    unknown = scene(voxel_size_um=None)
    assert (unknown.pixel, unknown.unit) == ((1.0, 2.0, 2.0), "voxels")


def _run(classes: tuple[str, ...], regions: tuple[str, ...]) -> tuple[RunSettings, Predictions, SplitArrays]:
    cubes = [
        cube(region, split, z)
        for region in regions
        for split, z in (("train", (0, 4)), ("val", (5, 7)), ("test", (8, 10)))
    ]
    # Each region has a place of its own.
    for number, values in enumerate(cubes):
        values["x"] = [16 * (number // 3), 16 * (number // 3) + 16]
    settings = {"name": f"task_{len(classes)}", "classes": list(classes), "cubes": cubes}
    run = run_settings(task=settings, network={"classes": len(classes), "name": "net"})
    split = split_arrays(2 * len(regions), 0, masks=True)
    predicted = np.full_like(split.images[:, 0], len(classes) - 1)
    return run, Predictions.of(run, "test", assemble(run.task, "test", predicted)), split


def test_settings_of_one_box_stand_together_and_keep_their_own_truth() -> None:
    four = _run(("bg", "vessels", "cells", "axons"), ("CTX",))
    three = _run(THREE, ("CTX", "ZI"))
    splits = {run.run_id: split for run, _, split in (four, three)}

    def load(run: RunSettings, split: Split) -> SplitArrays:
        assert split == "test"
        return splits[run.run_id]

    both, alone = scenes_of([four[:2], three[:2]], load)
    assert (both.region, [each.task for each in both.layers]) == ("CTX", ["task_3", "task_4"])
    assert (alone.region, [each.task for each in alone.layers]) == ("ZI", ["task_3"])
    assert both.richest.classes[-1] == "axons"
    assert (both.offset, alone.offset) == ((8, 0, 0), (8, 0, 16))
    np.testing.assert_array_equal(both.image, four[2].images[:, 0, 0])
    np.testing.assert_array_equal(alone.image, three[2].images[2:, 0, 0])
    masks = three[2].masks
    assert masks is not None
    np.testing.assert_array_equal(both.layers[0].truth, masks[:2, 0])
    assert [int(each.predicted[0, 0, 0]) for each in both.layers] == [2, 3]


def test_other_boxes_and_other_slices_stand_apart() -> None:
    run, predictions, split = _run(THREE, ("CTX",))
    other, own, _ = _run(("bg", "vessels", "cells", "axons"), ("CTX",))
    skipped = own.cubes[0].pixels.copy()
    skipped[1] = EMPTY
    parts = replace(own, cubes=(replace(own.cubes[0], pixels=skipped),))
    assert len(scenes_of([(run, predictions), (other, own)], lambda *_: split)) == 1
    assert len(scenes_of([(run, predictions), (other, parts)], lambda *_: split)) == 2


def test_a_prediction_of_the_centre_is_shown_over_the_centre() -> None:
    run, _, split = _run(THREE, ("CTX",))
    middle = Mosaic("CTX", (8, 3, 5), (1, 1, 1), np.zeros((2, 10, 6), np.uint8))
    [found] = scenes_of([(run, Predictions.of(run, "test", [middle]))], lambda *_: split)
    assert found.offset == (8, 3, 5)
    np.testing.assert_array_equal(found.image, split.images[:, 0, 0, 3:13, 5:11])


def test_scenes_of_regions() -> None:
    scenes = [scene(), scene(region="STR"), scene(region="STR", model="other")]
    assert of_regions(scenes, []) == scenes
    assert of_regions(scenes, ["STR"]) == scenes[1:]
    with pytest.raises(InputError, match="--region: 'ZI' was not predicted; accepted: CTX, STR"):
        of_regions(scenes, ["CTX", "ZI"])
