import json
import re
from pathlib import Path
from typing import Any

import pytest

from mtneuro_ray.config.loading import load_task
from mtneuro_ray.config.task import MAX_CLASSES, TaskSettings
from tests.config.checks import refused
from tests.settings import cube, task_settings, task_values, write_json


def changed_cube(**changes: Any) -> dict[str, Any]:
    """A task whose second cube is changed."""
    values = task_values()
    values["cubes"][1].update(changes)
    return values


def without(key: str) -> dict[str, Any]:
    values = task_values()
    del values[key]
    return values


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        (task_values(tile=1), ["tile: unknown key", "tile_size"]),
        (changed_cube(zz=1), ["cubes.1.zz: unknown key", "label, region, split, volume, x, y, z"]),
        (without("classes"), ["classes: is missing; this key is required"]),
        (task_values(tile_size=["16", 16]), ["tile_size.0: is '16'"]),
        (task_values(tile_size=[16]), ["tile_size.1: is missing; this key is required"]),
        (task_values(tile_size=16), ["tile_size: is 16"]),
        (task_values(tile_size=[16.0, 16]), ["tile_size.0: is 16.0"]),
        (task_values(volume_z=True), ["volume_z: is True"]),
        (task_values(volume_z=0), ["volume_z: is 0", "greater than or equal to 1"]),
        (task_values(task="detection"), ["task: 'detection' is unknown", "classification, segmentation, readout"]),
        (task_values(name=5), ["name: is 5"]),
        (task_values(cubes=[]), ["cubes: is []"]),
        (task_values(cubes={}), ["cubes: is {}"]),
        (task_values(classes=["one"]), ["classes: is ['one']"]),
        (task_values(classes=[str(n) for n in range(MAX_CLASSES + 1)]), ["classes: is ["]),
        (task_values(classes=["a", "a", "b"]), ["classes: a name stands twice"]),
        (task_values(annotation_chan=None), ["annotation_chan: is missing; a segmentation task requires it"]),
        (task_values(annotation_map={"0": 0, "9": 3}), ["annotation_map.9: class 3 is outside", "0 to 2"]),
        (task_values(annotation_map={str(2**64): 0}), ["annotation_map.18446744073709551616", "1-255"]),
        (task_values(annotation_map={"5-2": 0}), ["annotation_map.5-2", "a label from -9223372036854775808 to"]),
        (task_values(annotation_map={"axon": 0}), ["annotation_map.axon"]),
        (task_values(annotation_map={"1": 0, "01": 1}), ["annotation_map.1: shares label 1 with annotation_map.01"]),
        (task_values(annotation_map={"0": 0, "1-9": 1, "4": 2}), ["annotation_map.4: shares label 4 with"]),
        (task_values(annotation_map={"0": 0}, ignore_labels=[7, 0]), ["ignore_labels: 0 shares label 0 with"]),
        (task_values(ignore_labels=[1.5]), ["ignore_labels.0"]),
        (task_values(ignore_labels=["x"]), ["ignore_labels.0", "1-255"]),
        (task_values(unlisted_labels="glia"), ["unlisted_labels: is 'glia'", "refuse, ignore", "vessels", "0 to 2"]),
        (task_values(unlisted_labels=3), ["unlisted_labels: is 3", "0 to 2"]),
        (task_values(absent="zero"), ["absent: is 'zero'", "'leave_out' or 'one'"]),
        (task_values(annotated=[]), ["annotated"]),
        (task_values(annotated=[{}]), ["annotated.0: names no axis"]),
        (task_values(annotated=[{"z": [3, 3]}]), ["annotated.0.z: is [3, 3]", "half-open"]),
        (task_values(annotated=[{"w": 1}]), ["annotated.0.w: unknown key"]),
        (
            task_values(annotated=[{"z": 1}, {"z": [5, 8]}]),
            ["annotated: no voxel of the test split is annotated", "a box or slice"],
        ),
        (
            task_values("classification", annotation_chan=None, mask_chan="file:m.npy"),
            ["mask_chan: there is no annotation to read; accepted: with annotation_chan"],
        ),
        (
            task_values("classification", unlisted_labels="cells"),
            ["unlisted_labels: there is no annotation to read; accepted: with annotation_map"],
        ),
        *(
            (
                task_values("readout", **{key: value}),
                [f"{key}: a readout task counts and measures cells", "leave it out"],
            )
            for key, value in {
                "ignore_labels": [255],
                "mask_chan": "file:m.npy",
                "annotated": [{"z": 1}, {"z": 6}, {"z": 9}],
                "unlisted_labels": "ignore",
            }.items()
        ),
        (task_values("classification", cubes=[cube(label=3)]), ["cubes.0.label: 3 is outside the classes", "0 to 2"]),
        (task_values("classification", cubes=[cube(label=None)]), ["cubes.0.label: is missing", "0 to 2, the class"]),
        (changed_cube(z=[0, 2**31 + 1]), ["cubes.1.z.1: is "]),
        (
            task_values(cubes=[cube(z=(9, 2**31)), cube(split="val", z=(5, 7)), cube(split="test", z=(8, 9))]),
            ["cubes: hold 2147483642 images of tile_size [16, 16]", "at most 10000000"],
        ),
        (changed_cube(label=-1), ["cubes.1.label: is -1"]),
        (changed_cube(split="dev"), ["cubes.1.split: is 'dev'", "'train', 'val' or 'test'"]),
        (changed_cube(z=[7, 5]), ["cubes.1: z range [7, 5)", "0 <= start < stop"]),
        (changed_cube(z=[5, 5]), ["cubes.1: z range [5, 5)"]),
        (changed_cube(y=[-1, 16]), ["cubes.1.y.0: is -1"]),
        (changed_cube(z=[1, 2]), ["cubes.1: overlaps cubes.0 (train and val share z1-2_y0-16_x0-16)"]),
        (changed_cube(split="train"), ["cubes: split val is empty", "train, val, test"]),
        (task_values(tile_size=[17, 16]), ["tile_size: 17 x 16 is larger than cube 0 (A, 16 x 16)"]),
        (task_values(volume_z=3), ["volume_z: 3 slices do not fit into cube 1 (A, val, 2 slices)", "1 to 2"]),
        (task_values(downsample=3), ["downsample: 3 does not divide tile_size 16", "a divisor"]),
        (task_values(max_slices=0), ["max_slices: is 0"]),
    ],
    ids=lambda value: value[0][:40] if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_with_file_and_key(tmp_path: Path, values: dict[str, Any], parts: list[str]) -> None:
    path = write_json(tmp_path / "task.json", values)
    with refused(f"{path}: {parts[0]}", *parts[1:]):
        load_task(path)


def test_a_readout_needs_no_validation_split() -> None:
    cubes = [cube(), cube(split="test", z=(8, 10))]
    assert task_settings("readout", cubes=cubes).task == "readout"
    with refused("t: cubes: split test is empty", "train, test"):
        TaskSettings.load(task_values("readout", cubes=cubes[:1]), "t")


def test_cubes_of_one_split_may_overlap() -> None:
    cubes = [cube(), cube(), cube(split="val", z=(5, 7)), cube(split="test", z=(8, 10))]
    assert len(task_settings(cubes=cubes).cubes) == 4


def test_splits_may_touch() -> None:
    cubes = [cube(z=(0, 4)), cube(split="val", z=(4, 5)), cube(split="test", z=(5, 6))]
    assert len(task_settings(cubes=cubes).cubes) == 3


def test_labels_are_their_own_classes_unless_mapped() -> None:
    assert task_settings().label_map == {(0, 0): 0, (1, 1): 1, (2, 2): 2}
    assert task_settings(annotation_map={"7": 1, "-3--2": 0}).label_map == {(7, 7): 1, (-3, -2): 0}


def test_regions_of_the_benchmark_have_its_map_and_other_regions_have_none() -> None:
    regions = ["CTX", "STR", "VP", "ZI"]
    known = task_settings("classification", classes=regions).label_map
    assert known == {(n, n): region for n, region in {0: 0, 1: 0, 2: 1, 8: 1, 3: 2, 4: 2, 5: 3, 6: 3, 7: 3}.items()}
    assert task_settings("classification", classes=["A", "B"]).label_map is None


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        task_settings().volume_z = 2  # type: ignore[misc]


def test_the_examples_of_the_page_on_labels_are_accepted() -> None:
    page = (Path(__file__).parents[2] / "docs/labels.md").read_text()
    examples = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]
    assert len(examples) == 5
    cubes = [
        cube(split=split, z=z, y=[0, 600], x=[200, 800])
        for split, z in (("train", (30, 50)), ("val", (80, 90)), ("test", (110, 130)))
    ]
    for example in examples:
        task = task_settings(classes=["background", "vessels", "cells"], cubes=cubes, **example)
        assert task.ignoring or task.unlisted_class == 2 or len(example["annotation_map"]) == 4
