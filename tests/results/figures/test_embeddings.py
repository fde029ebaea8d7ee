from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from mtneuro_ray.data.embeddings import write
from mtneuro_ray.errors import InputError
from mtneuro_ray.results.figures import embeddings as module
from mtneuro_ray.results.figures.embeddings import Projection, draw_embeddings, is_projected, project, projection_of
from mtneuro_ray.storage.folder import Folder
from tests.results.figures.scenery import embeddings

Points = module.Points


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many vectors each projection was of; UMAP compiles for half a minute and is left to a slow test."""
    found: list[int] = []

    def first_two(vectors: Points) -> Points:
        found.append(len(vectors))
        return vectors[:, :2]

    monkeypatch.setattr(module, "project", first_two)
    return found


def test_a_projection_is_made_once_and_kept(tmp_path: Path, calls: list[int]) -> None:
    out, said = Folder(tmp_path), list[str]()
    write(out, embeddings())
    assert not is_projected(out, "run")
    first = projection_of(out, "run", said.append)
    assert is_projected(out, "run")
    second = projection_of(out, "run", said.append)
    np.testing.assert_array_equal(first.points, second.points)
    np.testing.assert_array_equal(first.points, embeddings().vectors[:, :2])
    assert calls == [40]
    assert said == ["projecting 40 embeddings of SSL_MYOW on task3"]


def test_points_of_other_embeddings_or_damaged_ones_are_made_again(
    tmp_path: Path, calls: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    out = Folder(tmp_path)
    write(out, embeddings(count=20))
    projection_of(out, "run")
    write(out, embeddings(count=40))
    assert len(projection_of(out, "run").points) == 40
    [file] = (tmp_path / "embeddings").glob("*.npy")
    file.write_bytes(b"damaged")
    assert not caplog.text
    projection_of(out, "run")
    assert f"{file}: is damaged (" in caplog.text
    assert calls == [20, 40, 40]


def test_without_embeddings_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"embeddings/run\.parquet: no such file; accepted: "):
        projection_of(Folder(tmp_path), "run")


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


@pytest.mark.slow
def test_umap_parts_what_is_apart_and_gives_the_same_points_again() -> None:
    random = np.random.default_rng(0)
    kinds = np.repeat([0, 1], 60)
    vectors = (8 * np.eye(2)[kinds] @ random.normal(size=(2, 20)) + random.normal(size=(120, 20))).astype(np.float32)
    points = project(vectors)
    np.testing.assert_array_equal(points, project(vectors))
    centres = np.stack([points[kinds == kind].mean(0) for kind in (0, 1)])
    nearest = np.linalg.norm(points[:, None] - centres, axis=2).argmin(1)
    assert (nearest == kinds).all()
