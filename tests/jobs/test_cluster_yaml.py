"""`cluster.yaml`, checked with the code that `ray up` checks it with. No cloud is asked."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.ray_cluster import ROOT

Config = dict[str, Any]


@pytest.fixture(scope="module")
def written() -> Config:
    config: Config = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    return config


@pytest.fixture(scope="module")
def prepared(written: Config) -> Config:
    """What Ray makes of the file: its defaults for AWS filled in."""
    config: Config = prepare_config(copy.deepcopy(written))
    validate_config(config)
    return config


def workers(config: Config) -> dict[str, Config]:
    return {name: kind for name, kind in config["available_node_types"].items() if name != config["head_node_type"]}


def starts(config: Config, where: str) -> str:
    """The line that starts Ray."""
    [line] = [line for line in config[f"{where}_start_ray_commands"] if "ray start" in line]
    return str(line)


def test_workers_start_from_zero_and_declare_what_they_have(prepared: Config) -> None:
    for kind in workers(prepared).values():
        assert kind["min_workers"] == 0
        assert 0 < kind["max_workers"] <= prepared["max_workers"]
        assert kind["resources"]["CPU"] > 0
        assert kind["resources"]["GPU"] > 0
        assert kind["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert workers(prepared)


def test_a_sweep_gets_all_its_workers_in_one_step(prepared: Config) -> None:
    assert prepared["upscaling_speed"] >= prepared["max_workers"]


def test_the_head_runs_no_trials(prepared: Config) -> None:
    head = prepared["available_node_types"][prepared["head_node_type"]]
    assert head["resources"] == {"CPU": 0}
    assert "--num-cpus=0" in starts(prepared, "head")


@pytest.mark.parametrize("where", ["head", "worker"])
def test_every_machine_requires_the_token(prepared: Config, where: str) -> None:
    before, _, _ = starts(prepared, where).partition("ray start")
    assert "export RAY_AUTH_MODE=token;" in before
    assert prepared["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"


def test_the_dashboard_listens_on_the_head_alone(prepared: Config) -> None:
    assert "--dashboard-host=127.0.0.1" in starts(prepared, "head")
    assert "0.0.0.0" not in (ROOT / "cluster.yaml").read_text()


def test_what_is_installed_is_the_lock_and_is_there(prepared: Config) -> None:
    for where in ("head", "worker"):
        installs = [line for line in prepared[f"{where}_setup_commands"] if "pip install" in line]
        assert any("-r ~/mtneuro_ray/requirements.lock" in line for line in installs)
        assert any("--no-deps -e ~/mtneuro_ray" in line for line in installs)
    mounted = [local for local in prepared["file_mounts"].values() if not local.startswith("~")]
    assert [name for name in mounted if not (ROOT / name).exists()] == []


def misspell(config: Config) -> None:
    config["idle_timeout_minute"] = config.pop("idle_timeout_minutes")


def misspell_in_a_node_type(config: Config) -> None:
    worker = next(iter(workers(config).values()))
    worker["min_worker"] = worker.pop("min_workers")


def name_no_head(config: Config) -> None:
    config["head_node_type"] = "haed"


def ask_for_too_many(config: Config) -> None:
    next(iter(workers(config).values()))["min_workers"] = config["max_workers"] + 1


@pytest.mark.parametrize("damage", [misspell, misspell_in_a_node_type, name_no_head, ask_for_too_many])
def test_a_damaged_copy_is_refused(written: Config, damage: Callable[[Config], None]) -> None:
    config = copy.deepcopy(written)
    damage(config)
    with pytest.raises((jsonschema.ValidationError, ValueError)):
        validate_config(prepare_config(config))
