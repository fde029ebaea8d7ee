from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mtneuro_ray.cluster.ray_data import get_splits, measure_attributes, share_task
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.data.identities import Identities
from mtneuro_ray.data.ingest import open_volumes
from mtneuro_ray.data.samples import SplitArrays, load_splits
from mtneuro_ray.data.sampling import samples
from mtneuro_ray.data.semantics import load_attributes
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.engine.finished import stored_split
from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Roi
from mtneuro_ray.storage.folder import Folder
from tests.settings import cube, network_settings, task_settings

SHAPE = (50, 16, 40)
CUBES = [
    cube("B", z=(0, 40), x=[20, 36]),
    cube(split="test", z=(40, 50)),
    cube(z=(0, 40)),
    cube("B", split="test", z=(42, 50), x=[20, 36]),
]


@pytest.fixture
def task(tmp_path: Path) -> TaskSettings:
    """Two regions whose candidates reach through several slices, in more than one chunk of images."""
    random = np.random.default_rng(0)
    # Named in full: no volume is looked for beside a task file.
    image, labels = (f"file:{tmp_path}/{name}.npy" for name in ("image", "labels"))
    np.save(tmp_path / "image.npy", random.integers(0, 256, SHAPE, dtype=np.uint8))
    np.save(tmp_path / "labels.npy", random.choice(4, SHAPE, p=(0.4, 0.1, 0.3, 0.2)).astype(np.uint8))
    names = ["bg", "vessels", "cells", "axons"]
    return task_settings("readout", classes=names, cubes=CUBES, image_chan=image, annotation_chan=labels)


def check(found: SplitArrays, expected: SplitArrays) -> None:
    assert found.targets is not None
    assert expected.targets is not None
    np.testing.assert_array_equal(found.images, expected.images)
    np.testing.assert_array_equal(found.targets, expected.targets)
    assert len(np.unique(found.targets[..., 2])) > 3


@pytest.mark.ray
def test_shared_targets_are_those_measured_in_one_process(cluster: None, tmp_path: Path, task: TaskSettings) -> None:
    store, file = CutoutStore(Folder(tmp_path / "store")), tmp_path / "task.json"
    shared = get_splits(share_task(store, task.replace("task", downsample=2, max_slices=35), file))
    image, labels = (channel.identity for channel in open_volumes(task, file).channels)
    here = load_splits(store, Identities((image,), labels), task.replace("task", downsample=2, max_slices=35))
    assert shared.keys() == here.keys() == {"train", "test"}
    for split, arrays in shared.items():
        assert isinstance(arrays, SplitArrays)
        check(arrays, here[split])


@pytest.mark.ray
def test_a_label_that_is_no_class_is_one_error(
    cluster: None, tmp_path: Path, task: TaskSettings, capfd: pytest.CaptureFixture[str]
) -> None:
    store, whole = CutoutStore(Folder(tmp_path / "store")), Roi.at((0, 0, 0), SHAPE)
    # In both regions, and so in more than one of the tasks that look for candidates.
    store.write("labels", whole, np.full(SHAPE, 9, np.uint8))
    with pytest.raises(InputError, match=r"label 9 is outside the classes of small; accepted: 0, 1, 2, 3$"):
        measure_attributes(store, "labels", task)
    assert "Unhandled error" not in "".join(capfd.readouterr())
    store.write("axons", whole, np.full(SHAPE, 3, np.uint8))
    found, here = measure_attributes(store, "axons", task), load_attributes(store, "axons", task)
    for split, targets in here.items():
        np.testing.assert_array_equal(found[split], targets)
        np.testing.assert_array_equal(targets, np.broadcast_to([0, 100, 0, 0, 64], targets.shape))


def test_a_split_of_a_readout_that_is_read_again_has_the_cells_of_all_slices(
    tmp_path: Path, task: TaskSettings
) -> None:
    file = tmp_path / "task.json"
    identities = [channel.identity for channel in open_volumes(task, file).channels]
    network = network_settings(model="ResNet-18", classes=4)
    run = RunSettings.of(task, network, "final", identities)
    store = CutoutStore(Folder(tmp_path / "empty"))
    found = stored_split(store, run, "test")
    assert len(found) == len(samples(task, "test"))
    check(found, load_splits(store, Identities((identities[0],), identities[1]), task)["test"])
