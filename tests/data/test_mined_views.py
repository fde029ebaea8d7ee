from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from mtneuro_ray.data.mined_views import Views, exist, read, write
from mtneuro_ray.errors import InputError
from mtneuro_ray.storage.folder import Folder
from tests.results.figures.scenery import examples


def test_examples_are_read_as_they_were_written(tmp_path: Path) -> None:
    out, views = Folder(tmp_path), examples()
    assert not exist(out, "run")
    write(out, "run", views)
    assert exist(out, "run")
    found = read(out, "run")
    for field in fields(Views):
        there, here = getattr(found, field.name), getattr(views, field.name)
        np.testing.assert_array_equal(there, here)
        assert there.dtype == here.dtype


def test_what_is_missing_or_damaged_is_one_line(tmp_path: Path) -> None:
    out = Folder(tmp_path)
    with pytest.raises(InputError, match=r"views/run\.npz: no such file; accepted: "):
        read(out, "run")
    write(out, "run", examples())
    file = tmp_path / "views" / "run.npz"
    for content in (file.read_bytes()[:100], b"", b"text"):
        file.write_bytes(content)
        with pytest.raises(InputError, match=r"views/run\.npz: is no whole set of views \(\w+: .*\); accepted: "):
            read(out, "run")
