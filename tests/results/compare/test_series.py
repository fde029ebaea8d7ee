from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtneuro_ray.metrics.regression import NAME
from mtneuro_ray.metrics.segmentation import SegmentationMetric
from mtneuro_ray.results.compare.series import Places, ScoredImages, Series
from mtneuro_ray.results.frame import Key, Run
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.image_scores import ImageScores, read_image_scores
from tests.results.compare.scored import IMAGES, SLICES, confusions, write_run
from tests.results.records import readout_record
from tests.settings import cube

METRICS = ("dataset/iou_mean", "dataset/f1_mean", "image/iou_mean", "image/f1_mean")


def images_of(out: Path) -> ScoredImages:
    return ScoredImages(lambda run: read_image_scores(Folder(out), run.run_id))


def series_of(out: Path, key: Key, **more: Any) -> Series:
    run = Run.of(write_run(out, confusions(0.1), **more))
    found = images_of(out).series(run, key)
    assert found is not None
    return found


def test_how_far_classes_differ_is_no_chance_where_a_position_has_one() -> None:
    truth = np.repeat(np.eye(2), 4, axis=0)
    right = np.array([1, 1, 1, 0, 0, 0, 0, 1.0])
    places = Places(np.repeat([0, 1], 4), 8, np.arange(8), np.zeros((8, 4), np.int64))
    sums = np.stack([right, np.ones(8)], axis=1)
    found = Series(places, sums, truth, lambda totals: totals[..., 0] / totals[..., 1]).shares()
    assert found == pytest.approx((right - np.repeat([0.75, 0.25], 4)) / 8)
    pooled = Series(places, sums, np.ones((8, 1)), lambda totals: totals[..., 0] / totals[..., 1]).shares()
    assert pooled == pytest.approx((right - 0.5) / 8)


@pytest.mark.parametrize("key", [*(Key("test", name) for name in METRICS), Key("test", "dataset/iou", "vessels")])
def test_a_metric_by_position_adds_up_to_that_of_the_run_and_its_parts_to_nothing(tmp_path: Path, key: Key) -> None:
    found = series_of(tmp_path, key)
    assert found.places.pieces.tolist() == np.repeat([0, 1, 2, 3], SLICES).tolist()
    assert found.places.images == IMAGES
    shares = found.shares()
    assert shares.sum() == pytest.approx(0, abs=1e-7)
    # The first-order part of a position is what the metric changes by if it counts a little more.
    for place in (0, 30):
        weights = np.ones(IMAGES)
        weights[place] += 1e-5
        assert (float(found.value(weights @ found.sums)) - found.total) / 1e-5 == pytest.approx(shares[place], rel=1e-3)


def test_scores_that_are_not_those_of_the_run_file_are_not_used(tmp_path: Path) -> None:
    record = write_run(tmp_path, confusions(0.1))
    other = SegmentationMetric(record.load_settings().task).of(confusions(0.2))
    assert images_of(tmp_path).series(Run.of(replace(record, metrics={"test": other})), Key("test", METRICS[0])) is None


def test_what_no_image_has_is_none(tmp_path: Path) -> None:
    images, run = images_of(tmp_path), Run.of(write_run(tmp_path, confusions(0.1), scores=False))
    assert images.series(run, Key("test", METRICS[0])) is None
    run = Run.of(write_run(tmp_path, confusions(0.1), seed=7))
    assert images.series(run, Key("test", "loss")) is None
    assert images.series(run, Key("val", METRICS[0])) is None
    assert images.series(run, Key("test", METRICS[0], "", "A")) is None


def test_cubes_that_touch_are_one_piece_and_images_side_by_side_one_position(tmp_path: Path) -> None:
    boxes = [
        cube(z=(200, 204)),
        cube(split="val", z=(210, 212)),
        cube(split="test", z=(6, 12), x=[0, 32]),
        cube("B", split="test", z=(0, 6), x=[0, 32]),
        cube("C", split="test", z=(0, 6), x=[100, 132]),
    ]
    run = Run.of(write_run(tmp_path, confusions(0.1, images=36), task={"cubes": boxes}))
    found = images_of(tmp_path).series(run, Key("test", METRICS[0]))
    assert found is not None
    assert found.places.pieces.tolist() == [0] * 12 + [1] * 6
    # Two images of each slice; the first cube lies behind the second one.
    assert found.places.of_image.tolist() == [
        *np.repeat(range(6, 12), 2),
        *np.repeat(range(6), 2),
        *np.repeat(range(12, 18), 2),
    ]
    assert found.sums.sum() == 36 * 256


def test_in_a_single_slice_positions_lie_along_the_longer_side(tmp_path: Path) -> None:
    boxes = [
        cube(z=(200, 204)),
        cube(split="val", z=(210, 212)),
        cube(split="test", z=(0, 1), y=[0, 32], x=[0, 160]),
    ]
    run = Run.of(write_run(tmp_path, confusions(0.1, images=20), task={"cubes": boxes}))
    found = images_of(tmp_path).series(run, Key("test", METRICS[0]))
    assert found is not None
    assert found.places.of_image.tolist() == [*range(10), *range(10)]


def test_a_readout_has_r2_of_its_corners() -> None:
    record = readout_record(0.5)
    random = np.random.default_rng(0)
    truth = random.normal(size=(40, 5))
    rows = np.stack([truth, truth + random.normal(0, 0.3, truth.shape)], axis=-1)
    error = ((rows[..., 1] - rows[..., 0]) ** 2).sum(0)
    r2 = 1 - error / ((truth - truth.mean(0)) ** 2).sum(0)
    run = Run.of(replace(record, metrics={"all": {"r2/vessels": float(r2[0]), "r2_mean": float(r2.mean())}}))
    scores = ImageScores(np.full(40, "all"), np.repeat([0, 1], 20), np.stack([np.arange(40)] * 3, axis=1), {NAME: rows})
    images = ScoredImages(lambda run: scores)
    for name in ("r2/vessels", "r2_mean"):
        found = images.series(run, Key("all", name))
        assert found is not None
        assert found.shares().sum() == pytest.approx(0, abs=1e-7)
