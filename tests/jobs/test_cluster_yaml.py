"""`cluster.yaml` and `deploy/cluster-onprem.yaml`, checked with the code that `ray up` checks them with.

No cloud is asked, and no machine.
"""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
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


@pytest.fixture(scope="module")
def onprem() -> Config:
    config: Config = prepare_config(yaml.safe_load((ROOT / "deploy" / "cluster-onprem.yaml").read_text()))
    validate_config(config)
    return config


@pytest.fixture(params=["prepared", "onprem"])
def every(request: pytest.FixtureRequest) -> Config:
    """Each of the files."""
    config: Config = request.getfixturevalue(request.param)
    return config


def workers(config: Config) -> dict[str, Config]:
    return {name: kind for name, kind in config["available_node_types"].items() if name != config["head_node_type"]}


def starts(config: Config, where: str) -> str:
    """The line that starts Ray."""
    [line] = [line for line in config[f"{where}_start_ray_commands"] if "ray start" in line]
    return str(line)


def test_workers_start_from_zero_and_declare_what_they_have(prepared: Config) -> None:
    assert workers(prepared)
    for kind in workers(prepared).values():
        assert kind["min_workers"] == 0
        assert 0 < kind["max_workers"] <= prepared["max_workers"]
        assert kind["resources"]["CPU"] > 0


def test_one_type_is_for_cpus_alone_and_one_has_a_gpu_on_spot_machines(prepared: Config) -> None:
    markets = {
        kind["resources"].get("GPU", 0): kind["node_config"].get("InstanceMarketOptions")
        for kind in workers(prepared).values()
    }
    assert markets == {0: None, 1: {"MarketType": "spot"}}


def test_a_sweep_gets_all_its_workers_in_one_step(prepared: Config) -> None:
    assert prepared["upscaling_speed"] >= prepared["max_workers"]
    assert prepared["max_workers"] == sum(kind["max_workers"] for kind in workers(prepared).values())


def test_the_head_runs_no_trials(prepared: Config) -> None:
    head = prepared["available_node_types"][prepared["head_node_type"]]
    assert head["resources"] == {"CPU": 0}
    assert "--num-cpus=0" in starts(prepared, "head")


@pytest.mark.parametrize("where", ["head", "worker"])
def test_every_machine_requires_the_token(every: Config, where: str) -> None:
    before, _, _ = starts(every, where).partition("ray start")
    assert "export RAY_AUTH_MODE=token" in before
    assert every["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"


def test_the_dashboard_listens_on_the_head_alone(every: Config) -> None:
    assert "--dashboard-host=127.0.0.1" in starts(every, "head")
    assert "0.0.0.0" not in str(every)


@pytest.mark.parametrize("where", ["head", "worker"])
def test_shared_memory_holds_the_object_store(prepared: Config, where: str) -> None:
    [store] = re.findall(r"--object-store-memory=(\d+)", starts(prepared, where))
    [(size, command)] = re.findall(r"size=(\d+)G (\S+)", " ".join(prepared[f"{where}_start_ray_commands"]))
    assert command == "/dev/shm"
    # Half of what the instance types have, 16 GB.
    assert int(store) < int(size) * 2**30 <= 8 * 2**30
    assert {kind["node_config"]["InstanceType"] for kind in prepared["available_node_types"].values()} == {
        "m6i.xlarge",
        "c6i.2xlarge",
        "g5.xlarge",
    }


def test_what_is_installed_is_the_lock_and_is_there(every: Config) -> None:
    for where in ("head", "worker"):
        installs = [line for line in every[f"{where}_setup_commands"] if "pip install" in line]
        assert any("-r ~/mtneuro_ray/requirements.lock" in line for line in installs)
        assert any("--no-deps -e ~/mtneuro_ray" in line for line in installs)
    mounted = [local for local in every["file_mounts"].values() if not local.startswith("~")]
    assert [name for name in mounted if not (ROOT / name).exists()] == []


def test_cutouts_go_where_all_machines_see_them(every: Config) -> None:
    stores = [re.findall(r"MTNEURO_STORE=(\S+?)[; ]", starts(every, where)) for where in ("head", "worker")]
    assert stores in ([["s3://BUCKET/store"]] * 2, [["/shared/mtneuro/store"]] * 2)


def test_all_machines_of_a_lab_join(onprem: Config) -> None:
    [kind] = onprem["available_node_types"].values()
    assert kind["min_workers"] == kind["max_workers"] == len(onprem["provider"]["worker_ips"])
    # Ray finds what they have; a head of the same type has no CPUs for trials all the same.
    assert kind["resources"] == {}
    assert "--num-cpus=0" in starts(onprem, "head")


def test_the_heads_autoscaler_reads_a_file_with_the_fallback(prepared: Config, tmp_path: Path) -> None:
    """What `ray up` leaves on the head, then the head's own start commands, without Ray's."""
    home = tmp_path / "home"
    for remote, local in prepared["file_mounts"].items():
        if local.endswith("spot_first.py"):
            target = home / remote.removeprefix("~/")
            target.parent.mkdir(parents=True)
            shutil.copy(ROOT / local, target)
    (home / "ray_bootstrap_config.yaml").write_text(json.dumps(prepared))
    (home / "env" / "bin").mkdir(parents=True)
    (home / "env" / "bin" / "python").symlink_to(sys.executable)
    [command] = [line for line in prepared["head_start_ray_commands"] if "bin/python" in line]
    environment = {"HOME": str(home), "PATH": os.environ["PATH"]}
    subprocess.run(["bash", "-c", command], env=environment, check=True)

    [read] = re.findall(r"--autoscaling-config=~/(\S+)", starts(prepared, "head"))
    config = json.loads((home / read).read_text())
    assert {key for key in config if config[key] != prepared[key]} == {"provider"}
    assert config["provider"] == {**prepared["provider"], "type": "external", "module": "spot_first.SpotFirst"}
    validate_config(prepare_config(config))
    [path] = re.findall(r"PYTHONPATH=\$HOME/(\S+?);", starts(prepared, "head"))
    assert (home / path / "spot_first.py").is_file()


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
