from __future__ import annotations

from pathlib import Path

import pytest

from mtneuro_ray.config.sweeps import load_sweep
from mtneuro_ray.errors import InputError
from mtneuro_ray.machine import Machine
from mtneuro_ray.onboarding.facts import Wishes
from mtneuro_ray.onboarding.project import write_project
from tests.onboarding.test_project import volumes


def wishes(folder: Path, *classes: str) -> Wishes:
    return Wishes(f"file:{folder}/image.npy", f"file:{folder}/labels.npy", None, "readout", classes)


def test_an_encoder_without_labels_and_a_readout_on_the_same_images(tmp_path: Path) -> None:
    volumes(tmp_path, (60, 64, 96), 4)
    asked = wishes(tmp_path, "bg", "vessels", "cells", "axons")
    write_project(asked, tmp_path / "project", machine=Machine(2, 2**34))
    for preset in (None, "smoke"):
        _, [(experiment, pair)] = load_sweep(str(tmp_path / "project/space.toml"), preset=preset)
        assert not experiment.searches
        assert pair.encoder is not None
        assert pair.network.is_frozen
        assert pair.task.tile_size == pair.encoder.task.tile_size
        own, theirs = (
            {cube.split: cube.z for cube in task.cubes if cube.split != "val"}
            for task in (pair.task, pair.encoder.task)
        )
        assert own == theirs
        assert {cube.label for cube in pair.encoder.task.cubes} == {*range(len(pair.encoder.task.classes))}


def test_classes_that_attributes_are_measured_on_have_to_be_named(tmp_path: Path) -> None:
    volumes(tmp_path, classes=4)
    with pytest.raises(InputError, match=r"^--classes: vessels, cells, axons is missing in background, label_1"):
        write_project(wishes(tmp_path), tmp_path / "project", machine=Machine(2, 2**34))
