"""Paths of this machine as addresses of volumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mtneuro_ray.errors import InputError
from mtneuro_ray.volumes.paths import address_of
from tests.volumes.writers import write_n5, write_precomputed, write_zarr3

VOXELS = np.zeros((4, 6, 8), np.uint8)


def test_a_path_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "image.npy", VOXELS)
    writers = {"zarr": write_zarr3, "n5": write_n5, "precomputed": write_precomputed}
    for scheme, write in writers.items():
        (tmp_path / scheme).mkdir()
        write(tmp_path / scheme, VOXELS)
    (tmp_path / "slices").mkdir()
    monkeypatch.chdir(tmp_path)
    assert address_of("image.npy") == f"file:{tmp_path}/image.npy"
    assert [address_of(scheme) for scheme in writers] == [f"{scheme}://{tmp_path}/{scheme}" for scheme in writers]
    assert address_of("slices?axes=zyx") == f"file:{tmp_path}/slices?axes=zyx"
    (tmp_path / "brain.h5").touch()
    assert address_of("brain.h5#raw/0?channel=1") == f"file:{tmp_path}/brain.h5#raw/0?channel=1"
    assert address_of("bossdb://a/b/c") == "bossdb://a/b/c"
    for nothing in ("nothing.tif", "nothing.h5#raw", "slices#raw", "#raw"):
        with pytest.raises(InputError, match=f"^{nothing}: no such file or folder; accepted: "):
            address_of(nothing)
