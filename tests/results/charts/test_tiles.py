from __future__ import annotations

import io

import numpy as np
from PIL import Image

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.results.charts.projection import Projection
from mtneuro_ray.results.charts.tiles import ROW, SIDE, cloud_of, sheet_bytes, tiles_of
from tests.engine.data import arrays
from tests.results.figures.scenery import embeddings
from tests.results.records import classification_record


def projection(count: int = 40) -> Projection:
    own = embeddings(count=count)
    return Projection(own, own.vectors[:, :2])


def test_a_cloud_has_the_place_and_the_attributes_of_each_point() -> None:
    found = cloud_of(projection(), np.zeros((40, SIDE, SIDE), np.uint8))
    assert found.title == "SSL_MYOW, seed 1, trained on task1, reads task3"
    assert found.points.shape == (40, 2)
    assert found.attributes["axons"].tolist() == [2.0 * n for n in range(40)]
    assert found.tiles is not None
    few = cloud_of(projection(), None, most=5)
    assert (len(few.regions), few.left_out, few.tiles) == (5, 35, None)
    assert few.attributes["vessels"].tolist() == [0, 10, 20, 29, 39]


def test_tiles_of_other_images_are_left_out() -> None:
    assert cloud_of(projection(), np.zeros((36, SIDE, SIDE), np.uint8)).tiles is None


def test_tiles_are_the_corners_of_the_images_in_the_order_of_the_splits() -> None:
    run = classification_record(0.5, 1).load_settings()
    data = {"train": arrays(2, 0, masks=False), "test": arrays(1, 8, masks=False)}

    def load(_: RunSettings, split: Split) -> SplitArrays:
        return data[split]

    splits = np.array(["train"] * 8 + ["test"] * 4)
    found = tiles_of(run, splits, load)
    assert found.shape == (12, SIDE, SIDE)
    last = data["test"].images[0, 0, 0]
    side = last.shape[0] // 2
    lower_right = last[-side:, -side:].astype(float)
    assert abs(found[-1].mean() - lower_right.mean()) < 1


def test_a_sheet_has_the_tiles_in_rows() -> None:
    tiles = np.zeros((ROW + 1, SIDE, SIDE), np.uint8)
    tiles[1], tiles[ROW] = 250, 120
    with Image.open(io.BytesIO(sheet_bytes(tiles))) as picture:
        sheet = np.asarray(picture)
    assert sheet.shape == (2 * SIDE, ROW * SIDE)
    assert abs(int(sheet[SIDE // 2, SIDE + SIDE // 2]) - 250) < 6
    assert abs(int(sheet[SIDE + SIDE // 2, SIDE // 2]) - 120) < 6
