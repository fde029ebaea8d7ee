from __future__ import annotations

import heapq
from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtneuro_ray.capacity.costs import CostTable, Workload
from mtneuro_ray.capacity.estimate import (
    Estimator,
    Job,
    Machines,
    Stage,
    longest_first,
    makespan,
    seconds_of,
    stages_of,
)
from mtneuro_ray.config.loading import load_sweep
from mtneuro_ray.config.space import ResourceSettings
from mtneuro_ray.errors import InputError
from mtneuro_ray.sweep.search import Search
from tests.costs import cost, runs_of_space
from tests.settings import run_settings
from tests.tiny import write_tiny

# Sixteenths are exact in floats, so sums compare equal whatever their order.
SECONDS = st.integers(1, 1600).map(lambda value: value / 16)
JOBS = st.lists(st.builds(Job, SECONDS, st.integers(1, 8).map(lambda k: Fraction(1, k))), min_size=1, max_size=25)


def _one_by_one(seconds: Sequence[float], slots: int) -> float:
    """List scheduling of whole devices: each job goes to the slot that is free first."""
    ends = [0.0] * slots
    for each in seconds:
        heapq.heappush(ends, heapq.heappop(ends) + each)
    return max(ends)


@given(st.lists(SECONDS, min_size=1, max_size=25), st.integers(1, 6))
def test_whole_devices_are_taken_by_whoever_comes_next(seconds: list[float], devices: int) -> None:
    jobs = [Job(each) for each in seconds]
    assert makespan(jobs, devices) == _one_by_one(seconds, devices)
    assert makespan(jobs, 6, most=devices) == _one_by_one(seconds, devices)


@given(st.lists(SECONDS, min_size=1, max_size=25), st.integers(1, 4), st.integers(1, 5))
def test_equal_shares_are_slots(seconds: list[float], devices: int, each: int) -> None:
    jobs = [Job(taken, Fraction(1, each)) for taken in seconds]
    assert makespan(jobs, devices) == _one_by_one(seconds, devices * each)


@given(JOBS, st.integers(1, 4))
def test_no_schedule_beats_the_longest_job_or_the_work_and_none_is_worse_than_one_by_one(
    jobs: list[Job], devices: int
) -> None:
    work = sum(job.seconds * job.share for job in jobs)
    found = makespan(jobs, devices)
    assert found >= max(job.seconds for job in jobs)
    assert found >= float(work / devices)
    assert found <= sum(job.seconds for job in jobs)


@given(st.lists(SECONDS, min_size=1, max_size=7), st.integers(1, 3))
def test_longest_first_comes_within_a_third_of_the_best_order(seconds: list[float], devices: int) -> None:
    found = makespan([Job(each) for each in longest_first((each, each) for each in seconds)], devices)
    best = min(
        max(sum(each for each, at in zip(seconds, places, strict=True) if at == device) for device in range(devices))
        for places in product(range(devices), repeat=len(seconds))
    )
    # Graham (1969), theorem 2.
    assert best <= found <= (4 / 3 - 1 / (3 * devices)) * best + 1e-9


def test_what_was_not_timed_comes_first_and_equals_keep_their_order() -> None:
    assert longest_first([("a", 1.0), ("b", None), ("c", 2.0), ("d", 1.0), ("e", None)]) == ["b", "e", "c", "a", "d"]


def test_no_jobs_take_no_time() -> None:
    assert makespan([], 2) == 0


def test_the_next_job_waits_for_room_and_those_behind_it_wait_too() -> None:
    half, whole = Fraction(1, 2), Fraction(1)
    # 0..4 half, 4..6 whole, 6..7 half and half.
    assert makespan([Job(4, half), Job(2, whole), Job(1, half), Job(1, half)], 1) == 7


def test_seconds_of_a_supervised_run_by_hand() -> None:
    # 4, 2 and 2 images in batches of 2, 2 epochs: 4 steps, 2 x 2 images of val, 2 of test.
    run = run_settings()
    assert seconds_of(run, cost()) == pytest.approx(3 + 4 * 1 + 4 * 0.1 + 2 * 0.1)
    assert seconds_of(run_settings(role="candidate"), cost()) == pytest.approx(3 + 4 * 1 + 4 * 0.1)
    # What is kept was measured when it was made.
    assert seconds_of(run_settings(network={"keep": "best"}), cost()) == seconds_of(run, cost())
    assert seconds_of(run, cost(), trains=False) == pytest.approx(3 + 2 * 0.1)


def test_seconds_of_frozen_encoders_by_hand() -> None:
    task = {"kind": "classification", "classes": ["a", "b"]}
    network = {"model": "ResNet-18", "method": "byol", "classes": 2, "epochs": 10}
    run = run_settings(task=task, network={**network, "ssl": {"epochs": 30, "batch_size": 4}})
    # 30 steps; then 4 images read and 10 epochs of the head on them; 2 images of val, 2 of test.
    assert seconds_of(run, cost(head_image_s=0.01)) == pytest.approx(3 + 30 + 4 * (0.1 + 10 * 0.01) + 4 * 0.1)
    pca = run_settings(task=task, network={"model": "PCA", "method": "decomposition", "classes": 2, "epochs": 10})
    fitted = cost(step_s=None, fit_s=50.0, head_image_s=0.01)
    assert seconds_of(pca, fitted) == pytest.approx(3 + 50 + 4 * (0.1 + 10 * 0.01) + 4 * 0.1)


def _stages(space: str) -> list[Stage]:
    _, entries = load_sweep(space)
    return stages_of(Search.of_sweep(entries, lambda pair: [pair.task.image_chan]))


def _counts(stages: list[Stage]) -> list[tuple[str, int]]:
    return [(stage.name, len(stage.runs)) for stage in stages]


def test_stages_are_those_of_the_sweep() -> None:
    assert _counts(_stages("task2/unet_2d")) == [("candidates", 50), ("seeds", 10)]
    # Mixup: candidates over seeds are the trainings of task1; task3 reads their encoders out, task3_c3 trains its own.
    assert _counts(_stages("task3/mixup")) == [
        ("candidates", 25),
        ("seeds", 5),
        ("seeds, evaluated", 5),
        ("evaluations", 10),
    ]
    assert _counts(_stages("task1/supervised"))[0][0] == "seeds"


def test_rounds_of_tpe_are_stages_of_their_own(tmp_path: Path) -> None:
    axes = 'sampler = "tpe"\ntrials = 5\nround = 2\naxes.learning_rate = { low = 0.001, high = 0.1 }'
    tiny = write_tiny(tmp_path, axes=f"{axes}\naxes.batch_size = [16, 32]")
    stages = _stages(str(tiny.space))
    assert _counts(stages) == [("candidates", 2), ("candidates", 2), ("candidates", 1), ("seeds", 2)]
    assert {run.network.data.batch_size for run in stages[0].runs[0]} == {16, 32}


def _estimator(
    space: Path, machines: Machines, gpus: float = 0.0, packing: str | None = None, **changes: object
) -> Estimator:
    table = CostTable()
    for run in runs_of_space(space):
        table = table.add(Workload.of(run, on_gpu=gpus > 0), cost(device="GPU" if gpus else "cpu", **changes))
    return Estimator(table, ResourceSettings(gpus_per_worker=gpus, packing=packing), machines)


def test_a_sweep_by_hand(tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path)
    # 96, 40 and 40 images: two epochs are 12 steps of 16 or 6 of 32, and 80 images of val. A candidate takes 23 or 17
    # s, a
    # seed, with 40 images of test, 4 s more; a process needs 5 s to start.
    stages = _stages(str(tiny.space))
    candidates, seeds = _estimator(tiny.space, Machines(1, cpus=2)).estimate(stages).stages
    assert (candidates.runs, seeds.runs) == (4, 2)
    assert candidates.run_s == pytest.approx(2 * 23 + 2 * 17)
    # In the order of the grid, on two CPUs: 23 and 17, then 17 (from 17) and 23 (from 23).
    assert candidates.wall_s == pytest.approx(5 + max(23 + 17, 17 + 23))
    assert seeds.wall_s == pytest.approx(5 + 27)
    assert (candidates.unshared_s, seeds.unshared_s) == (candidates.wall_s, seeds.wall_s)


def test_packed_trials_take_between_sharing_for_nothing_and_sharing_without_gain(tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path)
    stages = _stages(str(tiny.space))
    # 2 GB, 2.5 with the margin: three share 10 GB.
    (packed, _) = _estimator(tiny.space, Machines(1, gpus=1), 1.0, "t.json").estimate(stages).stages
    assert packed.wall_s == pytest.approx(5 + _one_by_one([23, 17, 23, 17], 3))
    assert packed.unshared_s == pytest.approx(5 + 80)
    (whole, _) = _estimator(tiny.space, Machines(1, gpus=1), 1.0).estimate(stages).stages
    assert whole.wall_s == whole.unshared_s == pytest.approx(85)
    (halves, _) = _estimator(tiny.space, Machines(2, gpus=1), 0.5).estimate(stages).stages
    assert halves.wall_s == pytest.approx(5 + 23)
    # Two CPUs hold two trials, whatever the memory.
    (by_cpus, _) = _estimator(tiny.space, Machines(1, gpus=1, cpus=2), 1.0, "t.json").estimate(stages).stages
    assert by_cpus.wall_s == pytest.approx(5 + 40)


def test_memory_of_a_machine_bounds_its_trials_where_they_are_packed(tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path)
    stages = _stages(str(tiny.space))
    # 70 % of 10 GB hold two trials of 2.5.
    (packed, _) = _estimator(tiny.space, Machines(1, cpus=8), packing="t.json").estimate(stages).stages
    assert packed.wall_s == pytest.approx(5 + 40)
    (free, _) = _estimator(tiny.space, Machines(1, cpus=8)).estimate(stages).stages
    assert free.wall_s == pytest.approx(5 + 23)


def test_what_was_not_measured_or_did_not_fit_is_named_and_nothing_is_estimated(tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path)
    stages = _stages(str(tiny.space))
    first, *_ = runs_of_space(tiny.space)
    table = CostTable().add(Workload.of(first, on_gpu=False), cost(fits=False))
    found = Estimator(table, ResourceSettings(), Machines(1, cpus=1)).estimate(stages)
    assert found.stages == ()
    assert found.missing == ("UNet n_blocks=2 start_filters=4, 1 x 16 x 16, 3 classes, batch 32, fp32",)
    assert found.too_large == ("UNet n_blocks=2 start_filters=4, 1 x 16 x 16, 3 classes, batch 16, fp32",)


def test_a_machine_with_too_few_cpus_is_refused(tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path)
    estimator = _estimator(tiny.space, Machines(1, gpus=4, cpus=2), 1.0)
    with pytest.raises(InputError, match="--cpus-per-node: 2 are too few for a trial of 1 CPUs"):
        estimator.estimate(_stages(str(tiny.space)))
