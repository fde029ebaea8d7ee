"""Labels that are stored as floats."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtneuro_ray.data.ingest import ingest
from mtneuro_ray.data.samples import load_splits
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.errors import InputError
from mtneuro_ray.results.tissue.measure import measure
from mtneuro_ray.roi import Roi
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.volumes.labels import as_labels
from tests.settings import task_settings
from tests.volumes.sources import MemoryVolume

SHAPE = (12, 24, 40)
library: Any = pytest.importorskip("nibabel")
WHOLE = Roi.at((0, 0, 0), SHAPE)
LABELS = np.random.default_rng(0).integers(0, 3, SHAPE, dtype=np.uint8)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_whole_floats_are_the_same_labels_as_integers(dtype: str) -> None:
    labels = LABELS.astype(dtype)
    labels[0, 0, :3] = -1, -0.0, 2**11 - 1
    source = MemoryVolume(labels)
    source.voxel_size_um, source.chunk_shape = (4.0, 2.0, 2.0), (1, 8, 8)
    found = pickle.loads(pickle.dumps(as_labels(source)))
    assert (found.dtype, found.shape, found.uri) == (np.int64, SHAPE, source.uri)
    assert (found.voxel_size_um, found.chunk_shape) == (source.voxel_size_um, source.chunk_shape)
    assert found.identity != source.identity
    np.testing.assert_array_equal(found.read(WHOLE), labels.astype(int))
    integers = MemoryVolume(LABELS)
    assert as_labels(integers) is integers


@pytest.mark.parametrize(
    ("dtype", "value", "shown"),
    [
        ("float32", 1.5, "1.5"),
        ("float64", np.nan, "nan"),
        ("float32", -np.inf, "-inf"),
        ("float32", 2**24, "16777216.0"),
        ("float16", 2**11, "2048.0"),
    ],
)
def test_a_float_that_is_no_label_is_one_line(dtype: str, value: float, shown: str) -> None:
    labels = LABELS.astype(dtype)
    labels[3, 4, 5] = value
    digits = {"float16": 11, "float32": 24, "float64": 53}[dtype]
    found = as_labels(MemoryVolume(labels))
    assert found.read(Roi((4, 5), (0, 9), (0, 9))).any()
    with pytest.raises(InputError) as caught:
        found.read(WHOLE)
    assert str(caught.value) == (
        f"memory:memory: box z0-12_y0-24_x0-40: holds the value {shown}; accepted: labels, which are whole numbers, "
        f"stored as {dtype} below 2^{digits}"
    )


def test_nifti_labels_of_floats_are_ingested_trained_on_and_measured(tmp_path: Path) -> None:
    for name, voxels in (("labels", LABELS), ("mask", LABELS > 0)):
        stored = library.Nifti1Image(voxels.T.astype(np.float32), None)
        library.save(stored, tmp_path / f"{name}.nii.gz")
        np.save(tmp_path / f"{name}.npy", voxels)
    np.save(tmp_path / "image.npy", LABELS)
    arrays: list[Any] = []
    for suffix in ("npy", "nii.gz"):
        channels = {
            f"{key}_chan": f"file:{name}.{suffix}" for key, name in (("annotation", "labels"), ("mask", "mask"))
        }
        task = task_settings(**channels)
        store = CutoutStore(Folder(tmp_path / suffix))
        arrays.append(load_splits(store, ingest(store, task, tmp_path / "task.json").identities, task))
    for split, own in arrays[0].items():
        np.testing.assert_array_equal(arrays[1][split].masks, own.masks)
    found, expected = (
        measure(f"file:{tmp_path}/labels.{suffix}", classes={"cells": 2}).boxes for suffix in ("nii.gz", "npy")
    )
    assert found == expected
