"""Schedules of faults, each against the undisturbed sweep; `python -m tests.faults` runs more of them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.ray_cluster import ROOT

pytestmark = pytest.mark.ray


def run(*options: str) -> str:
    command = [sys.executable, "-m", "tests.faults", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_sweep_that_loses_its_driver_and_a_worker_ends_in_the_same_table() -> None:
    told = run("--schedules=1", "--kinds=worker,driver", "--first-seed=1")
    assert "seed 1: ok" in told
    assert "1 schedules from seed 1, 0 failed" in told


@pytest.mark.slow
def test_sweeps_under_every_kind_of_fault_end_in_the_same_table() -> None:
    told = run("--schedules=3", "--first-seed=108")
    assert told.count(": ok, ") == 4
