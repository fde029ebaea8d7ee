from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mtneuro_ray.data.volume_input import VolumeInput, pixels_of
from mtneuro_ray.engine.volume_job import PredictionOptions, _tiles, _window
from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Roi
from tests.data.test_volume_input import Array
from tests.engine.data import run_of


@pytest.mark.parametrize(
    ("kind", "network", "window"),
    [
        ("segmentation", {}, (1, 16, 16)),
        ("classification", {}, (1, 16, 16)),
        ("classification", {"eval_crops": "corners"}, (1, 8, 8)),
    ],
)
def test_a_network_sees_images_as_it_was_judged_on(kind: Any, network: dict[str, Any], window: tuple[int, ...]) -> None:
    assert _window(run_of(kind, **network), PredictionOptions()) == window


def test_a_box_is_whole_pixels_of_the_run() -> None:
    source = Array(np.zeros((4, 21, 30), np.uint8))
    image = VolumeInput((source,), factor=4)
    assert pixels_of(None, image, source) == Roi((0, 4), (0, 5), (0, 7))
    assert pixels_of(Roi((1, 3), (4, 20), (8, 28)), image, source) == Roi((1, 3), (1, 5), (2, 7))
    with pytest.raises(InputError, match=r"--box: 0:4,2:8,0:8 cuts the run's pixels; accepted: multiples of 4"):
        pixels_of(Roi((0, 4), (2, 8), (0, 8)), image, source)
    with pytest.raises(InputError, match=r"--box: 0:5,0:8,0:8 leaves array:; accepted: within 0:4,0:21,0:30"):
        pixels_of(Roi((0, 5), (0, 8), (0, 8)), image, source)


def test_a_map_lies_in_the_middle_of_its_tiles() -> None:
    source = Array(np.zeros((4, 40, 60), np.uint8))
    source.voxel_size_um, source.origin_um = (3.0, 0.5, 0.5), (9.0, 0.0, 1.0)
    part = Roi((1, 4), (2, 20), (4, 30))
    grid, view, placement = _tiles(part, (1, 8, 8), VolumeInput((source,), factor=2), PredictionOptions(overlap=0.5))
    assert (grid.extent, view.size, view.scale) == ((3, 3, 5), (1, 8, 8), (1, 4, 4))
    assert (placement.step, placement.pixel_size) == ((1, 8, 8), (3.0, 4.0, 4.0))
    assert placement.origin_um is not None
    # The metadata add half a pixel of the map less half a voxel: voxels 4 to 19 along y have their middle at 11.5.
    middle = placement.origin_um[1] + (8 - 1) / 2 * 0.5
    assert middle == 11.5 * 0.5
    assert placement.origin_um[0] == 9.0 + 1 * 3.0
