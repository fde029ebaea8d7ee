"""A Ray cluster of several nodes on this machine, each of which can be lost like a machine, with all that is on it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.ray_cluster import environment, free_ports

_HOST = "127.0.0.1"
# In the environment of every process of a fleet, and of one node of it; Ray's own processes inherit both.
_FLEET, _NODE = "MTNEURO_FAULTS_FLEET", "MTNEURO_FAULTS_NODE"
_START_S = 180.0
_END_S = 120.0
# A node that is gone refuses connections, and counts as lost after a few of these; one that is only slow does not.
_RAY = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "60000",
    "RAY_health_check_failure_threshold": "5",
    # A worker that nobody has asked for costs seconds of a core.
    "RAY_enable_worker_prestart": "0",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "10",
}
# Titles of Ray's own processes, the detached actors of Ray Data among them, which stay with the head; all others that
# it names belong to what runs on the cluster.
_OWN_TITLES = (
    *("ray::IDLE", "ray::SPILL", "ray::RESTORE", "ray::DashboardAgent", "ray::RuntimeEnvAgent"),
    *("ray::_StatsActor", "ray::_AutoscalingCoordinatorActor"),
)


@dataclass
class Node:
    """One `ray start`, and what it has started."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    temp_dir: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def is_up(self) -> bool:
        return "Ray runtime started." in self.log.read_text(errors="replace")


class Fleet:
    """A head without CPUs and workers with one each, on private ports and folders.

    Args:
        logs: Folder for the output of `ray start`.
        env: Further environment of every process.
        workers: Worker nodes at the start.
    """

    def __init__(self, logs: Path, env: dict[str, str], workers: int = 2) -> None:
        self._logs = logs
        self._mark = uuid.uuid4().hex
        token = secrets.token_hex(32)
        self.env = {**environment(token), **_RAY, **env, _FLEET: self._mark}
        [port] = free_ports(1)
        self.address = f"{_HOST}:{port}"
        self.workers: list[Node] = []
        self._started = 0
        self._port = port
        self.head = self._start("head")
        try:
            self._await(self.head)
            for _ in range(workers):
                self.add_worker()
            for node in self.workers:
                self._await(node)
        except BaseException:
            self.stop()
            raise

    def add_worker(self) -> Node:
        """Start another worker node; it joins when it is ready."""
        node = self._start(f"worker{self._started}")
        self.workers.append(node)
        return node

    def _start(self, name: str) -> Node:
        # Not below the logs: the path of a Unix socket holds 107 characters, and Ray's own part takes 64.
        temp_dir, log = Path(tempfile.mkdtemp(prefix="ray-")), self._logs / f"{self._mark[:6]}-{name}.log"
        agent, metrics, client = free_ports(3)
        where = ["--head", f"--port={self._port}", "--num-cpus=0", "--include-dashboard=false"]
        if name != "head":
            where = [f"--address={self.address}", "--num-cpus=1"]
        else:
            where.append(f"--ray-client-server-port={client}")
        command = [
            *("ray", "start", "--block", *where, f"--temp-dir={temp_dir}", f"--node-ip-address={_HOST}"),
            *(f"--dashboard-agent-listen-port={agent}", f"--metrics-export-port={metrics}"),
            *("--min-worker-port=0", "--max-worker-port=0", "--object-store-memory=100000000"),
            *("--disable-usage-stats", "--include-log-monitor=false"),
        ]
        mark = uuid.uuid4().hex
        with open(log, "wb") as output:
            process = subprocess.Popen(
                command,
                env={**self.env, _NODE: mark},
                cwd=temp_dir,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._started += 1
        return Node(name, process, log, temp_dir, mark)

    def _await(self, node: Node) -> None:
        deadline = time.monotonic() + _START_S
        while not node.is_up:
            if node.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{node.name} did not start:\n{node.log.read_text(errors='replace')}")
            time.sleep(0.1)

    def processes(self, node: Node | None = None) -> list[psutil.Process]:
        """What runs of the fleet, drivers included, or on one node."""
        name, value = (_FLEET, self._mark) if node is None else (_NODE, node.mark)
        found = []
        for process in psutil.process_iter():
            try:
                # A process that has ended and was not asked for its status has no environment.
                if process.environ().get(name) == value:
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def titled(self, start: str, node: Node | None = None) -> list[psutil.Process]:
        """Ray's workers whose title begins so."""
        return [process for process in self.processes(node) if _title(process).startswith(start)]

    def at_work(self) -> list[str]:
        """Titles of workers that hold an actor or run a task."""
        titles = map(_title, self.processes())
        return [title for title in titles if title.startswith("ray::") and not title.startswith(_OWN_TITLES)]

    def kill(self, node: Node) -> int:
        """Take a machine away: SIGKILL to all of its processes, and its disk. Tells how many they were."""
        killed: set[int] = set()
        # What a worker was starting in this moment is found in the next round.
        while processes := self.processes(node):
            for process in processes:
                _send(process, signal.SIGKILL)
                killed.add(process.pid)
            node.process.poll()
            psutil.wait_procs(processes, timeout=1)
        node.process.wait()
        shutil.rmtree(node.temp_dir, ignore_errors=True)
        if node in self.workers:
            self.workers.remove(node)
        return len(killed)

    def stop(self) -> list[str]:
        """End the fleet as its owner would, and tell what did not end; that is killed."""
        deadline = time.monotonic() + _END_S
        # The head last: it waits for the others.
        for nodes in (self.workers, [self.head]):
            for node in nodes:
                if node.process.poll() is None:
                    node.process.terminate()
            while any(node.process.poll() is None for node in nodes) and time.monotonic() < deadline:
                time.sleep(0.2)
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.2)
        told = [f"{process.pid} {_title(process)}" for process in left]
        for process in left:
            _send(process, signal.SIGKILL)
        for node in (*self.workers, self.head):
            node.process.wait()
            shutil.rmtree(node.temp_dir, ignore_errors=True)
        return told


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[:80]
    except (psutil.Error, OSError):
        return ""


def _send(process: psutil.Process, kind: signal.Signals) -> None:
    try:
        if process.pid != os.getpid():
            process.send_signal(kind)
    except psutil.NoSuchProcess:
        return
