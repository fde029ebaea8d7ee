from pathlib import Path
from typing import Any, get_args

import pytest

from mtneuro_ray.config.network import NetworkSettings, SslSettings
from mtneuro_ray.config.run import PROTOCOL_VERSION, RunSettings
from mtneuro_ray.config.task import Cube, TaskSettings
from tests.config.checks import refused
from tests.settings import cube, network_settings, run_settings

BASE = run_settings()


def test_a_run_id_is_what_it_was() -> None:
    # Finished runs are found by it.
    assert BASE.run_id == "830d50157e34133f"


def test_a_default_changes_only_with_the_protocol_version() -> None:
    # Keys at their defaults are no part of a run_id, so another default would give old runs a new meaning. A key that
    # is added belongs to the list below; a default that changes raises PROTOCOL_VERSION.
    defaults = {
        f"{cls.__name__}.{name}": field.default
        for cls in (NetworkSettings, TaskSettings, Cube, SslSettings)
        for name, field in cls.model_fields.items()
        if not field.is_required()
    }
    assert PROTOCOL_VERSION == 1
    assert defaults == {
        "NetworkSettings.name": "",
        "NetworkSettings.method": "supervised",
        "NetworkSettings.in_channels": 1,
        "NetworkSettings.dim": 2,
        "NetworkSettings.n_blocks": 4,
        "NetworkSettings.start_filters": 32,
        "NetworkSettings.activation": "relu",
        "NetworkSettings.normalization": "batch",
        "NetworkSettings.conv_mode": "same",
        "NetworkSettings.encoder_name": "efficientnet-b7",
        "NetworkSettings.encoder_weights": "imagenet",
        "NetworkSettings.dropout": 0.2,
        "NetworkSettings.latent_dim": None,
        "NetworkSettings.components": 256,
        "NetworkSettings.readout_norm": "standard",
        "NetworkSettings.seed": 0,
        "NetworkSettings.optimizer": "Adam",
        "NetworkSettings.beta1": 0.9,
        "NetworkSettings.beta2": 0.999,
        "NetworkSettings.opt_momentum": 0.0,
        "NetworkSettings.weight_decay": 0.0,
        "NetworkSettings.lr_schedule": "constant",
        "NetworkSettings.warmup_epochs": 0,
        "NetworkSettings.augmentations": False,
        "NetworkSettings.train_crops": "whole",
        "NetworkSettings.mixup_probability": 0.0,
        "NetworkSettings.mixup_alpha": 1.0,
        "NetworkSettings.input_norm": "unit",
        "NetworkSettings.loss": "cross_entropy",
        "NetworkSettings.class_weights": "none",
        "NetworkSettings.keep": "last",
        "NetworkSettings.average_decay": 0.99,
        "NetworkSettings.eval_crops": "whole",
        "NetworkSettings.precision": "auto",
        "NetworkSettings.compile": False,
        "NetworkSettings.ssl": None,
        "TaskSettings.annotation_chan": None,
        "TaskSettings.tile_stride": None,
        "TaskSettings.volume_z": 1,
        "TaskSettings.downsample": 1,
        "TaskSettings.max_slices": None,
        "TaskSettings.voxel_size_um": None,
        "TaskSettings.encoder_task": None,
        "TaskSettings.annotation_map": None,
        "Cube.label": 0,
        "SslSettings.optimizer": "sgd",
        "SslSettings.epochs": 100,
        "SslSettings.batch_size": None,
        "SslSettings.projector_hidden_size": 4096,
        "SslSettings.projector_output_size": 256,
        "SslSettings.projector_2_hidden_size": 4096,
        "SslSettings.projector_2_output_size": 256,
        "SslSettings.myow_layout": "cascaded",
        "SslSettings.transform": ("random_crop",),
        "SslSettings.trans_prob": 0.5,
        "SslSettings.grey_strength": 0.4,
        "SslSettings.lr_warmup_epochs": 10,
        "SslSettings.base_learning_rate": 0.03,
        "SslSettings.base_momentum": 0.996,
        "SslSettings.myow_base_weight": 0.1,
        "SslSettings.lr_decay": "cosine",
        "SslSettings.mm_decay": "cosine",
        "SslSettings.byol_warmup_epochs": 0,
        "SslSettings.myow_rampup_epochs": 10,
        "SslSettings.miner": "knn",
        "SslSettings.miner_candidate_repr": "target",
        "SslSettings.miner_distance": "cosine",
        "SslSettings.knn_select": "random",
        "SslSettings.knn_nneighs": 1,
        "SslSettings.pool_ratio": 0.5,
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"network": {"learning_rate": 0.02}},
        {"network": {"seed": 1}},
        {"network": {"epochs": 3}},
        {"network": {"precision": "fp32"}},
        {"network": {"name": "other_3class"}},
        {"task": {"name": "other"}},
        {"task": {"max_slices": 1}},
        {"task": {"downsample": 2}},
        {"task": {"annotation_map": {"0": 0, "1": 1, "2": 2}}},
        {"task": {"cubes": [cube(z=(0, 3)), cube(split="val", z=(5, 7)), cube(split="test", z=(8, 10))]}},
        {"role": "candidate"},
        {"data": ("file:other", "file:labels")},
        {"data": ("file:labels", "file:image")},
    ],
    ids=str,
)
def test_everything_that_decides_the_numbers_changes_the_run_id(changes: dict[str, Any]) -> None:
    assert run_settings(**changes).run_id != BASE.run_id


def another(key: str, value: Any) -> Any:
    """A value that this key of the network accepts, other than the one it has."""
    choices = get_args(NetworkSettings.model_fields[key].annotation)
    if choices and value in choices:
        return next(choice for choice in choices if choice != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1 if isinstance(value, int) else value / 2 + 0.01
    return {"normalization": "none", "latent_dim": 8, "ssl": {}}.get(key, "another")


@pytest.mark.parametrize("key", [key for key in NetworkSettings.model_fields if key != "in_channels"])
def test_every_key_of_the_network_is_part_of_the_run_id(key: str) -> None:
    base = run_settings(network={"model": "FPN"}) if key.startswith("encoder") else BASE
    values = base.model_dump(mode="json")
    values["network"][key] = another(key, values["network"][key])
    assert RunSettings.load(values, "run").run_id != base.run_id


def test_a_file_of_weights_goes_by_its_content() -> None:
    def run(path: str, digest: str) -> str:
        network = network_settings(model="FPN", encoder_weights=f"file:{path}")
        return BASE.model_copy(update={"network": network, "weights": digest}).run_id

    assert run("/here/w.pt", "sha256:1") == run("/there/w.pt", "sha256:1")
    assert run("/here/w.pt", "sha256:1") != run("/here/w.pt", "sha256:2")


def test_the_content_of_a_file_of_weights_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    network = network_settings(model="FPN", encoder_weights=f"file:{path}")
    ids = []
    for content in (b"one", b"other", b"one"):
        path.write_bytes(content)
        ids.append(RunSettings.of(BASE.task, network, "final", BASE.data).run_id)
    assert ids[0] == ids[2] != ids[1]
    path.unlink()
    with refused(f"encoder_weights: file:{path}: No such file"):
        RunSettings.of(BASE.task, network, "final", BASE.data)


def test_the_address_of_a_channel_is_not_part_of_the_run_id() -> None:
    moved = run_settings(task={"image_chan": "zarr:///elsewhere/image", "annotation_chan": "zarr:///elsewhere/l"})
    assert moved.run_id == BASE.run_id


def test_the_order_of_keys_is_not_part_of_the_run_id() -> None:
    def backwards(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: backwards(value[key]) for key in reversed(value)}
        return [backwards(item) for item in value] if isinstance(value, list) else value

    mapped = run_settings(task={"annotation_map": {"0": 0, "3": 0, "11": 2, "2": 1}})
    assert RunSettings.load(backwards(mapped.model_dump(mode="json")), "run").run_id == mapped.run_id


def test_a_run_s_settings_load_back_as_the_same_run() -> None:
    again = RunSettings.load(BASE.model_dump(mode="json"), "run")
    assert again == BASE
    assert again.run_id == BASE.run_id


def with_cubes(*cubes: dict[str, Any], **changes: Any) -> RunSettings:
    return run_settings(task={"cubes": list(cubes), **changes})


TRAIN, VAL, TEST = cube(), cube(split="val", z=(5, 7)), cube(split="test", z=(8, 10))


def test_what_is_trained_once_is_told_by_the_train_id() -> None:
    assert with_cubes(TRAIN, VAL, TEST).train_id == BASE.train_id
    same = [
        with_cubes(TRAIN, VAL, cube(split="test", z=(11, 15))),
        run_settings(task={"name": "other"}),
        run_settings(role="candidate"),
        run_settings(network={"name": "other_3class"}),
    ]
    assert {run.train_id for run in same} == {BASE.train_id}
    assert len({run.run_id for run in [BASE, *same]}) == 5
    other = [
        with_cubes(cube(z=(0, 3)), VAL, TEST),
        with_cubes(TRAIN, cube(split="val", z=(5, 8)), TEST),
        run_settings(network={"seed": 1}),
        run_settings(network={"epochs": 3}),
        run_settings(task={"downsample": 2}),
        run_settings(data=("file:other", "file:labels")),
    ]
    assert len({run.train_id for run in [BASE, *other]}) == 7


def test_a_readout_goes_by_the_training_of_its_source() -> None:
    def readout(source: RunSettings) -> RunSettings:
        return BASE.model_copy(update={"source": source})

    other = run_settings(network={"epochs": 3})
    assert readout(BASE).train_id == BASE.train_id
    assert readout(BASE).run_id == readout(with_cubes(TRAIN, VAL, cube(split="test", z=(11, 15)))).run_id
    assert len({run.run_id for run in (BASE, readout(BASE), readout(other))}) == 3
    assert RunSettings.load(readout(BASE).model_dump(mode="json"), "run") == readout(BASE)


def test_the_summary_names_the_run_in_tables() -> None:
    assert BASE.summary() == {
        "model": "net",
        "task": "small",
        "role": "final",
        "learning_rate": 0.01,
        "batch_size": 2,
        "seed": 0,
        "epochs": 2,
    }
