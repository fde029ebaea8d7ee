"""Costs as a profile would write them, and the runs of a space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mtneuro_ray.capacity.costs import Cost
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.sweeps import load_sweep
from mtneuro_ray.sweep.experiment import Experiment


def cost(**changes: Any) -> Cost:
    """1 s a step, 0.1 s an image, 3 s to set up, 5 s for a process to start."""
    values = {
        "fits": True,
        "device": "cpu",
        "threads": 1,
        "device_bytes": 10**10,
        "torch": "2.0",
        "date": "2026-01-01",
        "base_bytes": 10**9,
        "peak_bytes": 10**9,
        "process_s": 5.0,
        "setup_s": 3.0,
        "step_s": 1.0,
        "image_s": 0.1,
        **changes,
    }
    return Cost.load(values, "cost")


def runs_of_space(space: Path | str) -> list[RunSettings]:
    _, entries = load_sweep(str(space))
    return [run for experiment in Experiment.of_entries(entries) for run in experiment.spread()]
