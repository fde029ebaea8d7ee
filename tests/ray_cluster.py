"""A Ray head node of a test's own: private ports, folder and token, and nothing left behind."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
# Ray itself puts the address of the machine in its place; the dashboard stays on it.
_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class PrivateHead:
    """A running head node.

    Attributes:
        address: Of its GCS, for `--address` and RAY_ADDRESS.
        dashboard: URL that `ray job submit --address` takes.
        token: What its clients must show.
        env: Environment for subprocesses that may talk to it.
        temp_dir: Of its sessions and logs; every process that Ray starts has it in its arguments or environment.
    """

    address: str
    dashboard: str
    token: str
    env: dict[str, str]
    temp_dir: Path

    @property
    def pids(self) -> list[int]:
        """Processes of this head that run now, drivers of its jobs included."""
        return [process.pid for process in _processes(self)]


def environment(token: str | None = None) -> dict[str, str]:
    """This environment without a trace of another cluster, with a token if one is given.

    Without one, Ray is told to use authentication all the same, and to look for the token where there is none.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    # `ray` and `python` of the environment that runs the tests, whichever is first on the path outside.
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", "")])
    env["RAY_AUTH_MODE"] = "token"
    env["RAY_USAGE_STATS_ENABLED"] = "0"
    if token is not None:
        env["RAY_AUTH_TOKEN"] = token
    return env


@contextmanager
def private_head(
    tmp_path: Path,
    num_cpus: int = 2,
    token: str | None = None,
    *,
    autoscaling: Mapping[str, Any] | None = None,
    variables: Mapping[str, str] | None = None,
) -> Iterator[PrivateHead]:
    """Start a head node with token authentication, and end every process of it with the body, however that ends.

    Args:
        tmp_path: Folder for its output.
        num_cpus: CPUs that it offers.
        token: Of its clients; a random one by default.
        autoscaling: Configuration of an autoscaler, whose provider is told the head's address as `gcs_address`, and its
            `temp_dir`.
        variables: Further environment of the head, and of the subprocesses that may talk to it.
    """
    token = token or secrets.token_hex(32)
    with ExitStack() as stack:
        # Not below tmp_path: the path of a Unix socket holds 107 characters, and Ray's own part takes 64.
        temp_dir = Path(tempfile.mkdtemp(prefix="ray-"))
        stack.callback(shutil.rmtree, temp_dir, ignore_errors=True)
        port, dashboard, client, agent, metrics = free_ports(5)
        env = environment(token) | dict(variables or {})
        head = PrivateHead(f"{_HOST}:{port}", f"http://{_HOST}:{dashboard}", token, env, temp_dir)
        stack.callback(_stop, head)
        command = [
            *("ray", "start", "--head", "--block", f"--num-cpus={num_cpus}", f"--temp-dir={temp_dir}"),
            *(f"--node-ip-address={_HOST}", f"--port={port}"),
            *(f"--dashboard-host={_HOST}", f"--dashboard-port={dashboard}"),
            *(f"--dashboard-agent-listen-port={agent}", f"--metrics-export-port={metrics}"),
            *(f"--ray-client-server-port={client}", "--min-worker-port=0", "--max-worker-port=0"),
            *("--object-store-memory=200000000", "--disable-usage-stats"),
        ]
        if autoscaling is not None:
            config = tmp_path / "autoscaling.json"
            provider = {**autoscaling["provider"], "gcs_address": head.address, "temp_dir": str(temp_dir)}
            config.write_text(json.dumps({**autoscaling, "provider": provider}))
            command.append(f"--autoscaling-config={config}")
        log = tmp_path / "ray-start.log"
        with open(log, "wb") as output:
            process = subprocess.Popen(
                command, env=head.env, cwd=tmp_path, stdout=output, stderr=output, start_new_session=True
            )
        _await(head, process, log)
        yield head


def kill_with_descendants(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL a driver and everything it has started, Ray's daemons too, which leave its process group."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        member.send_signal(signal.SIGKILL)
    psutil.wait_procs(family, timeout=20)


def free_ports(count: int) -> list[int]:
    """Ports that are free now; held open together, so that they differ."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(closing(socket.socket())) for _ in range(count)]
        for each in sockets:
            each.bind((_HOST, 0))
        return [each.getsockname()[1] for each in sockets]


def _await(head: PrivateHead, process: subprocess.Popen[bytes], log: Path, patience: float = 90.0) -> None:
    """Wait until jobs are accepted."""
    request = urllib.request.Request(f"{head.dashboard}/api/jobs/", headers={"Authorization": f"Bearer {head.token}"})
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(request, timeout=10):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    raise RuntimeError(f"no Ray head within {patience} s:\n{log.read_text(errors='replace')}")


def _processes(head: PrivateHead) -> list[psutil.Process]:
    marks = (str(head.temp_dir), head.address)
    found = []
    for process in psutil.process_iter():
        try:
            text = " ".join([*process.cmdline(), *process.environ().values()])
        except (psutil.Error, OSError):
            continue
        if process.pid != os.getpid() and any(mark in text for mark in marks):
            found.append(process)
    return found


def _stop(head: PrivateHead) -> None:
    """Ask, then insist, until no process is left; killed workers may have started others meanwhile."""
    for kind in (signal.SIGTERM, signal.SIGKILL, signal.SIGKILL):
        processes = _processes(head)
        for process in processes:
            try:
                process.send_signal(kind)
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(processes, timeout=5)
