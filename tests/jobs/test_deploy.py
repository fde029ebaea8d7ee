"""`deploy/`: a manifest that Ray's own autoscaler reads, a Dockerfile that hadolint accepts, a fallback to demand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from packaging.requirements import Requirement
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

from deploy import spot_first
from deploy.spot_first import OnDemandFallback
from tests.ray_cluster import ROOT

DEPLOY = ROOT / "deploy"
DOCKERFILE = DEPLOY / "Dockerfile"
Config = dict[str, Any]


@pytest.fixture(scope="module")
def manifest() -> Config:
    config: Config = yaml.safe_load((DEPLOY / "kuberay.yaml").read_text())
    return config


@pytest.fixture(scope="module")
def derived(manifest: Config) -> Config:
    """What the autoscaler beside a head makes of the manifest, checked with Ray's schema."""
    config: Config = _derive_autoscaling_config_from_ray_cr(manifest)
    return config


def groups(manifest: Config) -> dict[str, Config]:
    found = {"head": manifest["spec"]["headGroupSpec"]}
    return found | {group["groupName"]: group for group in manifest["spec"]["workerGroupSpecs"]}


def containers(manifest: Config) -> dict[str, Config]:
    return {name: group["template"]["spec"]["containers"][0] for name, group in groups(manifest).items()}


def test_the_groups_of_the_manifest_are_the_node_types_of_the_cluster(derived: Config) -> None:
    cluster = yaml.safe_load((ROOT / "cluster.yaml").read_text())["available_node_types"]
    types = derived["available_node_types"]
    found = {name: (kind["resources"]["CPU"], kind["resources"].get("GPU", 0)) for name, kind in types.items()}
    expected = {name: (kind["resources"]["CPU"], kind["resources"].get("GPU", 0)) for name, kind in cluster.items()}
    gpu = expected["gpu_worker"]
    assert found == {
        "headgroup": expected["head"],
        "cpu-worker": expected["cpu_worker"],
        "gpu-worker": gpu,
        "gpu-worker-spot": gpu,
    }
    for name, kind in types.items():
        assert kind["min_workers"] == 0
        if name != "headgroup":
            assert kind["max_workers"] == cluster[name.removesuffix("-spot").replace("-", "_")]["max_workers"]


def test_spot_machines_are_asked_for_first(derived: Config) -> None:
    priorities = {name: kind.get("priority", 0) for name, kind in derived["available_node_types"].items()}
    assert priorities["gpu-worker-spot"] > priorities["gpu-worker"]


def test_the_manifest_is_of_the_locked_ray_and_its_second_autoscaler_with_a_token(manifest: Config) -> None:
    spec = manifest["spec"]
    assert spec["rayVersion"] == ray.__version__
    assert (spec["enableInTreeAutoscaling"], spec["autoscalerOptions"]["version"]) == (True, "v2")
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["headGroupSpec"]["serviceType"] == "ClusterIP"


def test_all_pods_are_alike_in_image_store_account_and_shared_memory(manifest: Config) -> None:
    assert len({container["image"] for container in containers(manifest).values()}) == 1
    assert {str(container["env"]) for container in containers(manifest).values()} == {
        "[{'name': 'MTNEURO_STORE', 'value': 's3://BUCKET/store'}]"
    }
    for name, group in groups(manifest).items():
        pod, container = group["template"]["spec"], containers(manifest)[name]
        assert pod["restartPolicy"] == "Never"
        assert pod["serviceAccountName"] == "mtneuro"
        [volume] = pod["volumes"]
        assert volume["emptyDir"]["medium"] == "Memory"
        assert container["volumeMounts"] == [{"name": volume["name"], "mountPath": "/dev/shm"}]
        shared = int(volume["emptyDir"]["sizeLimit"].removesuffix("Gi"))
        memory = int(container["resources"]["limits"]["memory"].removesuffix("Gi"))
        assert int(group["rayStartParams"]["object-store-memory"]) < shared * 2**30
        # What lies in it counts as the container's.
        assert shared <= memory / 2


def hadolint(dockerfile: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "hadolint"
    return subprocess.run([program, dockerfile], capture_output=True, text=True, check=False)


def test_hadolint_finds_nothing(tmp_path: Path) -> None:
    done = hadolint(DOCKERFILE)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    damaged = tmp_path / "Dockerfile"
    damaged.write_text(DOCKERFILE.read_text().replace("RUN useradd", "RUN sudo useradd"))
    assert "DL3004" in hadolint(damaged).stdout


def copied() -> list[str]:
    sources = []
    for line in re.findall(r"^COPY (.*)$", DOCKERFILE.read_text(), re.MULTILINE):
        *names, _ = [word for word in line.split() if not word.startswith("--")]
        sources += names
    return sources


def test_what_the_image_copies_is_there_and_sent_and_is_all_that_is_sent() -> None:
    assert [name for name in copied() if not (ROOT / name).exists()] == []
    ignore = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in ignore if not line.startswith("#")]
    assert rules[0] == "*"
    assert sorted(line.removeprefix("!") for line in rules if line.startswith("!")) == sorted(copied())


def test_the_image_is_of_the_lock_without_root_and_for_a_python_of_it() -> None:
    text = DOCKERFILE.read_text()
    [python] = re.findall(r"^FROM python:(\d+\.\d+)-slim", text, re.MULTILINE)
    assert f"{python}.0" in Requirement(f"x{pyproject('requires-python')}").specifier
    assert "pip install --no-cache-dir -r requirements.lock" in text
    assert "RAY_AUTH_MODE=token" in text
    users = re.findall(r"^USER (\S+)$", text, re.MULTILINE)
    assert users == ["1000"]
    # Nothing is added for root after it.
    assert "--chown=1000:1000" in text
    assert not re.search(r"^COPY (?!--chown)", text, re.MULTILINE)


def pyproject(key: str) -> str:
    [value] = re.findall(rf'^{key} = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    return str(value)


class Cloud:
    """A provider that has no spot machines, or none at all."""

    def __init__(self, markets: set[str]) -> None:
        self.markets = markets
        self.asked: list[tuple[Any, ...]] = []

    def create_node_with_resources_and_labels(
        self, node_config: Config, tags: Config, count: int, resources: Config, labels: Config
    ) -> Config | None:
        self.asked.append((dict(node_config), tags, count, resources, labels))
        market = node_config.pop("InstanceMarketOptions", {"MarketType": "demand"})["MarketType"]
        if market not in self.markets:
            raise RuntimeError(f"no {market}")
        return {"i-1": market}


class Both(OnDemandFallback, Cloud):
    pass


SPOT = {"InstanceType": "g5.xlarge", "InstanceMarketOptions": {"MarketType": "spot"}}
DEMAND = {"InstanceType": "g5.xlarge"}
REST: tuple[Config, int, Config, Config] = ({"tag": "x"}, 3, {"CPU": 4.0}, {"label": "y"})


@pytest.mark.parametrize(
    ("node_config", "markets", "asked", "got"),
    [
        (SPOT, {"spot", "demand"}, [SPOT], "spot"),
        (SPOT, {"demand"}, [SPOT, DEMAND], "demand"),
        (DEMAND, {"demand"}, [DEMAND], "demand"),
        (SPOT, set(), [SPOT, DEMAND], None),
        (DEMAND, {"spot"}, [DEMAND], None),
    ],
)
def test_what_is_refused_as_a_spot_machine_is_asked_for_on_demand_once(
    node_config: Config, markets: set[str], asked: list[Config], got: str | None
) -> None:
    cloud = Both(markets)
    if got is None:
        with pytest.raises(RuntimeError, match="no demand"):
            cloud.create_node_with_resources_and_labels(dict(node_config), *REST)
    else:
        assert cloud.create_node_with_resources_and_labels(dict(node_config), *REST) == {"i-1": got}
    assert cloud.asked == [(config, *REST) for config in asked]


def test_the_provider_is_rays_for_aws_with_the_fallback_before_it() -> None:
    bases = [base.__name__ for base in spot_first.SpotFirst.__mro__[1:3]]
    assert bases == ["OnDemandFallback", "AWSNodeProvider"]
