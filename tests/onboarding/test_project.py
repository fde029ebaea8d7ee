from __future__ import annotations

import itertools
import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtneuro_ray.api.task_data import TaskData
from mtneuro_ray.config.loading import load_network, load_task
from mtneuro_ray.config.sweeps import load_sweep
from mtneuro_ray.config.task import SPLITS
from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.data.sampling import count_samples
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.errors import InputError
from mtneuro_ray.machine import Machine, this_machine
from mtneuro_ray.onboarding.facts import Wishes
from mtneuro_ray.onboarding.fingerprint import step_memory
from mtneuro_ray.onboarding.pages import Project
from mtneuro_ray.onboarding.project import write_project
from mtneuro_ray.roi import Roi
from mtneuro_ray.storage.folder import Folder

LAPTOP = Machine(4, 16 * 2**30)
STATION = Machine(16, 128 * 2**30, (("H200", 140 * 2**30),))


def volumes(
    folder: Path, shape: tuple[int, int, int] = (40, 64, 96), classes: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """Noise with brighter blocks, and their labels."""
    random = np.random.default_rng(1)
    blocks = random.integers(0, classes, [-(-side // 8) for side in shape]).astype(np.uint8)
    labels = blocks.repeat(8, axis=0).repeat(8, axis=1).repeat(8, axis=2)[tuple(map(slice, shape))]
    image = np.clip(50 + 40 * labels + random.normal(0, 10, shape), 0, 255).astype(np.uint8)
    save(folder, image, labels)
    return image, labels


def save(folder: Path, image: np.ndarray, labels: np.ndarray) -> None:
    np.save(folder / "image.npy", image)
    np.save(folder / "labels.npy", labels)


def project(folder: Path, machine: Machine = LAPTOP, **wishes: Any) -> Project:
    asked = Wishes(f"file:{folder}/image.npy", f"file:{folder}/labels.npy", **wishes)
    return write_project(asked, folder / "project", machine=machine)


def test_files_load_and_a_sweep_has_images_of_every_class_in_every_split(tmp_path: Path) -> None:
    _, labels = volumes(tmp_path)
    found = project(tmp_path)
    folder = tmp_path / "project"
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "network.json", "space.toml", "task.json"]
    task, _ = load_task(str(folder / "task.json"))
    network, _ = load_network(str(folder / "network.json"))
    assert task.classes == ("background", "label_1", "label_2")
    assert (network.classes, network.model.dim, task.volume_z) == (3, 2, 1)
    for split in SPLITS:
        voxels = [labels[cube.roi.slices] for cube in task.cubes if cube.split == split]
        assert set(np.concatenate([each.ravel() for each in voxels])) == {0, 1, 2}
    for preset in (None, "smoke"):
        space, [(experiment, pair)] = load_sweep(str(folder / "space.toml"), preset=preset)
        assert space.name == "project"
        assert all(count_samples(pair.task, split) > 0 for split in SPLITS)
        assert experiment.searches
    assert found.warnings == [] or all("splits" in each or "split" in each for each in found.warnings)
    toml = (folder / "space.toml").read_text()
    assert tomllib.loads(toml)["task"] == "task.json"
    page = (folder / "README.md").read_text()
    for what in ("machine", "texture", "splits", "dimensions", "batch"):
        assert f"# {what}: " in toml
        assert f"- **{what}**: {found.reasons[what]}" in page
    assert f"mtneuro-ray sweep --space {folder}/space.toml --preset smoke" in page


def test_a_class_that_is_in_one_place_is_said_to_be_missing_elsewhere(tmp_path: Path) -> None:
    image, labels = volumes(tmp_path, classes=2)
    labels[3:6, 10:14, 20:24] = 2
    save(tmp_path, image, labels)
    found = project(tmp_path)
    lacking = [each for each in found.warnings if "no voxel of class label_2" in each]
    task, _ = load_task(str(tmp_path / "project/task.json"))
    for split in SPLITS:
        has = any((labels[cube.roi.slices] == 2).any() for cube in task.cubes if cube.split == split)
        assert has != any(each.startswith(f"{split} ") for each in lacking)
    assert len(lacking) == 2


def test_two_calls_write_the_same_files(tmp_path: Path) -> None:
    volumes(tmp_path)
    project(tmp_path)
    first = {path.name: path.read_text() for path in (tmp_path / "project").iterdir()}
    asked = Wishes(f"file:{tmp_path}/image.npy", f"file:{tmp_path}/labels.npy")
    write_project(asked, tmp_path / "project", machine=LAPTOP, force=True)
    assert {path.name: path.read_text() for path in (tmp_path / "project").iterdir()} == first


def test_the_gap_is_twice_the_correlation_length(tmp_path: Path) -> None:
    volumes(tmp_path, (60, 64, 64))
    project(tmp_path)
    task = json.loads((tmp_path / "project/task.json").read_text())
    z = sorted(cube["z"] for cube in task["cubes"])
    gaps = [after[0] - before[1] for before, after in itertools.pairwise(z) if after != before]
    # Blocks of 8 voxels: their autocorrelation falls linearly, to 1 / e at 5.
    assert all(8 <= gap <= 12 for gap in gaps), gaps


def test_a_machine_with_a_gpu_gets_3d_and_more_channels(tmp_path: Path) -> None:
    volumes(tmp_path, (64, 96, 96))
    project(tmp_path, STATION)
    task, _ = load_task(str(tmp_path / "project/task.json"))
    space, [(_, pair)] = load_sweep(str(tmp_path / "project/space.toml"))
    assert task.volume_z > 1
    assert space.run.gpus_per_worker == 1
    assert pair.network.model.model_dump()["start_filters"] == 32


def test_single_annotated_slices_are_the_cubes(tmp_path: Path) -> None:
    image, labels = volumes(tmp_path, (80, 64, 64))
    sparse = np.zeros_like(labels)
    sparse[3::5] = labels[3::5]
    save(tmp_path, image, sparse)
    found = project(tmp_path)
    task, _ = load_task(str(tmp_path / "project/task.json"))
    assert {cube.z[0] % 5 for cube in task.cubes} == {3}
    assert {cube.z[1] - cube.z[0] for cube in task.cubes} == {1}
    assert {cube.split for cube in task.cubes} == {*SPLITS}
    assert any("16 slices" in each for each in found.warnings)
    write_project(
        Wishes(f"file:{tmp_path}/image.npy", f"file:{tmp_path}/labels.npy", dense=True),
        tmp_path / "dense",
        machine=LAPTOP,
    )
    dense, _ = load_task(str(tmp_path / "dense/task.json"))
    assert len(dense.cubes) < 6


def test_labels_that_are_no_indices_are_mapped_and_named(tmp_path: Path) -> None:
    image, labels = volumes(tmp_path)
    save(tmp_path, image, np.array([0, 40, 7], np.uint8)[labels])
    project(tmp_path, classes=("bg", "vessels", "cells"))
    task = json.loads((tmp_path / "project/task.json").read_text())
    assert task["annotation_map"] == {"0": 0, "7": 1, "40": 2}
    assert task["classes"] == ["bg", "vessels", "cells"]


def split_arrays(folder: Path) -> dict[Any, SplitArrays]:
    """The splits as a training reads them."""
    task, file = load_task(str(folder / "project/task.json"))
    return TaskData(task, file, CutoutStore(Folder(str(folder / "store")))).splits()


def test_instance_ids_become_one_class(tmp_path: Path) -> None:
    image, labels = volumes(tmp_path)
    ids = np.where(labels == 2, np.arange(labels.size).reshape(labels.shape) // 64 + 2**33, 0).astype(np.uint64)
    save(tmp_path, image, ids)
    found = project(tmp_path)
    assert (found.task["classes"], found.task["unlisted_labels"]) == (["background", "object"], "object")
    assert "instance ids as one class" in found.reasons["classes"]
    task, _ = load_task(str(tmp_path / "project/task.json"))
    [cube] = [cube for cube in task.cubes if cube.split == "train"]
    masks = split_arrays(tmp_path)["train"].masks
    assert masks is not None
    assert np.bincount(masks.ravel()).tolist() == np.bincount((ids[cube.roi.slices] > 0).ravel().astype(int)).tolist()


def test_void_labels_and_voxels_outside_of_a_mask_are_ignored(tmp_path: Path) -> None:
    image, labels = volumes(tmp_path)
    labels = np.where(np.random.default_rng(0).random(labels.shape) < 0.1, 255, labels).astype(np.uint8)
    save(tmp_path, image, labels)
    inside = np.zeros_like(labels)
    inside[:, :50] = 1
    np.save(tmp_path / "mask.npy", inside)
    found = project(tmp_path, mask=f"file:{tmp_path}/mask.npy")
    assert found.task["ignore_labels"] == [255]
    assert all(cube["y"][1] <= 50 for cube in found.task["cubes"])
    for split in split_arrays(tmp_path).values():
        assert split.masks is not None
        assert set(np.unique(split.masks)) == {0, 1, 2, 255}


def test_annotated_boxes_are_found_and_objects_are_none(tmp_path: Path) -> None:
    image, labels = volumes(tmp_path, (60, 96, 128))
    boxes = [Roi((z, z + 16), (y, y + 32), (x, x + 32)) for z, y, x in ((0, 8, 8), (22, 56, 80), (44, 0, 8))]
    sparse = np.zeros_like(labels)
    for box in boxes:
        sparse[box.slices] = labels[box.slices]
    # Tight around the labels, so that the outermost voxels of a box may be lost.
    save(tmp_path, image, sparse)
    found = project(tmp_path)
    assert len(found.task["annotated"]) == len(boxes)
    for box, own in zip(boxes, found.task["annotated"], strict=True):
        for (start, stop), (first, last) in zip(box.ranges, own.values(), strict=True):
            assert start <= first < start + 8
            assert stop - 8 < last <= stop
    for split in split_arrays(tmp_path).values():
        assert split.masks is not None
        assert (split.masks != 255).any()
    objects = np.zeros_like(labels)
    grid = np.indices((16, 32, 32))
    for box in boxes:
        near = sum(((axis - side / 2) / (side / 2)) ** 2 for axis, side in zip(grid, box.shape, strict=True)) < 1
        objects[box.slices] = near
    save(tmp_path, image, objects)
    asked = Wishes(f"file:{tmp_path}/image.npy", f"file:{tmp_path}/labels.npy")
    assert "annotated" not in write_project(asked, tmp_path / "dense", machine=LAPTOP).task


def test_single_slices_in_3d_are_said_to_be_annotated(tmp_path: Path) -> None:
    image, labels = volumes(tmp_path, (96, 64, 64))
    sparse = np.zeros_like(labels)
    sparse[3::5] = labels[3::5]
    save(tmp_path, image, sparse)
    found = project(tmp_path, dim=3)
    assert found.task["annotated"] == [{"z": z} for z in range(3, 96, 5)]
    assert found.task["volume_z"] > 1
    # Cubes are larger than an image, so these are patches, with as many steps as tiles would have.
    assert found.task["sampling"]["kind"] == "patches"
    assert found.network["optimizer"]["epochs"] == 20
    assert "at random places" in found.reasons["sampling"]
    for split in split_arrays(tmp_path).values():
        assert split.masks is not None
        assert 0.05 < (split.masks != 255).mean() < 0.4


def test_grey_values_of_other_types_are_scaled_by_the_training_split(tmp_path: Path) -> None:
    image, labels = volumes(tmp_path)
    floats = image.astype(np.float32) / 7 - 3
    floats[0, 0, :5] = np.nan
    save(tmp_path, floats, labels)
    data = project(tmp_path).network["data"]
    assert data["normalization"] == "percentile"
    assert np.nanmin(floats) <= data["nonfinite"] <= np.nanpercentile(floats, 1)


@pytest.mark.parametrize(
    ("wishes", "text"),
    [
        ({"classes": (*"abcd",)}, "--classes: 4 names, the labels are 0, 1, 2; accepted: 3 names, in that order"),
        ({"mask": "file:small.npy"}, "--mask: file:"),
    ],
)
def test_wishes_that_do_not_fit_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wishes: dict[str, Any], text: str
) -> None:
    volumes(tmp_path)
    np.save(tmp_path / "small.npy", np.ones((3, 4, 5), np.uint8))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"^{text}"):
        project(tmp_path, **wishes)
    assert not (tmp_path / "project").exists()


def test_a_volume_that_is_too_small_is_one_line(tmp_path: Path) -> None:
    volumes(tmp_path, (2, 8, 24))
    with pytest.raises(InputError, match=r"2 x 8 x 24 voxels have no room for train, val and test images"):
        project(tmp_path)


def test_labels_of_another_voxel_size_are_one_line_about_the_task_file(tmp_path: Path) -> None:
    volumes(tmp_path)
    asked = Wishes(f"file:{tmp_path}/image.npy?voxel_size=2,1,1", f"file:{tmp_path}/labels.npy?voxel_size=3,1,1")
    with pytest.raises(InputError, match=rf"^{tmp_path}/project/task.json: annotation_chan: .*a voxel size"):
        write_project(asked, tmp_path / "project", machine=LAPTOP)
    assert not (tmp_path / "project").exists()


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    volumes(tmp_path)
    (tmp_path / "project").mkdir()
    (tmp_path / "project/notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"project: is not empty; accepted: another folder, or --force"):
        project(tmp_path)
    assert [path.name for path in (tmp_path / "project").iterdir()] == ["notes.txt"]
    asked = Wishes(f"file:{tmp_path}/image.npy", f"file:{tmp_path}/labels.npy")
    write_project(asked, tmp_path / "project", machine=LAPTOP, force=True)
    assert (tmp_path / "project/notes.txt").read_text() == "mine"
    assert (tmp_path / "project/space.toml").is_file()


def test_the_memory_of_a_step_grows_with_batch_channels_and_blocks() -> None:
    base = {"voxels": 8 * 128 * 128, "dim": 2, "blocks": 4, "filters": 16, "channels": 1, "classes": 3}
    least = step_memory(**base)
    for key, value in {"voxels": 16 * 128 * 128, "blocks": 5, "filters": 32, "channels": 8, "classes": 9}.items():
        assert step_memory(**{**base, key: value}) > least, key


def test_this_machine_has_processors_and_memory() -> None:
    machine = this_machine()
    assert machine.cpus >= 1
    assert machine.memory_bytes > 2**28
    assert replace(machine, gpus=(("A", 8), ("B", 4))).gpu_bytes == 4
