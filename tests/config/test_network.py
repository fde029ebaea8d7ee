from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtneuro_ray.config.base import placed
from mtneuro_ray.config.loading import apply_overrides, load_network, packaged_names
from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.config.pairs import check_pair
from mtneuro_ray.config.upstream import PATHS
from tests.config.checks import refused
from tests.settings import network_settings, network_values, task_settings, write_json

REQUIRED = {"optimizer": {"learning_rate": 1.0, "epochs": 2}, "data": {"batch_size": 1}}


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"lr": 0.1}, ["lr: unknown key", "learning_rate"]),
        ({"ssl": {"depth": 1}}, ["method.depth: unknown key", "mixup_probability"]),
        ({"model": "VGG"}, ["model.name: 'VGG' is unknown", "ResNet-18, PCA, NMF, UNet", "package.module:name"]),
        ({"model": "Unet"}, ["model.name: 'Unet' is unknown; did you mean 'UNet'?"]),
        ({"model": "os:path"}, ["model.name: 'os:path' (os:path) is a module; accepted: a ModelDeclaration"]),
        ({"model": "no.such:thing"}, ["model.name: 'no.such:thing' (no.such:thing) can't be imported"]),
        ({"method": "moco"}, ["method.name: 'moco' is unknown", "supervised, byol"]),
        ({"loss": "hinge"}, ["loss.name: 'hinge' is unknown", "cross_entropy"]),
        ({"name": "a/b"}, ["name: is 'a/b'"]),
        ({"name": "a\x1b[1m"}, ["name: is"]),
        ({"epochs": "5"}, ["optimizer.epochs: is '5'", "integer"]),
        ({"epochs": 5.0}, ["optimizer.epochs: is 5.0"]),
        ({"epochs": 0}, ["optimizer.epochs: is 0"]),
        ({"learning_rate": float("nan")}, ["optimizer.learning_rate: is nan", "finite"]),
        ({"learning_rate": float("inf")}, ["optimizer.learning_rate: is inf", "finite"]),
        ({"learning_rate": 0}, ["optimizer.learning_rate: is 0"]),
        ({"model": "ResNet-18", "dropout": 1.0}, ["model.dropout: is 1.0"]),
        ({"model": "ResNet-18", "dropout": float("nan")}, ["model.dropout: is nan"]),
        ({"augmentations": 1}, ["data.augmentations: is 1"]),
        ({"normalization": "group0"}, ["model.normalization: is 'group0'"]),
        ({"normalization": "group3"}, ["model.normalization: 3 groups do not divide 4 start_filters"]),
        ({"warmup_epochs": 2}, ["optimizer.warmup_epochs: 2 leaves nothing of 2 epochs", "0 to 1"]),
        ({"seed": -1}, ["seed: is -1"]),
        ({"seed": 2**32}, ["seed: is 4294967296"]),
        ({"classes": None}, ["classes: is None"]),
        ({"model": "VNetLight", "dim": 2}, ["model.dim: is 2", "3"]),
        ({"model": "FPN", "dim": 3}, ["model.dim: is 3", "2"]),
        ({"model": {"name": "UNet", "encoder_name": "b"}}, ["model.encoder_name: unknown key", "n_blocks"]),
        ({"model": "PAN", "batch_size": 1}, ["data.batch_size: PAN", "accepted: 2 or more"]),
        ({"average_decay": 0.9}, ["evaluation.average_decay: has no effect with keep 'last'"]),
        ({"train_crops": "random"}, ["data.train_crops: is for classifiers"]),
        ({"method": "byol"}, ["method.name: 'byol' is not for UNet, which has no features", "ResNet-18"]),
        ({"optimizer": {"learning_rate": 0.1}}, ["learning_rate: stands twice, as optimizer.learning_rate too"]),
        (
            {"model": "ResNet-18", "method": {"name": "byol", "epochs": 3}, "ssl": {"epochs": 4}},
            ["ssl.epochs: stands twice, as method.epochs too; accepted: once"],
        ),
        ({"ssl": {"name": "byol"}}, ["ssl.name: stands twice, as method.name too"]),
        ({"ssl": 5}, ["ssl: is 5; accepted: a table"]),
        ({"ssl": {"miner": "mlp"}}, ["ssl.miner: is 'mlp'; accepted: 'knn'"]),
        ({"data": 5}, ["data: is 5; accepted: a table"]),
        ({"evaluation": "best"}, ["evaluation: is 'best'; accepted: a table"]),
        ({"evaluation": {"metrics": ["iou"]}}, ["evaluation.metrics: 'iou' is unknown"]),
        (
            {"model": "NMF", "method": "decomposition", "input_norm": "image"},
            ["data.normalization: 'image' gives negative numbers, which NMF can't take; accepted: 'unit', 'window'"],
        ),
        (
            {"loss": "dice", "class_weights": "balanced"},
            ["loss.class_weights: the loss dice takes none"],
        ),
    ],
    ids=lambda value: value[0][:30] if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_with_file_and_key(tmp_path: Path, changes: dict[str, Any], parts: list[str]) -> None:
    path = write_json(tmp_path / "net.json", network_values(**changes))
    with refused(f"{path}: {parts[0]}", *parts[1:]):
        load_network(path)


def test_several_mistakes_are_counted() -> None:
    with refused("network.json: optimizer.learning_rate: is 0", "(and 1 more)"):
        network_settings(epochs=0, learning_rate=0)


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
        (
            {},
            {"classes": 4},
            ["classes: the network has 4 classes, the task small 3 (bg, vessels", "--set classes=3"],
        ),
        (
            {},
            {"model": "ResNet-18"},
            ["model.name: ResNet-18 does not serve a segmentation task; accepted: UNet, MAnet, FPN"],
        ),
        ({"kind": "classification"}, {}, ["model.name: UNet does not serve a classification task", "ResNet-18"]),
        ({}, {"dim": 3}, ["model.dim: 3 needs volume_z above 1", "2"]),
        ({"volume_z": 2}, {"dim": 2}, ["model.dim: 2 needs volume_z 1, task small has 2", "3"]),
        (
            {"tile_size": [16, 12]},
            {"n_blocks": 4},
            ["model.name: UNet can't take the tile_size of task small, an axis of 12; accepted", "8, 16, 24"],
        ),
        ({"downsample": 4}, {"n_blocks": 4}, ["model.name: UNet can't take the tile_size of task small, an axis of 4"]),
        (
            {"volume_z": 2},
            {"dim": 3, "n_blocks": 3},
            ["model.name: UNet can't take the volume_z of task small, an axis of 2; accepted", "4, 8, 12"],
        ),
        (
            {},
            {"conv_mode": "valid"},
            ["model.name: UNet can't take the tile_size", "an axis of 16", "18, 20, 22"],
        ),
        (
            {"volume_z": 2},
            {"model": "VNetLight", "dim": 3},
            ["model.name: VNetLight can't take the volume_z of task small, an axis of 2; accepted", "8, 16, 24"],
        ),
        (
            {"tile_size": [8, 8]},
            {"n_blocks": 4, "batch_size": 1},
            [
                "data.batch_size: one image of task small leaves the batch norms of UNet one value a channel",
                "2 or more",
            ],
        ),
        ({}, {"model": "PAN"}, ["model.name: PAN can't take the tile_size", "128, 144, 160"]),
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
    for changes in ({"batch_size": 2}, {"batch_size": 1, "normalization": "none"}, {"batch_size": 1, "n_blocks": 3}):
        check_pair(task_settings(tile_size=[8, 8]), network_settings(**{"n_blocks": 4, **changes}), "n")
    check_pair(task_settings("classification"), network_settings(model="ResNet-18"), "n")


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("epochs", ["'epochs' has no '='", "key=value"]),
        ("epoch=3", ["epoch: unknown key of UNet with supervised; did you mean 'epochs'?"]),
        ("=3", [": unknown key"]),
        ("where=3", ["where: unknown key"]),
        ("self=3", ["self: unknown key"]),
        ("two\nlines=3", ["two lines: unknown key"]),
        ("epochs=many", ["optimizer.epochs: is 'many'", "integer"]),
        ("epochs=1e400", ["optimizer.epochs: is inf"]),
        ("epochs=" + "1" * 5000, ["optimizer.epochs: is '111"]),
        ("epochs=" + "[" * 100_000, ["optimizer.epochs: is '[[["]),
        ("learning_rate=[0.1", ["optimizer.learning_rate: is '[0.1'"]),
        ("ssl={}x", ["ssl: unknown key"]),
        ("optimizer={}", ["optimizer.name: is {}"]),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_bad_overrides_are_one_line(override: str, parts: list[str]) -> None:
    with refused(f"--set: {parts[0]}", *parts[1:]):
        apply_overrides(network_settings(), [override])


def test_overrides_are_json_or_text_and_a_key_stands_once() -> None:
    overrides = ["learning_rate=1e-4", "optimizer=SGD", "data.augmentations=true", "latent_dim=256", "epochs=3"]
    changed = apply_overrides(network_settings(model="ResNet-18"), overrides).paths()
    assert (changed["optimizer.learning_rate"], changed["optimizer.name"]) == (1e-4, "SGD")
    assert (changed["data.augmentations"], changed["model.latent_dim"], changed["optimizer.epochs"]) == (True, 256, 3)
    for first, second in (("epochs", "epochs"), ("epochs", "optimizer.epochs"), ("model.name", "model")):
        with refused(f"--set: {second}: stands twice", "accepted: once"):
            apply_overrides(network_settings(), [f"{first}=3", f"{second}=4"])


def test_a_last_part_that_several_keys_end_in_lists_them() -> None:
    byol = network_settings(model="ResNet-18", method="byol")
    with refused("--set: epochs: names several keys; accepted: method.epochs, optimizer.epochs"):
        apply_overrides(byol, ["epochs=3"])
    assert apply_overrides(byol, ["method.epochs=30"]).training.epochs == 30


def test_another_model_or_method_may_come_with_keys_of_its_own() -> None:
    changed = apply_overrides(network_settings(), ["model=FPN", "encoder_name=resnet18"])
    assert changed.paths()["model.encoder_name"] == "resnet18"
    changed = apply_overrides(network_settings(model="ResNet-18"), ["method.name=myow", "knn_nneighs=3"])
    assert changed.paths()["method.knn_nneighs"] == 3
    # PAN can't be trained on single images: the changes are judged together.
    changed = apply_overrides(network_settings(batch_size=1), ["batch_size=2", "model=PAN"])
    assert (changed.model.name, changed.data.batch_size) == ("PAN", 2)
    # Both have an encoder.
    changed = apply_overrides(network_settings(model="FPN", encoder_name="resnet18"), ["model=MAnet"])
    assert (changed.model.name, changed.paths()["model.encoder_name"]) == ("MAnet", "resnet18")


def test_a_flat_and_a_nested_file_are_the_same_network(tmp_path: Path) -> None:
    flat = network_values(opt_momentum=0.5, loss="dice+cross_entropy", class_weights="balanced", keep="best", dim=2)
    nested = {
        "name": "net_3class",
        "classes": 3,
        "model": {"name": "UNet", "n_blocks": 2, "start_filters": 4},
        "loss": {"name": "dice+cross_entropy", "class_weights": "balanced"},
        "optimizer": {"learning_rate": 0.01, "epochs": 2, "momentum": 0.5},
        "data": {"batch_size": 2},
        "evaluation": {"keep": "best"},
    }
    first, second = (load_network(write_json(tmp_path / "n.json", values))[0] for values in (flat, nested))
    assert first == second
    assert NetworkSettings.load(first.model_dump(mode="json"), "again") == first


RATES = st.floats(1e-6, 1.0)
FLAT = st.fixed_dictionaries(
    {"learning_rate": RATES, "epochs": st.integers(2, 99), "batch_size": st.integers(1, 99)},
    optional={
        "seed": st.integers(0, 2**32 - 1),
        "optimizer": st.sampled_from(["SGD", "Adam"]),
        "opt_momentum": st.floats(0.0, 0.9),
        "weight_decay": RATES,
        "warmup_epochs": st.integers(0, 1),
        "lr_schedule": st.sampled_from(["constant", "cosine"]),
        "loss": st.sampled_from(["cross_entropy", "cross_entropy+dice"]),
        "class_weights": st.sampled_from(["none", "balanced"]),
        "start_filters": st.sampled_from([4, 8]),
        "n_blocks": st.integers(2, 4),
        "augmentations": st.booleans(),
        "keep": st.sampled_from(["last", "best"]),
        "precision": st.sampled_from(["auto", "fp32"]),
    },
)


@given(values=FLAT)
def test_flat_keys_stand_where_their_paths_say(values: dict[str, Any]) -> None:
    flat = {"name": "n", "model": "UNet", "classes": 3, **values}
    tables: dict[str, Any] = {"model": {"name": "UNet"}}
    for key, value in values.items():
        placed(tables, PATHS.get(key, f"{key}.name" if key in ("optimizer", "loss") else key), value)
    nested = NetworkSettings.load({"name": "n", "classes": 3, **tables}, "nested")
    assert NetworkSettings.load(flat, "flat") == nested
    # The same by changes of a network: by flat key where that is the last part, else by path.
    base = NetworkSettings.load({"name": "n", "classes": 3, "model": "UNet", **REQUIRED}, "base")
    changes = {"momentum" if key == "opt_momentum" else key: value for key, value in values.items()}
    assert base.replace("changes", **changes) == nested


def test_a_network_survives_being_written() -> None:
    for name in packaged_names("networks"):
        network, _ = load_network(name)
        assert network.name == name
        assert NetworkSettings.load(network.model_dump(mode="json"), "again") == network
        assert NetworkSettings.load(network.changed(), "again") == network
        assert network.replace("again", **network.paths()) == network


def test_keys_of_other_models_in_a_flat_file_have_no_effect_and_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_json(tmp_path / "n.json", network_values(dropout=0.5))
    assert load_network(path)[0] == network_settings()
    assert caplog.messages == [f"{path}: ignored, not used by its model and method: dropout"]


@pytest.mark.parametrize("text", ['{"classes": 3, "classes": 4}', '{"model": {"name": "UNet", "name": "FPN"}}'])
def test_a_key_that_stands_twice_in_a_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "n.json").write_text(text)
    with refused(f"{tmp_path / 'n.json'}: ", "stands twice; accepted: once"):
        load_network(str(tmp_path / "n.json"))
