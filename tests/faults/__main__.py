"""Run schedules of faults: `python -m tests.faults --schedules 20 --first-seed 0 --log FILE`."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

_NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]
_INSIDE = "MTNEURO_FAULTS_NAMESPACE"
# What a sweep of the tiny task leaves is a tenth of it.
_DISK = "64m"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--schedules", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--kinds", help="only these faults, by commas: worker,raylet,driver,head,disk,source")
    parser.add_argument("--workers", type=int, default=2, help="worker raylets")
    parser.add_argument("--log", type=Path, help="file that the lines are appended to")
    parser.add_argument("--keep", type=Path, help="folder for the output of clusters and submissions that failed")
    return parser.parse_args()


@contextmanager
def _disk(folder: Path, can_mount: bool) -> Iterator[Path]:
    """A folder, if possible a small file system of its own, which goes with the body."""
    folder.mkdir()
    if not can_mount:
        yield folder
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """End as any error would, that is with all clusters, however often it is asked for."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(143)


def _may_unshare() -> bool:
    if shutil.which(_NAMESPACE[0]) is None:
        return False
    return subprocess.run([*_NAMESPACE, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0


def main() -> int:
    """Run the schedules; 1 where one of them shows a violation."""
    options = _options()
    if _INSIDE not in os.environ and _may_unshare():
        # Every process of a cluster has to see the small disk, and nobody else.
        os.environ[_INSIDE] = "1"
        os.execvp(_NAMESPACE[0], [*_NAMESPACE, sys.executable, "-m", "tests.faults", *sys.argv[1:]])
    can_mount = _INSIDE in os.environ

    signal.signal(signal.SIGTERM, _end)
    from tests.faults.bench import bench
    from tests.faults.harness import Report, run_schedule
    from tests.faults.schedule import KINDS, draw

    def tell(text: str) -> None:
        print(text, flush=True)
        if options.log:
            with open(options.log, "a") as stream:
                print(text, file=stream)

    chosen = options.kinds.split(",") if options.kinds else KINDS
    kinds = tuple(kind for kind in KINDS if kind in chosen and (can_mount or kind != "disk"))
    if not can_mount:
        tell("no user and mount namespaces here: no disk is filled")
    failed = 0
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="faults-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        shared = stack.enter_context(bench(folder, options.workers))
        for seed in (None, *range(options.first_seed, options.first_seed + options.schedules)):
            faults = [] if seed is None else draw(seed, kinds)
            work = folder / f"schedule-{seed}"
            with _disk(folder / f"disk-{seed}", can_mount) as disk:
                report: Report = run_schedule(shared, work, disk, faults)
            if seed is not None and not report.hits:
                report.violations.append("no fault hit anything")
            name = "undisturbed" if seed is None else f"seed {seed}"
            tell(f"{name}: {'FAILED' if report.violations else 'ok'}, {report.seconds:.0f} s")
            for label, lines in (
                ("hit", report.hits),
                ("missed", report.missed),
                ("submission", report.submissions),
                ("VIOLATION", report.violations),
            ):
                for line in lines:
                    tell(f"  {label}: {line}")
            if report.resumed:
                tell(f"  {report.resumed} runs were finished by a process that went on from a checkpoint")
            failed += bool(report.violations)
            if report.violations and options.keep:
                shutil.copytree(work, options.keep / work.name, dirs_exist_ok=True)
            if seed is None and failed:
                break
    tell(f"{options.schedules} schedules from seed {options.first_seed}, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
