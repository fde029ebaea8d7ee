from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtneuro_ray.config.loading import load_task
from mtneuro_ray.config.sweeps import load_sweep
from mtneuro_ray.config.task import SPLITS
from mtneuro_ray.errors import InputError
from mtneuro_ray.machine import Machine
from mtneuro_ray.onboarding.facts import Wishes
from mtneuro_ray.onboarding.pages import Project
from mtneuro_ray.onboarding.project import write_project


def regions(folder: Path, depth: int = 60) -> np.ndarray:
    """Three regions in x, the last narrow, with a border that drifts along z, and their image."""
    x = np.arange(200)[None, None, :] + np.arange(depth)[:, None, None] // 10
    labels = np.where(x < 90, 4, np.where(x < 170, 9, 300)) * np.ones((depth, 70, 200), int)
    labels[:, :3] = 0
    noise = np.random.default_rng(0).integers(0, 60, labels.shape)
    np.save(folder / "image.npy", (40 * (labels == 9) + noise).astype(np.uint8))
    np.save(folder / "labels.npy", labels.astype(np.uint16))
    return labels


def project(folder: Path, **wishes: Any) -> Project:
    asked = Wishes(f"file:{folder}/image.npy", f"file:{folder}/labels.npy", task="classification", **wishes)
    return write_project(asked, folder / "project", machine=Machine(2, 2**34))


@pytest.mark.parametrize("depth", [60, 12])
def test_images_of_every_region_are_in_every_split_and_splits_lie_apart(tmp_path: Path, depth: int) -> None:
    labels = regions(tmp_path, depth)
    project(tmp_path)
    task, _ = load_task(str(tmp_path / "project/task.json"))
    assert task.classes[:2] == ("region_4", "region_9")
    values = {label: int(key) for key, label in (task.annotation_map or {}).items()}
    for n in range(len(task.classes)):
        assert {cube.split for cube in task.cubes if cube.label == n} == {*SPLITS}
    for cube in task.cubes:
        assert (labels[cube.roi.slices] == values[int(cube.label or 0)]).mean() > 0.8
    for one, other in combinations(task.cubes, 2):
        if one.split != other.split:
            between = [max(a[0] - b[1], b[0] - a[1]) for a, b in zip(one.roi.ranges, other.roi.ranges, strict=True)]
            assert max(between) >= 2
    space, [(experiment, pair)] = load_sweep(str(tmp_path / "project/space.toml"), preset="smoke")
    assert experiment.searches
    assert pair.network.model.name == "ResNet-18"
    assert space.name == "project"


def test_regions_of_their_own_brightness_are_divided_with_less_room_between_and_it_is_said(tmp_path: Path) -> None:
    labels = regions(tmp_path)
    noise = np.random.default_rng(0).integers(0, 60, labels.shape)
    np.save(tmp_path / "image.npy", (400 * (labels == 9) + 900 * (labels == 300) + noise).astype(np.uint16))
    made = project(tmp_path)
    assert made.task["classes"] == ["region_4", "region_9"]
    assert any("are less than twice the texture's length" in text for text in made.warnings)
    assert any(text.endswith("no class: 300") for text in made.warnings)


def test_names_of_regions_are_taken_in_the_order_of_their_labels(tmp_path: Path) -> None:
    regions(tmp_path)
    names = tuple(project(tmp_path).task["classes"])
    with pytest.raises(InputError, match=rf"--classes: 1 names, the regions are 4, 9.*; accepted: {len(names)}"):
        write_project(
            Wishes(f"file:{tmp_path}/image.npy", f"file:{tmp_path}/labels.npy", None, "classification", ("one",)),
            tmp_path / "other",
            machine=Machine(2, 2**34),
        )


def test_labels_that_fill_no_image_are_one_line(tmp_path: Path) -> None:
    regions(tmp_path)
    np.save(tmp_path / "labels.npy", np.random.default_rng(0).integers(0, 3, (60, 70, 200)).astype(np.uint8))
    with pytest.raises(InputError, match=r"--labels: .*0 regions fill 90 % of images of 32 x 32 voxels"):
        project(tmp_path)
