"""Whole volumes on Ray Data: killed at any time, and the same bytes as one process."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mtneuro_ray.cli.main import main
from tests.ray_cluster import kill_with_descendants
from tests.tiny import write_tiny

pytestmark = pytest.mark.ray


def _marks(target: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (target / ".mtneuro" / "0").glob("z*")}


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_killed_three_times_on_ray_the_bytes_are_those_of_one_process(tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path / "tiny", name="t", epochs=1)
    out, volume = tmp_path / "out", tmp_path / "volume.npy"
    where = ["--task", str(tiny.task), "--network", str(tiny.network), "--store", str(out / "store")]
    assert main(["train", *where, "--workers", "0", "--out", str(out)]) == 0
    np.save(volume, np.random.default_rng(0).integers(0, 256, (96, 256, 512), np.uint8))
    asked = ["predict", "--out", str(out), "--volume", f"file:{volume}", "--block", "8,256,256", "--flips"]
    assert main([*asked, "--to", f"zarr://{tmp_path}/alone.zarr", "--workers", "0"]) == 0

    target, choose = tmp_path / "ray.zarr", random.Random(1)
    command = [sys.executable, "-m", "mtneuro_ray.cli.main", *asked, "--to", f"zarr://{target}"]
    command += ["--workers", "2", "--num-cpus", "2"]
    env = {**os.environ, "RAY_TMPDIR": "/tmp", "PYTHONPATH": os.getcwd()}
    marked: dict[str, int] = {}
    for _ in range(3):
        process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE)
        wanted, deadline = len(marked) + choose.randint(1, 3), time.monotonic() + 180
        while len(_marks(target)) < wanted:
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            assert time.monotonic() < deadline
            time.sleep(0.02)
        kill_with_descendants(process)
        found = _marks(target)
        # What was finished is not computed again.
        assert found.items() >= marked.items()
        marked = found
    assert len(marked) < 24
    subprocess.run(command, env=env, capture_output=True, check=True)
    assert _contents(target) == _contents(tmp_path / "alone.zarr")


@pytest.mark.slow
def test_an_error_on_ray_is_one_line(tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path / "tiny", name="t", epochs=1)
    out = tmp_path / "out"
    where = ["--task", str(tiny.task), "--network", str(tiny.network), "--store", str(out / "store")]
    assert main(["train", *where, "--workers", "0", "--out", str(out)]) == 0
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(tmp_path / "v", shape=(24, 40, 80), chunks=(8, 40, 80), dtype="u1")
    array.attrs["_ARRAY_DIMENSIONS"] = ["z", "y", "x"]
    array[:] = np.load(tiny.image)
    command = [sys.executable, "-m", "mtneuro_ray.cli.main", "predict", "--out", str(out), "--workers", "2"]
    command += ["--volume", f"zarr://{tmp_path}/v", "--to", f"zarr://{tmp_path}/p", "--num-cpus", "2"]
    (tmp_path / "v" / "c" / "1" / "0" / "0").write_bytes(b"damaged")
    env = {**os.environ, "RAY_TMPDIR": "/tmp", "PYTHONPATH": os.getcwd()}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert (done.returncode, len(errors)) == (1, 1), done.stderr
    assert f"zarr://{tmp_path}/v" in errors[0]
    assert "Traceback" not in done.stderr
