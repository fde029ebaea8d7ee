from typing import Any, get_args

import pytest

from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.config.run import RunSettings
from tests.settings import cube, run_settings

BASE = run_settings()


def test_a_run_id_is_what_it_was() -> None:
    # Finished runs are found by it. A new key changes it as well, and every run is trained again: change it knowingly.
    assert BASE.run_id == "bf58ca7c73d6c5f6"


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
        {"role": "cell"},
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
    return {"name": "x", "normalization": "none", "latent_dim": 8, "ssl": {}}[key]


def test_every_key_of_the_network_is_part_of_the_run_id() -> None:
    values = BASE.model_dump(mode="json")
    keys = [key for key in values["network"] if key != "in_channels"]
    ids = {
        RunSettings.load({**values, "network": {**values["network"], key: another(key, value)}}, "run").run_id
        for key, value in values["network"].items()
        if key in keys
    }
    assert len(ids) == len(keys) > 20
    assert BASE.run_id not in ids


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


def test_the_summary_names_the_run_in_tables() -> None:
    assert BASE.summary() == {
        "model": "net",
        "setting": "small",
        "role": "final",
        "learning_rate": 0.01,
        "batch_size": 2,
        "seed": 0,
        "epochs": 2,
    }
