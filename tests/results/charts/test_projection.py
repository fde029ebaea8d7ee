from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mtneuro_ray.data.embeddings import write
from mtneuro_ray.errors import InputError
from mtneuro_ray.results.charts import projection as module
from mtneuro_ray.results.charts.projection import Points, is_projected, project, projection_of
from mtneuro_ray.storage.folder import Folder
from tests.results.figures.scenery import embeddings


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
