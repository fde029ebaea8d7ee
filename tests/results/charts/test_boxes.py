from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from mtneuro_ray.data.mosaic import EMPTY
from mtneuro_ray.results.charts.boxes import boxes_of, classes_bytes, disagreement_bytes, image_bytes
from tests.results.figures.scenery import THREE, layer, scene


def opened(content: bytes, mode: str) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture.convert(mode))


def test_models_that_predicted_the_same_box_stand_together() -> None:
    boxes = boxes_of([scene(), scene(layer(THREE), model="other"), scene(region="STR")])
    assert [(box.title.partition(",")[0], [overlay.label for overlay in box.overlays]) for box in boxes] == [
        ("CTX", ["net on task_3class", "net on task_4class", "other on task_3class"]),
        ("STR", ["net on task_3class", "net on task_4class"]),
    ]
    # The last slice was not predicted.
    assert boxes[0].slices == [0, 1, 2, 3, 4]
    assert boxes[0].overlays[0].scores(boxes[0].slices) == [1.0] * 5


def test_other_images_at_the_same_place_are_another_box() -> None:
    assert len(boxes_of([scene(), scene(model="other", image=np.full((6, 20, 20), 7, np.uint8))])) == 2


def test_slices_are_as_many_as_the_pixels_of_the_page_allow() -> None:
    # Five slices of 20 x 20 pixels: an image, and truth and prediction of two tasks.
    [whole] = boxes_of([scene()], pixels=5 * 5 * 400)
    [few] = boxes_of([scene()], pixels=1)
    assert (len(whole.slices), few.slices) == (5, [0, 1, 3, 4])


def test_classes_have_their_colors_and_the_rest_is_clear() -> None:
    plane = np.array([[0, 1], [2, EMPTY]], np.uint8)
    found = opened(classes_bytes(plane, [(1.0, 0.0, 0.0), (0.0, 0.5, 1.0)]), "RGBA")
    assert found[0, 1].tolist() == [255, 0, 0, 255]
    assert found[1, 0].tolist() == [0, 128, 255, 255]
    assert found[0, 0, 3] == found[1, 1, 3] == 0


def test_disagreement_is_the_more_opaque_the_larger_it_is() -> None:
    found = opened(disagreement_bytes(np.array([[0.0, 0.5, 1.0]], np.float32)), "RGBA")
    alpha = found[0, :, 3].tolist()
    assert alpha[0] == 0
    assert alpha[1] == pytest.approx(127, abs=10)
    assert alpha[2] == 255


def test_large_slices_are_shown_smaller() -> None:
    plane = np.full((600, 1200), 100, np.uint8)
    found = opened(image_bytes(plane), "L")
    assert found.shape == (200, 400)
    assert abs(int(found[50, 50]) - 100) < 3
    assert opened(classes_bytes(np.ones((600, 1200), np.uint8), [(1, 1, 1)]), "RGBA").shape[:2] == (200, 400)


def test_seeds_disagree_where_they_predict_different_classes() -> None:
    own = layer()
    assert own.disagreement is None
    other = own.predicted.copy()
    other[3, 0, 0] = 1 - other[3, 0, 0]
    third = own.predicted.copy()
    found = own._replace(others=(other, third)).disagreement
    assert found is not None
    # Two of three seeds agree: 1 - (2/3)^2 - (1/3)^2.
    assert found[3, 0, 0] == pytest.approx(4 / 9, rel=1e-5)
    assert np.count_nonzero(found > 1e-6) == 1
