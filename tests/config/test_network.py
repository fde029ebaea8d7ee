from pathlib import Path
from typing import Any

import pytest

from mtneuro_ray.config.loading import apply_overrides, check_pair, load_network
from tests.config.checks import refused
from tests.settings import network_settings, network_values, task_settings, write_json


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"lr": 0.1}, ["lr: unknown key", "learning_rate"]),
        ({"ssl": {"depth": 1}}, ["ssl.depth: unknown key", "projector_hidden_size"]),
        ({"model": "VGG"}, ["model: is 'VGG'", "'ResNet-18', 'PCA', 'NMF', 'UNet'"]),
        ({"epochs": "5"}, ["epochs: is '5'", "integer"]),
        ({"epochs": 5.0}, ["epochs: is 5.0"]),
        ({"epochs": 0}, ["epochs: is 0"]),
        ({"learning_rate": float("nan")}, ["learning_rate: is nan", "finite"]),
        ({"learning_rate": float("inf")}, ["learning_rate: is inf", "finite"]),
        ({"learning_rate": 0}, ["learning_rate: is 0"]),
        ({"dropout": 1.0}, ["dropout: is 1.0"]),
        ({"dropout": float("nan")}, ["dropout: is nan"]),
        ({"augmentations": 1}, ["augmentations: is 1"]),
        ({"normalization": "group0"}, ["normalization: is 'group0'"]),
        ({"normalization": "group3"}, ["normalization: 3 groups do not divide 4 start_filters"]),
        ({"warmup_epochs": 2}, ["warmup_epochs: 2 leaves nothing of 2 epochs", "0 to 1"]),
        ({"seed": -1}, ["seed: is -1"]),
        ({"seed": 2**32}, ["seed: is 4294967296"]),
        ({"classes": None}, ["classes: is None"]),
        ({"model": "VNetLight"}, ["dim: VNetLight does not come in 2; accepted: 3"]),
        ({"model": "FPN", "dim": 3}, ["dim: FPN does not come in 3; accepted: 2"]),
        ({"encoder_name": "resnet18"}, ["encoder_name: UNet has no such encoder", "MAnet, FPN"]),
        ({"encoder_weights": None}, ["encoder_weights: UNet has no such encoder"]),
        ({"model": "PAN", "batch_size": 1}, ["batch_size: PAN", "accepted: 2 or more"]),
        ({"average_decay": 0.9}, ["average_decay: belongs to keep 'average', not 'last'"]),
        ({"train_crops": "random"}, ["train_crops: is for classifiers"]),
        (
            {"model": "NMF", "method": "decomposition", "input_norm": "image"},
            ["input_norm: 'image' gives negative numbers, which NMF can't take; accepted: 'unit'"],
        ),
        ({"loss": "dice", "class_weights": "balanced"}, ["class_weights: the loss dice takes none", "cross_entropy"]),
    ],
    ids=lambda value: value[0][:30] if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_with_file_and_key(tmp_path: Path, changes: dict[str, Any], parts: list[str]) -> None:
    path = write_json(tmp_path / "net.json", network_values(**changes))
    with refused(f"{path}: {parts[0]}", *parts[1:]):
        load_network(path)


def test_several_mistakes_are_counted() -> None:
    with refused("network.json: epochs: is 0", "(and 1 more)"):
        network_settings(epochs=0, batch_size=0)


def test_a_whole_number_is_a_rate(tmp_path: Path) -> None:
    network, _ = load_network(write_json(tmp_path / "n.json", network_values(learning_rate=1)))
    assert network.optimizer.learning_rate == 1.0
    assert isinstance(network.optimizer.learning_rate, float)


def test_the_name_is_the_file_s_unless_given_and_tables_drop_its_number_of_classes(tmp_path: Path) -> None:
    values = network_values()
    del values["name"]
    network, _ = load_network(write_json(tmp_path / "mine_3class.json", values))
    assert (network.name, network.table_name) == ("mine_3class", "mine")
    assert network_settings(name="mine_4class").table_name == "mine_4class"


@pytest.mark.parametrize(
    ("task", "network", "parts"),
    [
        ({}, {"classes": 4}, ["classes: the network has 4, the task small has 3 (bg, vessels, candidates)"]),
        (
            {},
            {"model": "ResNet-18"},
            ["model: ResNet-18 does not serve a segmentation task; accepted: UNet, MAnet, FPN"],
        ),
        ({"kind": "classification"}, {}, ["model: UNet does not serve a classification task", "ResNet-18"]),
        ({}, {"dim": 3}, ["dim: 3 needs volume_z above 1", "2"]),
        ({"volume_z": 2}, {"dim": 2}, ["dim: 2 needs volume_z 1, task small has 2", "3"]),
        (
            {"tile_size": [16, 12]},
            {"n_blocks": 4},
            ["model: UNet can't take the tile_size of task small, an axis of 12; accepted", "8, 16, 24"],
        ),
        ({"downsample": 4}, {"n_blocks": 4}, ["model: UNet can't take the tile_size of task small, an axis of 4"]),
        (
            {"volume_z": 2},
            {"dim": 3, "n_blocks": 3},
            ["model: UNet can't take the volume_z of task small, an axis of 2; accepted", "4, 8, 12"],
        ),
        ({}, {"conv_mode": "valid"}, ["model: UNet can't take the tile_size", "an axis of 16; accepted", "18, 20, 22"]),
        (
            {"volume_z": 2},
            {"model": "VNetLight", "dim": 3},
            ["model: VNetLight can't take the volume_z of task small, an axis of 2; accepted", "8, 16, 24"],
        ),
        ({}, {"model": "PAN"}, ["model: PAN can't take the tile_size", "128, 144, 160"]),
    ],
    ids=lambda value: value[0][:30] if isinstance(value, list) else "",
)
def test_a_network_that_does_not_fit_the_task_is_refused(
    task: dict[str, Any], network: dict[str, Any], parts: list[str]
) -> None:
    with refused(f"net.json: {parts[0]}", *parts[1:]):
        check_pair(task_settings(**task), network_settings(**network), "net.json")


def test_networks_that_fit_pass() -> None:
    check_pair(task_settings(), network_settings(), "n")
    check_pair(task_settings(volume_z=2), network_settings(dim=3), "n")
    check_pair(task_settings("classification"), network_settings(model="ResNet-18"), "n")


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("epochs", ["'epochs' has no '='", "key=value"]),
        ("epoch=3", ["epoch: unknown key", "epochs"]),
        ("=3", [": unknown key"]),
        ("where=3", ["where: unknown key"]),
        ("self=3", ["self: unknown key"]),
        ("two\nlines=3", ["two lines: unknown key"]),
        ("epochs=many", ["epochs: is 'many'", "integer"]),
        ("epochs=1e400", ["epochs: is inf"]),
        ("epochs=" + "1" * 5000, ["epochs: is '111"]),
        ("epochs=" + "[" * 100_000, ["epochs: is '[[["]),
        ("learning_rate=[0.1", ["learning_rate: is '[0.1'"]),
        ("ssl={}x", ["ssl"]),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_bad_overrides_are_one_line(override: str, parts: list[str]) -> None:
    with refused(f"--set: {parts[0]}", *parts[1:]):
        apply_overrides(network_settings(), [override])


def test_overrides_are_json_or_text_and_the_last_one_counts() -> None:
    overrides = ["learning_rate=1e-4", "optimizer=SGD", "augmentations=true", "latent_dim=256", "epochs=3", "epochs=4"]
    changed = apply_overrides(network_settings(), overrides)
    assert (changed.optimizer.learning_rate, changed.optimizer, changed.data.augmentations) == (1e-4, "SGD", True)
    assert (changed.model.latent_dim, changed.optimizer.epochs) == (256, 4)
    assert apply_overrides(changed, ["latent_dim=null"]).model.latent_dim is None
