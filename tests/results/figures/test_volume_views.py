from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtneuro_ray.data.mosaic import EMPTY
from mtneuro_ray.results.figures import volume_views
from mtneuro_ray.results.figures.volume_views import colored_triangles, draw_volume, has_depth, longest_run, surfaces
from tests.results.figures.scenery import THREE, layer, scene, truth


@given(st.sets(st.integers(0, 20), min_size=1))
def test_the_longest_run_of_slices(numbers: set[int]) -> None:
    start, stop = longest_run(np.array(sorted(numbers)))
    assert set(range(start, stop)) <= numbers
    runs = [(a, b) for a in range(21) for b in range(a + 1, 22) if set(range(a, b)) <= numbers]
    longest = max(b - a for a, b in runs)
    assert (start, stop) == min(run for run in runs if run[1] - run[0] == longest)


def enclosed(corners: Any, triangles: Any) -> float:
    """Volume within a closed surface, by the divergence theorem."""
    a, b, c = (corners[triangles[:, corner]] for corner in range(3))
    return float(abs((a * np.cross(b, c)).sum() / 6))


@pytest.mark.parametrize("step", [1, 2, 3])
def test_surfaces_enclose_what_they_show_where_it_lies(step: int) -> None:
    values = np.zeros((24, 30, 36), np.uint8)
    z, y, x = np.indices(values.shape)
    values[(z - 12) ** 2 + (y - 14) ** 2 + (x - 20) ** 2 <= 81] = 2
    corners, triangles = surfaces(values, 2, step)
    assert enclosed(corners, triangles) == pytest.approx((values == 2).sum(), rel=0.12)
    np.testing.assert_allclose((corners.min(axis=0) + corners.max(axis=0)) / 2, (12, 14, 20), atol=step / 2)
    # Closed: every edge belongs to two triangles.
    edges = np.sort(np.concatenate([triangles[:, pair] for pair in ([0, 1], [1, 2], [2, 0])]), axis=1)
    assert set(np.unique(edges, axis=0, return_counts=True)[1].tolist()) == {2}


def test_what_touches_the_faces_of_the_box_is_closed_there() -> None:
    corners, triangles = surfaces(np.ones((3, 4, 5), np.uint8), 1, 1)
    assert corners.min() == -0.5
    assert corners.max(axis=0).tolist() == [2.5, 3.5, 4.5]
    assert enclosed(corners, triangles) == pytest.approx(60, rel=0.2)
    assert [len(part) for part in surfaces(np.zeros((3, 4, 5), np.uint8), 1, 1)] == [0, 0]


def test_one_slice_alone_has_no_depth() -> None:
    apart = layer()
    apart.predicted[[1, 3]] = EMPTY
    assert has_depth(scene())
    assert not has_depth(scene(apart))


def test_truth_and_prediction_of_each_setting_in_physical_proportions() -> None:
    wrong = layer()
    wrong.predicted[:5][wrong.predicted[:5] == 2] = 0
    figure = draw_volume(scene(layer(THREE), wrong))
    panels = figure.axes
    assert [panel.get_title() for panel in panels] == [
        f"task_{classes}class: {what}" for classes in (4, 3) for what in ("ground truth", "prediction")
    ]
    assert "z 420 to 424" in figure.get_suptitle()
    first: Any = panels[0]
    # y towards the reader and z downwards, in micrometers: 5 slices of 1.17, 20 pixels of 2.34.
    assert first.get_xlim() == pytest.approx((0, 46.8))
    assert first.get_ylim() == pytest.approx((46.8, 0))
    assert first.get_zlim() == pytest.approx((5.85, 0))
    aspect = first._box_aspect
    assert aspect[0] / aspect[2] == pytest.approx(8)

    def colors(panel: Any) -> set[tuple[bool, ...]]:
        [surface] = panel.collections
        return {tuple(bool(part > 0.1) for part in face[:3]) for face in surface.get_facecolor()}

    red, yellow, cyan = (True, False, False), (True, True, False), (False, True, True)
    assert [colors(panel) for panel in panels] == [{red, yellow, cyan}, {red, cyan}, {red, yellow}, {red, yellow}]


def test_the_surface_lies_where_the_voxels_are() -> None:
    values = truth()
    values[:, :, 7:] = 0
    values[values != 2] = 0
    values[:, 4:] = 0
    triangles, colors = colored_triangles(scene(), layer(), values)
    assert triangles.shape[1:] == (3, 3)
    corners = triangles.reshape(-1, 3)
    # The middle of voxel 0 is the origin: x 2 to 6, y 2 and 3, z 2 to 4.
    np.testing.assert_allclose(corners.min(axis=0), (1.5 * 2.34, 1.5 * 2.34, 1.5 * 1.17))
    np.testing.assert_allclose(corners.max(axis=0), (6.5 * 2.34, 3.5 * 2.34, 4.5 * 1.17))
    assert np.unique(colors, axis=0).tolist() == [[1, 1, 0, 1]]


def test_what_fills_the_box_is_glass_in_truth_and_prediction() -> None:
    full = truth()
    full[full == 0] = 3
    figure = draw_volume(scene(layer(truth=full)))
    for panel in figure.axes:
        surface: Any = panel.collections[0]
        faces = surface.get_facecolor()
        axons = (faces[:, 0] == 0) & (faces[:, 1] > 0)
        assert axons.any()
        assert (faces[axons, 3] < 1).all()
        assert (faces[~axons, 3] == 1).all()


def test_triangles_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 4, (20, 40, 40), dtype=np.uint8)
    dense = layer(truth=noise, predicted=noise)
    monkeypatch.setattr(volume_views, "_TRIANGLES", 5000)
    figure = draw_volume(scene(dense)._replace(image=noise))
    for panel in figure.axes:
        surface: Any = panel.collections[0]
        assert 0 < len(surface.get_facecolor()) <= 5000


def test_a_class_that_was_never_predicted_leaves_the_panel_empty() -> None:
    nothing = layer(predicted=np.zeros_like(truth()))
    figure = draw_volume(scene(nothing))
    assert [len(panel.collections) for panel in figure.axes] == [1, 0]
