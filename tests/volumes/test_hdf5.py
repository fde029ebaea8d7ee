"""HDF5: one data set of a file, its names and spacing, and what lies elsewhere or is not stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.source import Voxels, open_volume
from tests.volumes.conftest import SHAPE, random_volume

TRUTH = random_volume(0, "uint16")


def read_all(uri: str) -> Voxels:
    source = open_volume(uri)
    return source.read(Roi.at((0, 0, 0), source.shape))


def write_h5(path: Path, **data_sets: Any) -> str:
    with h5py.File(path, "w") as file:
        for name, data in data_sets.items():
            file[name] = data
    return f"file:{path}"


@pytest.mark.parametrize("dtype", ["bool", "int64", "float16", ">u2"])
def test_hdf5_of_every_type(tmp_path: Path, dtype: str) -> None:
    truth = random_volume(0, np.dtype(dtype).newbyteorder("=").name)
    uri = write_h5(tmp_path / "x.h5", raw=truth.astype(dtype))
    np.testing.assert_array_equal(read_all(uri), truth)
    assert open_volume(uri).uri == f"{uri}#/raw"
    assert open_volume(f"{uri}#raw").identity == open_volume(uri).identity


def test_hdf5_with_several_arrays_needs_a_path(tmp_path: Path) -> None:
    uri = write_h5(tmp_path / "x.h5", raw=TRUTH, labels=TRUTH.astype("int64"), table=np.arange(4))
    words = r"2 data sets of 2 to 4 axes; accepted: .*x\.h5#PATH, PATH of /labels \(9 x 20 x 31 int64\), /raw"
    with pytest.raises(InputError, match=words):
        open_volume(uri)
    with pytest.raises(InputError, match=r"x\.h5#nothing: no such data set; accepted: /labels"):
        open_volume(f"{uri}#nothing")
    assert open_volume(f"{uri}#/raw").identity != open_volume(f"{uri}#/labels").identity


def test_spacing_and_names_of_hdf5(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        stored = file.create_dataset("raw", data=TRUTH)
        stored.attrs["element_size_um"] = [3, 0.5, 0.25]
        turned = file.create_dataset("turned", data=TRUTH.T[..., None])
        turned.attrs["axistags"] = '{"axes": [{"key": "x"}, {"key": "y"}, {"key": "z"}, {"key": "c"}]}'
    assert open_volume(f"file:{tmp_path}/x.h5#/raw").voxel_size_um == (3.0, 0.5, 0.25)
    np.testing.assert_array_equal(read_all(f"file:{tmp_path}/x.h5#/turned"), TRUTH)


def test_chunks_that_hdf5_lacks_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("raw", SHAPE, "uint8", chunks=(9, 20, 16))[:, :, :16] = 1
        file.create_dataset("empty", SHAPE, "uint8")
    source = open_volume(f"file:{tmp_path}/x.h5#/raw")
    assert "x.h5#/raw: 1 of 2 chunks are not stored and read as the fill value" in caplog.text
    assert source.chunk_shape == (9, 20, 16)
    with pytest.raises(InputError, match="#/empty: none of its voxels is stored"):
        open_volume(f"file:{tmp_path}/x.h5#/empty")


def test_hdf5_whose_voxels_lie_elsewhere_is_refused(tmp_path: Path) -> None:
    write_h5(tmp_path / "there.h5", raw=TRUTH)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        layout = h5py.VirtualLayout(SHAPE, "uint16")
        layout[:] = h5py.VirtualSource(tmp_path / "there.h5", "raw", SHAPE)
        file.create_virtual_dataset("virtual", layout)
        file["linked"] = h5py.ExternalLink("there.h5", "raw")
    for name in ("virtual", "linked"):
        with pytest.raises(InputError, match="its voxels lie in other files"):
            open_volume(f"file:{tmp_path}/x.h5#/{name}")
