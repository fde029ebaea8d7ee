from __future__ import annotations

import heapq
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtneuro_ray.capacity.costs import CostTable, Workload
from mtneuro_ray.capacity.estimate import Estimate, Load, Machines, estimate, play, seconds_of
from mtneuro_ray.config.resources import ResourceSettings
from mtneuro_ray.config.sweeps import load_sweep
from mtneuro_ray.errors import InputError
from mtneuro_ray.storage.records import RunRecord
from mtneuro_ray.sweep.experiment import Experiment, PlannedRun
from mtneuro_ray.sweep.sweep import Stage, Sweep
from tests.costs import cost, runs_of_space
from tests.settings import run_settings
from tests.sweep.test_experiment import candidates_of, experiment_of
from tests.tiny import write_tiny

# Sixteenths are exact in floats, so sums compare equal whatever their order.
SECONDS = st.integers(1, 1600).map(lambda value: value / 16)
LOADS = st.lists(st.builds(Load, SECONDS, st.integers(1, 8).map(lambda k: Fraction(1, k))), min_size=2, max_size=25)


SOME = candidates_of(experiment_of({"learning_rate": [0.001 * number for number in range(1, 26)]}))


def makespan(loads: Sequence[Load], devices: int, most: int | None = None) -> float:
    """Seconds of a sweep whose search has runs with these loads, which start in this order; its end takes no time."""
    planned = {each.run_id: load for each, load in zip(SOME, loads, strict=False)}
    nothing = Load(0.0)
    rates = [each.run.network.optimizer.learning_rate for each in SOME[: len(loads)]]
    sweep = Sweep([experiment_of({"learning_rate": rates})])
    return play(sweep, lambda each, stage: planned.get(each.run_id, nothing), devices, most).wall_s


def _one_by_one(seconds: Sequence[float], slots: int) -> float:
    """List scheduling of whole devices: each job goes to the slot that is free first."""
    ends = [0.0] * slots
    for each in seconds:
        heapq.heappush(ends, heapq.heappop(ends) + each)
    return max(ends)


@given(st.lists(SECONDS, min_size=2, max_size=25), st.integers(1, 6))
def test_whole_devices_are_taken_by_whoever_comes_next(seconds: list[float], devices: int) -> None:
    jobs = [Load(each) for each in seconds]
    assert makespan(jobs, devices) == _one_by_one(seconds, devices)
    assert makespan(jobs, 6, most=devices) == _one_by_one(seconds, devices)


@given(st.lists(SECONDS, min_size=2, max_size=25), st.integers(1, 4), st.integers(1, 5))
def test_equal_shares_are_slots(seconds: list[float], devices: int, each: int) -> None:
    jobs = [Load(taken, Fraction(1, each)) for taken in seconds]
    assert makespan(jobs, devices) == _one_by_one(seconds, devices * each)


@given(LOADS, st.integers(1, 4))
def test_no_schedule_beats_the_longest_job_or_the_work_and_none_is_worse_than_one_by_one(
    jobs: list[Load], devices: int
) -> None:
    work = sum(job.seconds * job.share for job in jobs)
    found = makespan(jobs, devices)
    assert found >= max(job.seconds for job in jobs)
    assert found >= float(work / devices)
    assert found <= sum(job.seconds for job in jobs)


def test_runs_that_are_ready_start_by_their_priority() -> None:
    order: list[float] = []
    sweep = Sweep([experiment_of({"learning_rate": [0.1, 0.2, 0.3]})])

    def load_of(planned: PlannedRun, stage: Stage) -> Load:
        rate = planned.run.network.optimizer.learning_rate
        return Load(1.0, priority={0.1: 1.0, 0.2: 3.0, 0.3: 3.0}[rate])

    ends = {planned.run_id: planned for planned in sweep.known}
    end = sweep.end

    def watched(record: RunRecord) -> list[PlannedRun]:
        if record.run_id in ends:
            order.append(ends[record.run_id].run.network.optimizer.learning_rate)
        return end(record)

    sweep.end = watched  # type: ignore[method-assign]
    play(sweep, load_of, 1)
    assert order == [0.2, 0.3, 0.1]


def test_the_next_job_waits_for_room_and_those_behind_it_wait_too() -> None:
    half, whole = Fraction(1, 2), Fraction(1)
    # 0..4 half, 4..6 whole, 6..7 half and half.
    assert makespan([Load(4, half), Load(2, whole), Load(1, half), Load(1, half)], 1) == 7


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


def _experiments(space: str) -> list[Experiment]:
    _, entries = load_sweep(space)
    return Experiment.of_entries(entries)


def _counts(space: str) -> dict[Stage, int]:
    return play(Sweep(_experiments(space)), lambda planned, stage: Load(1.0), 1).runs


def test_runs_are_those_of_the_sweep() -> None:
    assert _counts("task2/unet_2d") == {"search": 50, "repeat": 10}
    # Mixup: candidates over seeds are the trainings of task1; task3 reads their encoders out, task3_c3 trains its own.
    assert _counts("task3/mixup") == {"search": 25, "repeat": 5, "evaluate": 15}


def test_tpe_is_played_round_by_round(tmp_path: Path) -> None:
    axes = 'sampler = "tpe"\ntrials = 5\nround = 2\naxes.learning_rate = { low = 0.001, high = 0.1 }'
    tiny = write_tiny(tmp_path, axes=f"{axes}\naxes.batch_size = [16, 32]")
    played = play(Sweep(_experiments(str(tiny.space))), lambda planned, stage: Load(1.0), 8)
    assert played.runs == {"search": 5, "repeat": 2}
    # Three rounds, and the final runs.
    assert played.wall_s == 4


def _estimate(
    space: Path, machines: Machines, gpus: float = 0.0, packing: str | None = None, **changes: object
) -> Estimate:
    table = CostTable()
    for run in runs_of_space(space):
        table = table.add(Workload.of(run, on_gpu=gpus > 0), cost(device="GPU" if gpus else "cpu", **changes))
    resources = ResourceSettings(gpus_per_worker=gpus, packing=packing)
    return estimate(_experiments(str(space)), table, resources, machines)


def _walls(found: Estimate) -> list[float]:
    """Seconds of the sweep where sharing costs nothing, and where it gains nothing."""
    assert found.shared is not None
    assert found.unshared is not None
    return [found.shared.wall_s, found.unshared.wall_s]


def test_a_sweep_by_hand(tmp_path: Path) -> None:
    # 96, 40 and 40 images: two epochs are 12 steps of 16 or 6 of 32, and 80 images of val. A candidate takes 23 or 17
    # s, a final run, with 40 images of test, 4 s more; a process needs 5 s to start.
    found = _estimate(write_tiny(tmp_path).space, Machines(1, cpus=2))
    assert found.shared is not None
    assert found.shared.runs == {"search": 4, "repeat": 2}
    assert found.shared.run_s == pytest.approx({"search": 2 * 23 + 2 * 17, "repeat": 2 * 27})
    # Longest first, on two CPUs: twice 23, twice 17, and the final runs at the slowest candidate.
    assert _walls(found) == pytest.approx([5 + 23 + 17 + 27] * 2)


def test_packed_trials_take_between_sharing_for_nothing_and_sharing_without_gain(tmp_path: Path) -> None:
    space = write_tiny(tmp_path).space
    one_by_one = 5 + 80 + 54
    # 2 GB, 2.5 with the margin: three share 10 GB.
    packed = _estimate(space, Machines(1, gpus=1), 1.0, "t.json")
    assert _walls(packed) == pytest.approx([5 + 17 + 17 + 27, one_by_one])
    assert _walls(_estimate(space, Machines(1, gpus=1), 1.0)) == pytest.approx([one_by_one] * 2)
    assert _walls(_estimate(space, Machines(2, gpus=1), 0.5))[0] == pytest.approx(5 + 23 + 27)
    # Two CPUs hold two trials, whatever the memory.
    by_cpus = _estimate(space, Machines(1, gpus=1, cpus=2), 1.0, "t.json")
    assert _walls(by_cpus)[0] == pytest.approx(5 + 40 + 27)


def test_memory_of_a_machine_bounds_its_trials_where_they_are_packed(tmp_path: Path) -> None:
    space = write_tiny(tmp_path).space
    # 70 % of 10 GB hold two trials of 2.5.
    assert _walls(_estimate(space, Machines(1, cpus=8), packing="t.json"))[0] == pytest.approx(5 + 40 + 27)
    assert _walls(_estimate(space, Machines(1, cpus=8)))[0] == pytest.approx(5 + 23 + 27)


def test_what_was_not_measured_or_did_not_fit_is_named_and_nothing_is_estimated(tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path)
    experiments = _experiments(str(tiny.space))
    first, *_ = runs_of_space(tiny.space)
    table = CostTable().add(Workload.of(first, on_gpu=False), cost(fits=False))
    found = estimate(experiments, table, ResourceSettings(), Machines(1, cpus=1))
    assert found.shared is None
    assert found.missing == ("UNet n_blocks=2 start_filters=4, 1 x 16 x 16, 3 classes, batch 32, fp32",)
    assert found.too_large == ("UNet n_blocks=2 start_filters=4, 1 x 16 x 16, 3 classes, batch 16, fp32",)


def test_a_machine_with_too_few_cpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--cpus-per-node: 2 are too few for a trial of 1 CPUs"):
        _estimate(write_tiny(tmp_path).space, Machines(1, gpus=4, cpus=2), 1.0)
