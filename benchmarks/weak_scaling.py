"""Weak scaling: the same work for each raylet of one core, on one raylet and on more.

A head without CPUs, as in cluster.yaml, and worker raylets that are `ray start` processes of their own, each with one
CPU and pinned to one core. Ingest reads from a BossDB on loopback that answers late; the sweep trains candidates of
equal
cost. Sizes take turns in every round, each on a cluster of its own; medians, and the efficiency t(1) / t(N).

    python -m benchmarks.weak_scaling [--raylets 1 2 4] [--boxes B] [--trials T] [--epochs E] [--rounds R]

Head, driver and BossDB run on the cores that no raylet has, and where none is left beside the raylets; then the
efficiency is that of the machine, too, and less than a cluster's.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import secrets
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
import ray

from benchmarks.cluster_model import MEASURED
from benchmarks.cluster_simulation import Cluster, Trial, Work, in_turn, simulate
from benchmarks.loopback import SIDE, URI, Loopback, loopback_boss
from mtneuro_ray.cluster.connect import connected
from mtneuro_ray.cluster.driver import Where, sweep
from mtneuro_ray.cluster.ray_data import fetch_all
from mtneuro_ray.config.sweeps import load_sweep
from mtneuro_ray.data.ingest import Cutout
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.errors import MTNeuroError
from mtneuro_ray.results import Results
from mtneuro_ray.roi import Roi
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.volumes.bossdb import BossSettings, BossSource
from tests.ray_cluster import PrivateHead, free_ports, private_head
from tests.tiny import write_tiny

_BOX = (2, SIDE, SIDE)
_WARM_BOXES = 16
_PATIENCE_S = 600.0
_ROWS = {
    "nodes up": "start-up: until every raylet has joined",
    "ingest": "ingest",
    "first trial": "start-up: from the sweep's call to its first trial",
    "trial": "a trial itself, median",
    "sweep": "sweep, from its first trial to its last",
    "model": "the same, as `cluster_model` has it from the trials themselves",
}


def _start_raylet(head: PrivateHead, folder: Path, number: int, core: int) -> None:
    """A worker raylet on one core; whatever it starts stays there. It ends with the head."""
    agent, metrics = free_ports(2)
    command = [
        *("taskset", "-c", str(core), "ray", "start", "--block", f"--address={head.address}"),
        # Of two that start at the same time in one session folder the second never joins.
        f"--temp-dir={head.temp_dir}/{number}",
        *("--num-cpus=1", "--node-ip-address=127.0.0.1", "--object-store-memory=200000000"),
        *(f"--dashboard-agent-listen-port={agent}", f"--metrics-export-port={metrics}"),
        *("--min-worker-port=0", "--max-worker-port=0", "--disable-usage-stats"),
    ]
    with open(folder / f"raylet-{number}.log", "wb") as output:
        subprocess.Popen(command, env=head.env, cwd=folder, stdout=output, stderr=output, start_new_session=True)


def _join(stack: ExitStack, address: str) -> None:
    """Join a cluster; the head of a machine that is busy may not answer at first."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            stack.enter_context(connected(address))
            return
        except MTNeuroError:
            if time.monotonic() > deadline:
                raise


def _await_cpus(count: int) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while ray.cluster_resources().get("CPU", 0) < count:  # type: ignore[no-untyped-call]
        if time.monotonic() > deadline:
            raise RuntimeError(f"{count} raylets did not join within {_PATIENCE_S:.0f} s")
        time.sleep(0.1)


def _ingest(host: str, folder: Path, boxes: int) -> float:
    source = BossSource(URI, BossSettings(host, "http"))
    cutouts = [Cutout(source, roi) for roi in Roi((0, boxes * _BOX[0]), (0, SIDE), (0, SIDE)).split(_BOX)]
    store = CutoutStore(Folder(folder))
    began = time.perf_counter()
    fetch_all(store, cutouts, lambda num_bytes: None)
    return time.perf_counter() - began


def _sweep(folder: Path, candidates: int, epochs: int) -> tuple[float, float, list[float]]:
    """Seconds to the first candidate's start, from there to the last one's end, and of each, in order."""
    # All small, so that none diverges: the cost is the same, and nobody looks at the numbers.
    rates = ", ".join(f"{0.001 + 1e-5 * number:.5f}" for number in range(candidates))
    tiny = write_tiny(folder / "tiny", axes=f"axes.learning_rate = [{rates}]", epochs=epochs)
    tiny.space.write_text(tiny.space.read_text().replace("seeds = [1, 100]", "seeds = [1]"))
    space, entries = load_sweep(str(tiny.space))
    out = Folder(folder / "out")
    began = time.time()
    problems = sweep(entries, space.run, Where(CutoutStore(out / "store"), out))
    assert not problems, problems
    records = [record for record in Results(out).records if record.summary["role"] == "candidate"]
    assert len(records) == candidates
    ends = [(folder / "out" / "runs" / f"{record.run_id}.json").stat().st_mtime for record in records]
    own = [record.timings["total_s"] for record in records]
    starts = [end - seconds for end, seconds in zip(ends, own, strict=True)]
    return (
        min(starts) - began,
        max(ends) - min(starts),
        [seconds for _, seconds in sorted(zip(starts, own, strict=True))],
    )


@dataclass(frozen=True, slots=True)
class _Work:
    """What each raylet gets."""

    boxes: int
    trials: int
    epochs: int


def _drive(address: str, host: str, folder: Path, raylets: int, work: _Work) -> dict[str, float]:
    """Join a cluster and measure; in a process of its own, as Ray reads the token of a cluster once a process."""
    with ExitStack() as stack:
        _join(stack, address)
        _await_cpus(raylets)
        joined = time.time()
        # Uncounted: the workers of Ray Data start, and import what they need.
        _ingest(host, folder / "warm", _WARM_BOXES * raylets)
        ingest = _ingest(host, folder / "store", work.boxes * raylets)
        first, whole, own = _sweep(folder, work.trials * raylets, work.epochs)
    model = simulate(
        Work(release=in_turn([[Trial(seconds) for seconds in own]])), Cluster(raylets, up=raylets), MEASURED
    )
    return {
        **{"nodes up": joined, "ingest": ingest, "first trial": first},
        **{"trial": statistics.median(own), "sweep": whole, "model": model.total_s},
    }


def _measure(raylets: int, work: _Work, boss: Loopback, token: str) -> dict[str, float]:
    """Seconds of each part on a cluster of `raylets`."""
    cores = sorted(os.sched_getaffinity(0))
    began = time.time()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with private_head(folder, num_cpus=0, token=token) as head:
            for number in range(raylets):
                _start_raylet(head, folder, number, cores[number % len(cores)])
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as driver:
                measured = driver.submit(_drive, head.address, boss.host, folder, raylets, work).result()
    asked, needed = boss.asked(), (_WARM_BOXES + work.boxes) * raylets * math.prod(_BOX)
    assert asked == needed, f"{asked} voxels were asked for, {needed} needed"
    return {**measured, "nodes up": measured["nodes up"] - began}


def table(rounds: Mapping[int, list[dict[str, float]]]) -> str:
    """Medians over the rounds of each size, and the efficiency of each beside the first."""
    sizes = list(rounds)
    medians = {
        size: {part: statistics.median(each[part] for each in measured) for part in _ROWS}
        for size, measured in rounds.items()
    }
    heads = [*(f"{size} raylets, s" for size in sizes), *(f"efficiency of {size}" for size in sizes[1:])]
    lines = [f"| | {' | '.join(heads)} |", f"|---{'|---' * len(heads)}|"]
    for part, label in _ROWS.items():
        candidates = [f"{medians[size][part]:.2f}" for size in sizes]
        for size in sizes[1:]:
            spread = [one[part] / other[part] for one, other in zip(rounds[sizes[0]], rounds[size], strict=True)]
            share = medians[sizes[0]][part] / medians[size][part]
            candidates.append(f"{share:.2f} ({min(spread):.2f} to {max(spread):.2f})")
        lines.append(f"| {label} | {' | '.join(candidates)} |")
    return "\n".join(lines)


def _load() -> str:
    return f"load averages {', '.join(f'{value:.2f}' for value in os.getloadavg())}"


def main() -> None:
    """Print each round, and a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raylets", type=int, nargs="+", default=[1, 2], help="sizes, the first is compared with")
    parser.add_argument("--boxes", type=int, default=512, help="boxes of 2 x 256 x 256 for each raylet")
    parser.add_argument("--latency", type=float, default=0.02, help="seconds that BossDB holds an answer back")
    parser.add_argument("--trials", type=int, default=8, help="candidates for each raylet")
    parser.add_argument("--epochs", type=int, default=100, help="of each candidate, a few hundredths of a second each")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    token = secrets.token_hex(32)
    # For the drivers, which inherit it.
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token)
    work = _Work(options.boxes, options.trials, options.epochs)
    print(f"{psutil.cpu_count()} cores, {_load()}")
    rounds: dict[int, list[dict[str, float]]] = {size: [] for size in options.raylets}
    with loopback_boss(_BOX[0] * max(options.boxes, _WARM_BOXES) * max(options.raylets), options.latency) as boss:
        for number in range(options.rounds):
            for size, measured in rounds.items():
                measured.append(_measure(size, work, boss, token))
                parts = ", ".join(f"{part} {seconds:.2f} s" for part, seconds in measured[-1].items())
                print(f"round {number + 1}, {size} raylets: {parts}; {_load()}", flush=True)
    print(f"\n{options.boxes} boxes and {options.trials} candidates of {options.epochs} epochs for each raylet\n")
    print(table(rounds))


if __name__ == "__main__":
    main()
