"""A prediction of a large volume on Ray, killed at random moments, against an undisturbed one: the same bytes.

The driver and everything that it has started get SIGKILL, each time after a random number of blocks; the same command
then goes on. Blocks that were marked must not be written again.

    python -m benchmarks.inference_kills [--gigavoxels G] [--kills K] [--seed S] [--work FOLDER]
"""

from __future__ import annotations

import argparse
import filecmp
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mtneuro_ray
from benchmarks.inference_rate import IMAGE, SMALL, SMALL_OPTIONS, alone, job_of, small_box, trained
from mtneuro_ray.progress import say
from mtneuro_ray.roi import Roi
from tests.ray_cluster import kill_with_descendants

_WORKERS = 2


def _command(out: Path, run_id: str, target: Path, box: Roi) -> list[str]:
    edges = ",".join(f"{low}:{high}" for low, high in box.ranges)
    window = ",".join(map(str, SMALL_OPTIONS.window or ()))
    command = [sys.executable, "-m", "mtneuro_ray", "predict", "--out", str(out), "--run", run_id, "--volume", IMAGE]
    command += ["--box", edges, "--to", f"zarr://{target}", "--overlap", str(SMALL_OPTIONS.overlap), "--window", window]
    return [*command, "--workers", str(_WORKERS), "--num-cpus", str(_WORKERS)]


def _marks(target: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (target / ".mtneuro" / "0").glob("z*")}


def _killed(command: list[str], target: Path, blocks: int, kills: int, seed: int) -> None:
    choose, marked = random.Random(seed), dict[str, int]()
    env = {**os.environ, "PYTHONPATH": os.getcwd()}
    for wanted in sorted(choose.sample(range(1, blocks), kills)):
        process = subprocess.Popen(command, env=env)
        while len(_marks(target)) < max(wanted, len(marked) + 1):
            if process.poll() is not None:
                raise SystemExit(f"the prediction ended with {process.returncode}")
            time.sleep(0.05)
        kill_with_descendants(process)
        found = _marks(target)
        again = [name for name, when in marked.items() if found.get(name) != when]
        print(f"killed after {len(found)} of {blocks} blocks; of those before, {len(again)} computed again", flush=True)
        marked = found
    started = time.perf_counter()
    subprocess.run(command, env=env, check=True)
    print(f"the rest, {blocks - len(marked)} blocks: {time.perf_counter() - started:.0f} s", flush=True)


def _differences(one: Path, other: Path) -> list[str]:
    names = [{str(path.relative_to(each)) for path in each.rglob("*") if path.is_file()} for each in (one, other)]
    _, *wrong = filecmp.cmpfiles(one, other, names[0] & names[1], shallow=False)
    return [*sorted(names[0] ^ names[1]), *(name for part in wrong for name in part)]


def _compared(work: Path, options: argparse.Namespace) -> int:
    out, box = work / "small", small_box(options.gigavoxels)
    record = next(iter(mtneuro_ray.Results(out).records), None) if out.exists() else None
    record = record or trained(*SMALL, out)
    undisturbed, killed = work / "undisturbed.zarr", work / "killed.zarr"
    alone(out, record.run_id, options.gigavoxels, undisturbed)
    blocks = len(list(job_of(record, out, killed, box, SMALL_OPTIONS).plan.blocks()))
    _killed(_command(out, record.run_id, killed, box), killed, blocks, options.kills, options.seed)
    different = _differences(undisturbed, killed)
    files = sum(path.is_file() for path in undisturbed.rglob("*"))
    print(f"files: {files}; different: {len(different)} {different[:5] if different else ''}", flush=True)
    return bool(different)


def main() -> int:
    """Print the kills and the comparison; 1 where a byte differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigavoxels", type=float, default=2.0)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="a folder that is kept; else a temporary one")
    options = parser.parse_args()
    if options.work:
        return _compared(options.work, options)
    with tempfile.TemporaryDirectory() as work:
        say("training a small network")
        return _compared(Path(work), options)


if __name__ == "__main__":
    sys.exit(main())
