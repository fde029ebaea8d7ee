"""Joining and starting clusters: what a local one shows to others, and how it ends."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from ipaddress import ip_address
from pathlib import Path

import psutil
import pytest
import ray

from mtneuro_ray.cluster import connect
from mtneuro_ray.errors import MTNeuroError
from mtneuro_ray.storage.folder import Folder
from tests.ray_cluster import environment, kill_with_descendants
from tests.tiny import write_tiny

PATIENCE_S = 300.0


# In a process that has not imported ray before: a test module has.
LISTEN = """
import psutil
from mtneuro_ray.cluster.connect import connected
import ray
with connected("local", num_cpus=1):
    ray.get(ray.remote(lambda: None).remote())
    here = psutil.Process()
    for process in (here, *here.children(recursive=True)):
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                print(connection.laddr.ip)
"""


@pytest.mark.ray
@pytest.mark.slow
def test_a_local_cluster_listens_on_loopback_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LISTEN], env=_own_cluster(), capture_output=True, text=True, check=True
    )
    addresses = [ip_address(line) for line in done.stdout.split()]
    assert len(addresses) > 5
    assert [one for one in addresses if not (getattr(one, "ipv4_mapped", None) or one).is_loopback] == []


def _own_cluster() -> dict[str, str]:
    return {**environment(), "RAY_TMPDIR": "/tmp", "PYTHONPATH": os.getcwd()}


def test_the_private_folder_is_the_same_each_time_and_closed_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as base:
        monkeypatch.setenv("RAY_TMPDIR", base)
        folder = Path(connect.private_folder())
        assert folder == Path(connect.private_folder()) == Path(base, f"mtneuro-{os.getuid()}", "ray")
        assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
        # Opened by hand, or made by somebody who knew its name.
        folder.parent.chmod(0o755)
        other = Path(connect.private_folder())
        assert other != folder
        assert stat.S_IMODE(other.parent.stat().st_mode) == 0o700
        folder.parent.rmdir()
        folder.parent.symlink_to("/tmp")
        assert Path(connect.private_folder()).parent not in (folder.parent, other.parent)


def test_a_folder_whose_sockets_would_have_too_long_a_path_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/tmp/" + "x" * 60)
    root, temporary, own, *_ = Path(connect.private_folder()).parts
    assert (root, temporary, own[:8]) == ("/", "tmp", "mtneuro-")
    assert not Path("/tmp/" + "x" * 60).exists()


def test_ray_that_does_not_start_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(**options: object) -> None:
        raise Exception("The current node timed out during startup.\nThis could happen")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", never)
    with pytest.raises(MTNeuroError) as caught, connect.connected("local"):
        pytest.fail("started")
    assert str(caught.value) == (
        "Ray on this machine: does not start: The current node timed out during startup. This could happen; accepted: "
        "the same command again, on a machine with free processors and memory"
    )


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("command", ["sweep", "train"])
def test_sigterm_ends_a_command_as_ctrl_c_does(tmp_path: Path, command: str) -> None:
    """As Slurm, Kubernetes and systemd end what runs under them."""
    tiny, out = write_tiny(tmp_path / "tiny", epochs=3000), tmp_path / "out"
    what = {
        "sweep": ["--space", str(tiny.space)],
        "train": ["--task", str(tiny.task), "--network", str(tiny.network)],
    }[command]
    process = subprocess.Popen(
        [sys.executable, "-m", "mtneuro_ray", command, *what, "--num-cpus", "2", "--out", str(out)],
        env=_own_cluster(),
        stderr=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not list(out.glob("checkpoints/*/last.pt")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        told = process.communicate(timeout=PATIENCE_S)[1].decode()
        assert process.returncode == 143
        assert told.endswith("terminated; the same command goes on where this one stopped\n")
        assert "Traceback" not in told
        assert not Folder(out).exists("driver.json")
        assert psutil.wait_procs(children, timeout=PATIENCE_S)[1] == []
    finally:
        if process.poll() is None:
            kill_with_descendants(process)
