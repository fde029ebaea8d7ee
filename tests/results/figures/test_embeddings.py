from __future__ import annotations

import numpy as np
from matplotlib.colors import to_rgba

from mtneuro_ray.results.charts.projection import Projection
from mtneuro_ray.results.figures.embeddings import draw_embeddings
from tests.results.figures.scenery import embeddings


def projection(task: str) -> Projection:
    own = embeddings(task=task)
    return Projection(own, own.vectors[:, :2])


def test_a_row_per_encoder_colored_by_region_and_by_each_attribute() -> None:
    figure = draw_embeddings([projection("task3"), projection("task3_c3")], "title")
    panels = [axis for axis in figure.axes if axis.collections and not str(axis.get_label()).startswith("<colorbar")]
    rows = np.array(panels).reshape(2, 6)
    titles = [axis.get_title() for axis in rows[0]]
    assert titles == ["brain area", "Vessels, %", "Axons, %", "Cell Count", "Cell Size, px", "Dist (k=1), px"]
    assert [row[0].get_ylabel() for row in rows] == ["encoder of task1\nseed 1", "encoder of task1_c3\nseed 1"]
    own = embeddings()
    for axis in rows[1]:
        np.testing.assert_allclose(axis.collections[0].get_offsets(), own.vectors[:, :2])
    for number, axis in enumerate(rows[0, 1:]):
        np.testing.assert_allclose(axis.collections[0].get_array(), own.targets[:, number])
    colors = rows[0, 0].collections[0].get_facecolors()[:, :3]
    assert len(np.unique(colors, axis=0)) == 2
    [legend] = figure.legends
    handles = {
        text.get_text(): to_rgba(h.get_color()) for text, h in zip(legend.texts, legend.get_lines(), strict=True)
    }
    np.testing.assert_allclose(colors[0], handles["CTX"][:3])
    np.testing.assert_allclose(colors[-1], handles["STR"][:3])
