"""The node types of `cluster.yaml` under Ray's own autoscaler, with raylets on this machine for machines."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID
from ray.autoscaler._private.util import prepare_config

from tests.ray_cluster import ROOT, PrivateHead, private_head
from tests.tiny import write_tiny

pytestmark = [pytest.mark.ray, pytest.mark.slow]

# Of a state that must come; how long it takes is not tested.
_PATIENCE_S = 240.0
_WORKER_TYPES = ("cpu_worker", "gpu_worker")
# Of a machine, so that trials need more than one.
_CPUS = 1


@dataclass(frozen=True)
class Scaled:
    """A head that scales, and what it has asked its cloud for.

    Attributes:
        head: The head.
        launches: A line for each request: type, market, count.
    """

    head: PrivateHead
    log: Path

    @property
    def launches(self) -> list[str]:
        return self.log.read_text().splitlines()

    def ask(self, what: str) -> list[dict[str, Any]]:
        """All `nodes`, `actors` or `jobs` that the head knows, dead ones included."""
        url = f"{self.head.dashboard}/api/v0/{what}?limit=1000&detail=true"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self.head.token}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]["result"]
        return found

    def workers(self, state: str | None = None) -> dict[str, str]:
        """Node id -> node type of the workers, dead ones included."""
        return {
            node["node_id"]: node["labels"]["ray.io/node-group"]
            for node in self.ask("nodes")
            if not node["is_head_node"] and state in (None, node["state"])
        }

    def run(self, code: str) -> subprocess.CompletedProcess[str]:
        """A driver on the head."""
        code = f"import ray; ray.init({self.head.address!r}, logging_level='ERROR', log_to_driver=False)\n{code}"
        return subprocess.run(
            [sys.executable, "-c", code], env=self.head.env, cwd=ROOT, capture_output=True, text=True, check=False
        )


def configuration(log: Path, provider: str, *, no_spot: bool) -> dict[str, Any]:
    """`cluster.yaml`, but for whose machines they are, their size, and how long an idle one is waited for."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    config["provider"] = {
        "type": "external",
        "module": f"tests.jobs.fake_machines.{provider}",
        "head_node_id": FAKE_HEAD_NODE_ID,
        "head_type": config["head_node_type"],
        "use_node_id_as_ip": True,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
        "log": str(log),
        "no_spot": no_spot,
    }
    for name in _WORKER_TYPES:
        kind = config["available_node_types"][name]
        kind["resources"] = {**kind["resources"], "CPU": _CPUS, "object_store_memory": 80_000_000}
    # Nothing is installed on them: they are this machine.
    config |= {"file_mounts": {}, "idle_timeout_minutes": 0.1, "cluster_synced_files": []}
    config |= {key: [] for key in config if key.endswith("_commands")}
    config |= {"initialization_commands": [], "worker_setup_commands": [], "rsync_filter": []}
    return config


@contextmanager
def scaled(tmp_path: Path, provider: str = "FakeMachinesSpotFirst", *, no_spot: bool = False) -> Iterator[Scaled]:
    log = tmp_path / "launches"
    log.touch()
    config = configuration(log, provider, no_spot=no_spot)
    variables = {
        "RAY_FAKE_CLUSTER": "1",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        # What `ray up` sets, and what the fake machines of Ray ask for.
        "RAY_enable_autoscaler_v2": "1",
        "RAY_NODE_TYPE_NAME": config["head_node_type"],
        "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD_NODE_ID,
        "PYTHONPATH": str(ROOT),
    }
    with private_head(tmp_path, num_cpus=0, autoscaling=config, variables=variables) as head:
        yield Scaled(head, log)


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {_PATIENCE_S} s: {what}"
        time.sleep(0.5)


def submit(head: PrivateHead, *entrypoint: str) -> subprocess.CompletedProcess[str]:
    command = ["ray", "job", "submit", "--address", head.dashboard, "--working-dir", ".", "--", "python", *entrypoint]
    return subprocess.run(command, env=head.env, cwd=ROOT, capture_output=True, text=True, timeout=580, check=False)


def is_worker_raylet(pid: int, head: PrivateHead) -> bool:
    try:
        process = psutil.Process(pid)
        return process.name() == "raylet" and f"{head.temp_dir}/session_" not in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False


def trial_nodes(cluster: Scaled) -> set[str]:
    """Nodes of the processes of trials, ended ones included; one that was not needed any more has none."""
    actors = [actor for actor in cluster.ask("actors") if actor["class_name"] == "ImplicitFunc"]
    return {actor["node_id"] for actor in actors} - {None}


def test_a_sweep_gets_machines_and_gives_them_back(tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path / "tiny", epochs=1)
    with open(tiny.space, "a") as space:
        # Beyond the CPUs that machines without a GPU have, Ray would launch those with one.
        space.write("\n[run]\nmax_concurrent = 2\n")
    out = tmp_path / "out"
    with scaled(tmp_path) as cluster:
        assert cluster.workers() == {}
        done = submit(cluster.head, "jobs/sweep.py", "--space", str(tiny.space), "--out", str(out))
        assert done.returncode == 0, done.stdout + done.stderr
        records = [json.loads(file.read_text()) for file in (out / "runs").glob("*.json")]
        assert [record["status"] for record in records] == ["done"] * 6

        # What asks for CPUs alone gets no machine with a GPU.
        machines = cluster.workers()
        assert set(machines.values()) == {"cpu_worker"}
        assert {launch.split()[0] for launch in cluster.launches} == {"cpu_worker"}
        # The dashboard hears of actors a little later than the driver.
        wait_for(lambda: len(trial_nodes(cluster)) > 1, "two machines have had trials")
        assert trial_nodes(cluster) <= machines.keys()

        wait_for(lambda: not cluster.workers("ALIVE"), "the machines are given back")
        wait_for(lambda: not any(is_worker_raylet(pid, cluster.head) for pid in cluster.head.pids), "they have ended")


ASK_FOR_A_GPU = """
node = ray.remote(num_gpus=1)(lambda: ray.get_runtime_context().get_node_id()).remote()
print(*(ray.get(ref) for ref in ray.wait([node], timeout={timeout})[0]))
"""


@pytest.mark.parametrize("no_spot", [False, True], ids=["spot", "no spot"])
def test_a_gpu_comes_with_a_spot_machine_or_else_with_one_on_demand(tmp_path: Path, no_spot: bool) -> None:
    with scaled(tmp_path, no_spot=no_spot) as cluster:
        done = cluster.run(ASK_FOR_A_GPU.format(timeout=_PATIENCE_S))
        assert cluster.workers() == {done.stdout.strip(): "gpu_worker"}, done.stderr
        market = ["gpu_worker spot 1", "gpu_worker on-demand 1"]
        assert cluster.launches == (market if no_spot else market[:1])


def test_ray_alone_would_ask_for_a_spot_machine_forever(tmp_path: Path) -> None:
    """Should this fail after an update of Ray, `deploy/spot_first.py` may have become superfluous."""
    with scaled(tmp_path, "FakeMachines", no_spot=True) as cluster:
        done = cluster.run(ASK_FOR_A_GPU.format(timeout=20))
        assert (done.returncode, done.stdout) == (0, "\n"), done.stderr
        assert cluster.workers() == {}
        assert len(cluster.launches) > 1
        assert set(cluster.launches) == {"gpu_worker spot 1"}


def test_all_machines_of_a_lab_are_asked_to_join(tmp_path: Path) -> None:
    """By the autoscaler that docs/cluster.md says, the older one: the newer leaves a `local` cluster with its head."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "deploy/cluster-onprem.yaml").read_text())
    machines = ["127.0.0.2", "127.0.0.3"]
    assert len(machines) == len(config["provider"]["worker_ips"])
    config["provider"] |= {"head_ip": "127.0.0.1", "worker_ips": machines, "disable_node_updaters": True}
    config |= {"file_mounts": {}, "auth": {"ssh_user": "nobody"}}
    state = Path(tempfile.mkdtemp(prefix="ray-"))
    try:
        variables = {"AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_TMPDIR": str(state)}
        with private_head(tmp_path, num_cpus=0, autoscaling=prepare_config(config), variables=variables):
            file = state / "ray" / f"cluster-{config['cluster_name']}.state"
            wait_for(lambda: file.exists() and running(file) == {"127.0.0.1", *machines}, "all machines are asked")
    finally:
        shutil.rmtree(state)


def running(file: Path) -> set[str]:
    """Of the state that Ray keeps of a lab's machines."""
    text = file.read_text()
    # Ray writes it in place.
    return {name for name, node in json.loads(text).items() if node["state"] == "running"} if text else set()
