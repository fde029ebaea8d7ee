"""Joining a running cluster or keeping apart from it, each in a process of its own: Ray reads a token only once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ray_cluster import ROOT, PrivateHead, environment

pytestmark = pytest.mark.ray

TELL = """
import sys
import ray
from mtneuro_ray.errors import MTNeuroError
from mtneuro_ray.cluster.connect import connected
try:
    with connected(sys.argv[1] or None, num_cpus=1):
        print(ray.get_runtime_context().gcs_address.rpartition(":")[2])
except MTNeuroError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(error.exit_status)
"""


def complaints(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Lines on stderr but for those that say what takes long."""
    return [line for line in done.stderr.splitlines() if not line.startswith(("starting Ray", "joining the Ray"))]


def tell(env: dict[str, str], home: Path, address: str = "") -> subprocess.CompletedProcess[str]:
    """Connect, and print the port of the cluster that it became. The home holds no token of whoever runs this."""
    command = [sys.executable, "-c", TELL, address]
    env = env | {"HOME": str(home)}
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def port(address: str) -> str:
    return address.rpartition(":")[2]


@pytest.mark.parametrize("by", ["argument", "environment"])
def test_a_running_cluster_is_joined(head: PrivateHead, tmp_path: Path, by: str) -> None:
    if by == "argument":
        done = tell(head.env, tmp_path, head.address)
    else:
        done = tell(head.env | {"RAY_ADDRESS": head.address}, tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, port(head.address)), done.stderr
    assert complaints(done) == []


def test_the_token_may_be_in_a_file(head: PrivateHead, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(head.token + "\n")
    done = tell(environment() | {"RAY_AUTH_TOKEN_PATH": str(file)}, tmp_path, head.address)
    assert (done.returncode, done.stdout.strip()) == (0, port(head.address)), done.stderr


def without_mode(env: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name != "RAY_AUTH_MODE"}


def test_without_the_token_one_line_says_what_to_set(head: PrivateHead, tmp_path: Path) -> None:
    refused = f"error: Ray cluster {head.address}: refuses this token; accepted: RAY_AUTH_MODE=token with "
    none = (
        f"error: Ray cluster {head.address}: requires a token, and there is none; accepted: RAY_AUTH_MODE=token with "
    )
    for env, expected in (
        (environment("0" * 64), refused),
        (environment(), none),
        (without_mode(head.env), none),
        (head.env | {"RAY_AUTH_MODE": "disabled"}, none),
    ):
        done = tell(env, tmp_path, head.address)
        assert done.returncode == 1
        [line] = done.stderr.splitlines()
        assert line.startswith(expected)


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("127.0.0.1:1", "does not answer"),
        ("http://127.0.0.1:8265", "is not HOST:PORT"),
        ("nowhere", "is not HOST:PORT"),
    ],
)
def test_an_address_without_a_cluster_is_one_line(tmp_path: Path, address: str, problem: str) -> None:
    done = tell(environment("0" * 64), tmp_path, address)
    assert done.returncode != 0
    [line] = done.stderr.splitlines()
    assert address in line
    assert problem in line


def test_a_token_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = tell(environment() | {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "none")}, tmp_path)
    [line] = done.stderr.splitlines()
    assert line.startswith(f"error: RAY_AUTH_TOKEN_PATH: {tmp_path / 'none'}: ")


def test_a_local_cluster_joins_nobody_and_leaves_the_home_alone(head: PrivateHead, tmp_path: Path) -> None:
    env = without_mode(environment()) | {"RAY_ADDRESS": head.address}
    done = tell(env, tmp_path, "local")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() != port(head.address)
    assert complaints(done) == []
    assert os.listdir(tmp_path) == []


def test_more_workers_than_this_machine_has_room_for_are_refused(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "mtneuro_ray.cli.main",
        "train",
        "--task",
        "task1",
        "--network",
        "SUP_ResNet-18_2D",
    ]
    scale = ["--volume", "phantom", "--preset", "smoke", "--num-cpus", "1", "--workers", "2", "--out", str(tmp_path)]
    refused = subprocess.run(
        [*command, *scale], env=environment(None), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert refused.returncode == 2
    assert complaints(refused) == [
        "error: Ray on this machine: 2 CPU are needed, it has 1; accepted: fewer or smaller workers, or --address of a "
        "larger cluster"
    ]
