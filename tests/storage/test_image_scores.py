from __future__ import annotations

from pathlib import Path

import numpy as np

from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.image_scores import FOLDER, ImageScores, read_image_scores


def scores() -> ImageScores:
    return ImageScores(
        splits=np.array(["test"] * 3),
        cubes=np.array([0, 0, 2]),
        origins=np.array([[0, 8, 16], [1, 8, 16], [5, 0, 0]]),
        rows={"counts": np.arange(12).reshape(3, 2, 2), "package.module:OWN": np.array([[0.5], [np.nan], [1.0]])},
    )


def test_scores_are_read_as_they_were_written_and_equal_scores_are_equal_bytes(tmp_path: Path) -> None:
    out, before = Folder(tmp_path), scores()
    before.write(out, "a")
    found = read_image_scores(out, "a")
    assert found is not None
    assert found.splits.tolist() == before.splits.tolist()
    for name in ("cubes", "origins"):
        np.testing.assert_array_equal(getattr(found, name), getattr(before, name))
    assert found.rows.keys() == before.rows.keys()
    for name, rows in before.rows.items():
        np.testing.assert_array_equal(found.rows[name], rows)
        assert found.rows[name].dtype == rows.dtype
    first = (out / FOLDER).read("a.parquet")
    scores().write(out, "a")
    assert (out / FOLDER).read("a.parquet") == first


def test_a_missing_a_damaged_and_a_renamed_file_are_none(tmp_path: Path) -> None:
    out = Folder(tmp_path)
    assert read_image_scores(out, "a") is None
    scores().write(out, "a")
    content = (out / FOLDER).read("a.parquet")
    (out / FOLDER).write("b.parquet", content)
    assert read_image_scores(out, "b") is None
    (out / FOLDER).write("a.parquet", content[:-20])
    assert read_image_scores(out, "a") is None
