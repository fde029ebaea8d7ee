from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtneuro_ray.onboarding import sampled_boxes as boxes
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.source import VolumeSource, Voxels

SIDE = st.integers(1, 300)


class Ramp(VolumeSource):
    """A volume whose every read is counted."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.uri, self.identity, self.shape, self.dtype = "ramp:", "ramp", shape, np.dtype(np.uint8)
        self.voxels_read = 0

    def _read(self, roi: Roi) -> Voxels:
        self.voxels_read += roi.num_voxels
        return np.zeros(roi.shape, np.uint8)


@given(st.tuples(SIDE, SIDE, SIDE), st.tuples(SIDE, SIDE, SIDE), st.integers(1, 10**6), st.integers(0, 3))
def test_boxes_lie_apart_within_their_bounds_and_under_the_limit(
    origin: tuple[int, int, int], shape: tuple[int, int, int], most: int, seed: int
) -> None:
    bounds = Roi.at(origin, shape)
    found = boxes.spread_boxes(bounds, most, seed=seed)
    assert found == boxes.spread_boxes(bounds, most, seed=seed)
    assert all(box.intersection(bounds) == box for box in found)
    one = math.prod([min(side, whole) for side, whole in zip(boxes.BOX_SHAPE, shape, strict=True)])
    assert sum(box.num_voxels for box in found) <= max(most, one)
    if bounds.num_voxels <= most:
        assert bounds.outside(found) == []
    elif len(found) < 50:
        assert not any(a.intersection(b) for n, a in enumerate(found) for b in found[:n])


def test_boxes_are_in_every_part_of_a_large_volume() -> None:
    shape = (720, 1420, 5805)
    found = boxes.spread_boxes(Roi.at((0, 0, 0), shape), 2**22)
    assert len(found) > 100
    for axis, whole in enumerate(shape):
        starts = np.array([box.origin[axis] for box in found])
        assert len(np.unique(starts * 4 // whole)) == 4, axis


def test_progress_is_said_where_reading_takes_long(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Ramp((4, 10, 10))
    rois = list(Roi.at((0, 0, 0), source.shape).split((1, 10, 10)))
    assert [roi for roi, _ in boxes.read_boxes(source, rois, "looking")] == rois
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(boxes, "_PATIENCE_S", -1.0)
    list(boxes.read_boxes(source, rois, "looking"))
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" of ")[0] for line in lines] == [
        *("looking: 25%", "looking: 50%", "looking: 75%"),
        lines[-1],
    ]
    assert lines[-1].startswith("looking: 400 voxels in ")
