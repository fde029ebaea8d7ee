"""A sweep whose results, checkpoints and cutouts lie in a bucket, killed in the middle."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mtneuro_ray.cli.main import main
from mtneuro_ray.results import Results
from mtneuro_ray.results.printing import markdown
from mtneuro_ray.storage.folder import Folder
from tests.ray_cluster import environment, kill_with_descendants
from tests.s3_server import S3Server
from tests.tiny import Tiny, write_tiny

pytestmark = [pytest.mark.ray, pytest.mark.slow]

PATIENCE_S = 400


@pytest.fixture
def own_cluster() -> dict[str, str]:
    """An environment in which commands start clusters of their own."""
    return {**environment(), "RAY_TMPDIR": "/tmp", "PYTHONPATH": os.getcwd()}


def _command(tiny: Tiny, out: str) -> list[str]:
    command = [sys.executable, "-m", "mtneuro_ray.cli.main", "sweep", "--space", str(tiny.space), "--out", out]
    return [*command, "--num-cpus", "2"]


def _run_files(out: str) -> dict[str, bytes]:
    runs = Folder(out) / "runs"
    return {name: runs.read(name) for name in runs.list(".json")}


def test_killed_in_the_middle_and_started_again_ends_in_the_same_table(
    tmp_path: Path, s3: S3Server, own_cluster: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = write_tiny(tmp_path / "tiny", axes="axes.learning_rate = [0.01, 0.001]")
    here, there = str(tmp_path / "out"), s3.address(s3.new_bucket())
    first = subprocess.run(_command(tiny, here), env=own_cluster, capture_output=True, check=True)

    process = subprocess.Popen(_command(tiny, there), env=own_cluster, stderr=subprocess.PIPE)
    deadline = time.monotonic() + PATIENCE_S
    while len((Folder(there) / "runs").list(".json")) < 1:
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.1)
    kill_with_descendants(process)
    finished = _run_files(there)
    assert 1 <= len(finished) < 4
    assert Folder(there).exists("driver.json")

    second = subprocess.run(_command(tiny, there), env=own_cluster, capture_output=True, check=True)
    again = _run_files(there)
    assert len(again) == 4
    assert finished.items() <= again.items()
    assert markdown(Results(there).table()) == markdown(Results(here).table())
    told = [
        done.stdout.decode().replace(str(Folder(out) / "runs"), "") for done, out in ((second, there), (first, here))
    ]
    assert told[0] == told[1]
    assert not Folder(there).exists("driver.json")
    # Everything else that a folder is good for.
    for command in (["results", "best"], ["predict"], ["figures"], ["report"]):
        for out in (here, there):
            assert main([*command, "--out", out]) == 0, (command, capsys.readouterr().err)
        capsys.readouterr()
    assert len((Folder(there) / "figures").list(".png")) == len((Folder(here) / "figures").list(".png")) > 0
    assert b"<html" in Folder(there).read("report.html").lower()
