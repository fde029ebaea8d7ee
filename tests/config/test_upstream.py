"""The public benchmark's files, and files in their format."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtneuro_ray.config.loading import load_network, load_task, packaged_names
from mtneuro_ray.config.pairs import check_pair
from mtneuro_ray.config.upstream import PATHS, native_network
from mtneuro_ray.data.sampling import samples
from mtneuro_ray.errors import InputError
from tests.config.checks import refused
from tests.settings import NO_SHARED, SHARED, write_json

PUBLIC = SHARED / "upstream_configs"
needs_public = pytest.mark.skipif(not PUBLIC.is_dir(), reason=NO_SHARED)
TASKS = sorted((PUBLIC / "taskconfig").glob("*.json"))
NETWORKS = sorted((PUBLIC / "networkconfig").glob("*.json"))

TASK: dict[str, Any] = {
    "name": "mine",
    "image_chan": "bossdb://lab/volume/image",
    "annotation_chan": "bossdb://lab/volume/pixel_labels",
    "xrange_cor": [0, 16],
    "yrange_cor": [0, 16],
    "xrange_stri": [16, 32],
    "yrange_stri": [0, 16],
    "xrange_vp": [32, 48],
    "yrange_vp": [1, 17],
    "xrange_zi": [48, 64],
    "yrange_zi": [2, 18],
    "zrange": [0, 12],
    "z_train": [0, 6],
    "z_val": [7, 9],
    "z_test": [10, 12],
    "volume_z": 1,
    "tile_size": [16, 16],
    "task_type": "normal",
}
NETWORK: dict[str, Any] = {
    "optimizer": "SGD",
    "beta1": 0.9,
    "beta2": 0.999,
    "learning_rate": 0.01,
    "epochs": 5,
    "batch_size": 8,
    "augmentations": 0,
    "model": "UNet",
    "encoder_name": "resnet18",
    "in_channels": 1,
    "classes": 4,
    "outputdir": "outputs",
    "outweightfilename": "UNet_2D",
    "eval_reduction": "None",
    "seed": 0,
}
SSL: dict[str, Any] = {
    **NETWORK,
    "model": "ResNet-18",
    "task_type": "SSL",
    "method": "myow",
    "ssl_optimizer": "sgd",
    "ssl_epochs": 800,
    "projector_hidden_size": 64,
    "lr_milestone": [],
}


@needs_public
def test_the_public_files_are_all_here() -> None:
    assert (len(TASKS), len(NETWORKS)) == (6, 8)


@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.stem)
def test_a_public_task_says_what_the_packaged_one_of_its_name_says(path: Path) -> None:
    public, _ = load_task(str(path))
    packaged, _ = load_task(path.stem)
    same = ("name", "task", "image_chan", "annotation_chan", "classes", "label_map", "tile_size", "volume_z", "cubes")
    assert {key: getattr(public, key) for key in same} == {key: getattr(packaged, key) for key in same}
    assert [samples(public, split) for split in ("train", "val", "test")] == [
        samples(packaged, split) for split in ("train", "val", "test")
    ]


@needs_public
def test_the_public_tasks_are_packaged() -> None:
    assert {path.stem for path in TASKS} < set(packaged_names("tasks"))


@pytest.mark.parametrize("path", NETWORKS, ids=lambda path: path.stem)
def test_a_public_network_loads_with_every_number_it_gives(path: Path) -> None:
    network, _ = load_network(str(path))
    values = json.loads(path.read_text())
    paths = network.paths()
    # The public files name an encoder for models that have none, and flags as numbers.
    flat = {key: path for key, path in PATHS.items() if key in values and path in paths and key != "augmentations"}
    assert {"learning_rate", "epochs", "batch_size"} <= set(flat)
    assert {key: paths[path] for key, path in flat.items()} == {key: values[key] for key in flat}
    assert (network.name, network.model.name) == (path.stem, values["model"])
    assert (network.classes, network.seed) == (values["classes"], values["seed"])
    if path.stem.startswith("SSL"):
        assert paths["method.epochs"] == values["ssl_epochs"]
        own = set(paths) & {f"method.{key}" for key in values if key not in PATHS}
        assert {"method.projector_hidden_size", "method.base_momentum"} <= own
        assert all(
            paths[key] == values[key.removeprefix("method.")] for key in own - {"method.transform", "method.name"}
        )


def test_an_encoder_is_read_for_the_models_that_have_one() -> None:
    values = {"model": "FPN", "classes": 4, "encoder_name": "resnet18", "encoder_weights": "imagenet"}
    public = {**values, "outputdir": "outputs"}
    assert native_network(public, "n") == values
    assert native_network({**public, "model": "UNet"}, "n") == {"model": "UNet", "classes": 4}


@pytest.mark.parametrize("path", [path for path in TASKS if "task2" in path.stem], ids=lambda path: path.stem)
def test_public_segmentation_pairs_fit_together(path: Path) -> None:
    network = PUBLIC / "networkconfig" / f"{path.stem.replace('task2', 'UNet')}.json"
    check_pair(load_task(str(path))[0], load_network(str(network))[0], "pair")


def test_a_task_becomes_cubes_in_the_order_of_splits_and_regions(tmp_path: Path) -> None:
    task, _ = load_task(write_json(tmp_path / "t.json", TASK))
    assert [(c.split, c.region, c.label, c.z) for c in task.cubes] == [
        (split, region, label, z)
        for split, z in (("train", (0, 6)), ("val", (7, 9)), ("test", (10, 12)))
        for label, region in enumerate(("CTX", "STR", "VP", "ZI"))
    ]
    assert [(c.y, c.x) for c in task.cubes[:4]] == [
        ((0, 16), (0, 16)),
        ((0, 16), (16, 32)),
        ((1, 17), (32, 48)),
        ((2, 18), (48, 64)),
    ]
    assert task.classes == ("bg", "vessels", "cells", "axons")
    assert task.annotation_map is None
    assert task.absent == "one"


def test_axons_join_the_background_and_the_last_region_may_be_left_out(tmp_path: Path) -> None:
    task, _ = load_task(write_json(tmp_path / "t.json", {**TASK, "combine_ax_and_bg": 1, "noZI": 1}))
    assert task.classes == ("bg+axons", "vessels", "cells")
    assert task.annotation_map == {"0": 0, "1": 1, "2": 2, "3": 0}
    assert {cube.region for cube in task.cubes} == {"CTX", "STR", "VP"}


def test_region_labels_make_a_classification_task(tmp_path: Path) -> None:
    values = {**TASK, "annotation_chan": "bossdb://lab/volume/roi_labels/"}
    task, _ = load_task(write_json(tmp_path / "t.json", values))
    assert (task.task, task.classes) == ("classification", ("CTX", "STR", "VP", "ZI"))


def test_a_readout_takes_every_slice_before_the_test_slices(tmp_path: Path) -> None:
    task, _ = load_task(write_json(tmp_path / "t.json", {**TASK, "name": "task3_mine"}))
    assert task.task == "readout"
    assert {(cube.split, cube.z) for cube in task.cubes} == {("train", (0, 10)), ("test", (10, 12))}


def test_a_readout_fits_nothing_to_the_slices_between_val_and_test(tmp_path: Path) -> None:
    values = {**TASK, "name": "task3_mine", "z_val": [7, 8], "z_test": [11, 12]}
    task, _ = load_task(write_json(tmp_path / "t.json", values))
    assert {(c.split, c.z) for c in task.cubes} == {("train", (0, 9)), ("val", (9, 11)), ("test", (11, 12))}
    for key, value in (("z_train", [110, 379]), ("z_val", [380, 409]), ("z_test", [420, 470])):
        values[key] = value
    task, _ = load_task(write_json(tmp_path / "t.json", values))
    assert {(c.split, c.z) for c in task.cubes} == {(c.split, c.z) for c in load_task("task3")[0].cubes}


def test_unused_keys_warn_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    task, network = write_json(tmp_path / "t.json", TASK), write_json(tmp_path / "n.json", NETWORK)
    load_task(task)
    load_network(network)
    assert caplog.record_tuples == [
        ("mtneuro_ray.config.upstream", logging.WARNING, f"{task}: ignored, without use here: zrange, task_type"),
        (
            "mtneuro_ray.config.upstream",
            logging.WARNING,
            f"{network}: ignored, without use here: encoder_name, outputdir, outweightfilename, eval_reduction",
        ),
    ]


def test_native_files_warn_of_nothing(caplog: pytest.LogCaptureFixture) -> None:
    load_task("task1")
    load_network("SUP_ResNet-18_2D")
    assert caplog.records == []


def test_self_supervised_settings_are_taken_over(tmp_path: Path) -> None:
    network, _ = load_network(write_json(tmp_path / "n.json", SSL))
    assert network.method.name == "myow"
    paths = network.paths()
    assert (paths["method.epochs"], paths["method.projector_hidden_size"]) == (800, 64)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"z_trian": [0, 1]}, ["z_trian: unknown key", "z_train"]),
        ({"z_train": None}, ["z_train: is None", "two integers"]),
        ({"z_train": [0]}, ["z_train: is [0]", "two integers"]),
        ({"z_val": [9, 7]}, ["z_val: is [9, 7]", "0 <= start < stop"]),
        ({"z_test": "10-12"}, ["z_test: is '10-12'"]),
        ({"xrange_vp": [32, 48.0]}, ["xrange_vp: is [32, 48.0]"]),
        ({"yrange_zi": {"a": 1}}, ["yrange_zi: is {'a': 1}"]),
        ({"z_val": [5, 9]}, ["cubes.4: overlaps cubes.0 (train and val share"]),
        ({"noZI": 2}, ["noZI: is 2", "0 or 1"]),
        ({"combine_ax_and_bg": "yes"}, ["combine_ax_and_bg: is 'yes'", "0 or 1"]),
        ({"tile_size": [17, 16]}, ["tile_size: 17 x 16 is larger than cube 0"]),
        ({"volume_z": "8"}, ["volume_z: is '8'"]),
        ({"name": None}, ["name: is None"]),
        ({"image_chan": 3}, ["image_chan: is 3"]),
    ],
    ids=str,
)
def test_a_bad_task_is_one_line_in_the_words_of_its_file(
    tmp_path: Path, changes: dict[str, Any], parts: list[str]
) -> None:
    path = write_json(tmp_path / "t.json", {**TASK, **changes})
    with refused(f"{path}: {parts[0]}", *parts[1:]):
        load_task(path)


def test_a_task_that_lacks_a_key_is_told_which(tmp_path: Path) -> None:
    for key in sorted(set(TASK) - {"zrange", "task_type", "volume_z"}):
        path = write_json(tmp_path / "t.json", {name: value for name, value in TASK.items() if name != key})
        with refused(f"{path}: {key}: is missing; this key is required"):
            load_task(path)


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({**NETWORK, "lr": 1}, ["lr: unknown key", "learning_rate"]),
        ({**NETWORK, "augmentations": 2}, ["augmentations: is 2", "0 or 1"]),
        ({**NETWORK, "task_type": "semi"}, ["task_type: is 'semi'", "'supervised', 'SSL'"]),
        ({**NETWORK, "task_type": ["SSL"]}, ["task_type: is ['SSL']"]),
        ({**NETWORK, "ssl_epochs": 3}, ["epochs: belongs to task_type 'SSL'"]),
        ({**NETWORK, "model": "VNet"}, ["model.name: 'VNet' is unknown"]),
        ({**SSL, "projector_hidden_size": "64"}, ["method.projector_hidden_size: is '64'"]),
        ({key: value for key, value in SSL.items() if key != "method"}, ["method: is missing", "required"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_bad_network_is_one_line_with_its_key(tmp_path: Path, values: dict[str, Any], parts: list[str]) -> None:
    path = write_json(tmp_path / "n.json", values)
    with refused(f"{path}: {parts[0]}", *parts[1:]):
        load_network(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def mutated(base: dict[str, Any], more: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """The base with some keys of it (or new ones) set to anything, and some left out."""
    keys = st.sampled_from([*base, *more]) | st.text()
    return st.builds(
        lambda changes, dropped: {key: value for key, value in {**base, **changes}.items() if key not in dropped},
        st.dictionaries(keys, json_values, max_size=3),
        st.sets(st.sampled_from(sorted(base)), max_size=2),
    )


def loads_or_is_refused_in_one_line(load: Any, path: Path, values: Any) -> None:
    path.write_text(json.dumps(values))
    text = ""
    try:
        load(str(path))
    except InputError as error:
        text = str(error)
    assert text == "" or text.startswith(f"{path}: ")
    assert len(text.splitlines()) <= 1


NATIVE_TASK = {
    "name": "t",
    "task": "segmentation",
    "image_chan": "phantom",
    "annotation_chan": "phantom",
    "classes": ["a", "b"],
    "tile_size": [4, 4],
    "tile_stride": [2, 2],
    "volume_z": 1,
    "downsample": 1,
    "annotation_map": {"0": 1},
    "cubes": [
        {"region": "a", "label": 0, "split": split, "z": [n, n + 1], "y": [0, 4], "x": [0, 4]}
        for n, split in enumerate(("train", "val", "test"))
    ],
}
FLAT = {"model": "UNet", "classes": 3, "learning_rate": 0.1, "epochs": 2, "batch_size": 2, "loss": "dice"}
NESTED = {
    "model": {"name": "FPN"},
    "classes": 3,
    "optimizer": {"learning_rate": 0.1, "epochs": 2},
    "data": {"batch_size": 2},
    "evaluation": {"keep": "best"},
}
fuzzed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)


@fuzzed
@given(values=mutated(TASK, ["noZI", "combine_ax_and_bg", "cubes"]))
def test_no_public_task_ends_in_anything_but_a_refusal(tmp_path: Path, values: dict[str, Any]) -> None:
    loads_or_is_refused_in_one_line(load_task, tmp_path / "t.json", values)


@fuzzed
@given(values=mutated(NATIVE_TASK, ["max_slices", "voxel_size_um"]))
def test_no_native_task_ends_in_anything_but_a_refusal(tmp_path: Path, values: dict[str, Any]) -> None:
    loads_or_is_refused_in_one_line(load_task, tmp_path / "t.json", values)


@fuzzed
@given(key=st.sampled_from(sorted(NATIVE_TASK["cubes"][0])), value=json_values)  # type: ignore[index]
def test_no_cube_ends_in_anything_but_a_refusal(tmp_path: Path, key: str, value: Any) -> None:
    values = json.loads(json.dumps(NATIVE_TASK))
    values["cubes"][1][key] = value
    loads_or_is_refused_in_one_line(load_task, tmp_path / "t.json", values)


@fuzzed
@given(
    values=mutated(NETWORK, ["task_type"])
    | mutated(SSL, ["miner", "transform", "trans_prob"])
    | mutated(FLAT, ["method", "ssl", "data", "evaluation"])
    | mutated(NESTED, ["name", "ssl", "learning_rate", "compute"])
)
def test_no_network_ends_in_anything_but_a_refusal(tmp_path: Path, values: dict[str, Any]) -> None:
    loads_or_is_refused_in_one_line(load_network, tmp_path / "n.json", values)


@fuzzed
@given(text=st.text() | json_values.map(json.dumps) | st.binary().map(lambda data: data.decode("latin-1")))
def test_no_text_ends_in_anything_but_a_refusal(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8", errors="replace")
    for load in (load_task, load_network):
        with pytest.raises(InputError) as caught:
            load(str(path))
        assert len(str(caught.value).splitlines()) == 1
