from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.cluster_model import Assumed, Benchmark, rate
from mtneuro_ray.config.loading import load_task
from mtneuro_ray.data.sampling import describe

ROOT = Path(__file__).parents[2]
TASK1, TASK2 = ROOT / "tune_spaces/task1/all.toml", ROOT / "tune_spaces/task2/all.toml"


def test_the_runs_are_those_of_the_tune_spaces() -> None:
    jobs = Benchmark.of([TASK2, TASK1]).jobs
    # 12 grids of 25 candidates and 6 of 5 in Task 2, and mixup's 5 probabilities with 5 seeds each.
    assert len(jobs["search"]) == 12 * 25 + 6 * 5 + 25
    # Five seeds of 18 pairs and of 40 settings; ROI-C2 has the weights of ROI-C1, and mixup's candidates over seeds
    # have left theirs: these are only evaluated.
    assert len(jobs["repeat"]) + len(jobs["evaluate"]) == 5 * (18 + 40)
    assert len(jobs["evaluate"]) >= 5 * 8
    assert all(job.trains == (stage != "evaluate") for stage, each in jobs.items() for job in each)
    assert {job.run.role for job in jobs["search"]} == {"candidate"}
    assert {job.run.role for stage in ("repeat", "evaluate") for job in jobs[stage]} == {"final"}


def test_a_voxel_is_read_once_whatever_tasks_share_it() -> None:
    alone = Benchmark.of([ROOT / "tune_spaces/task2/unet_2d.toml"])
    task, _ = load_task("task2_2D_3class")
    # The 3-class task has the cubes of the 4-class task, and one region more.
    assert sum(map(sum, alone.readings)) == describe(task, [1, 8])["voxels"]


def test_seconds_are_images_by_their_rate() -> None:
    [*_, job] = Benchmark.of([ROOT / "tune_spaces/task2/unet_2d.toml"]).jobs["repeat"]
    # 807 images for 20 epochs, 87 validated after each, 150 tested; a forward pass is a third of a step.
    images = 20 * 807 + (20 * 87 + 150) / 3
    # 4.29 images of half the side.
    assert rate(job.run, Assumed(gpu_factor=100.0)) == pytest.approx(429.0 / 4)
    assert job.seconds(Assumed(gpu_factor=100.0)) == pytest.approx(images / (429.0 / 4))
