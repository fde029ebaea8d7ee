from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from mtneuro_ray.capacity.costs import CostTable, Workload, write_table
from mtneuro_ray.cluster.driver import Where, sweep
from mtneuro_ray.cluster.packing import Packing
from mtneuro_ray.config.resources import ResourceSettings
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.sweeps import load_sweep
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.identities import Identities
from mtneuro_ray.data.ingest import open_volumes
from mtneuro_ray.data.samples import load_splits
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.engine.loop import Outcome, train
from mtneuro_ray.results import Results
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunRecord
from mtneuro_ray.sweep.experiment import Experiment, PlannedRun
from mtneuro_ray.sweep.sweep import Sweep
from tests.costs import cost, runs_of_space
from tests.tiny import Tiny, write_tiny

ROOT = Path(__file__).parents[2]
# Runs that lack memory beside others, are killed beside others, lack it always, and lack nothing.
RATES = "axes.learning_rate = [0.01, 0.001, 0.5, 0.002]"


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return {**kept, "RAY_TMPDIR": "/tmp", "PYTHONPATH": str(ROOT), "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def _table(space: Path, to: Path, **changes: object) -> Path:
    table = CostTable()
    for run in runs_of_space(space):
        table = table.add(Workload.of(run, on_gpu=False), cost(**changes))
    write_table(str(to), table)
    return to


def test_the_longest_run_comes_first_and_one_that_was_not_measured_before_it(tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path, axes="axes.learning_rate = [0.01]\naxes.batch_size = [32, 16, 8]")
    space, entries = load_sweep(str(tiny.space))
    (experiment,) = Experiment.of_entries(entries, lambda pair: pair.task.addresses)
    runs = Sweep([experiment]).known
    assert _batches(Packing(space.run), runs) == [32, 16, 8]

    table = CostTable()
    for planned in runs[:2]:
        table = table.add(Workload.of(planned.run, on_gpu=False), cost())
    # At one second a step whatever the batch, 16 takes twice as long as 32.
    packing = Packing(ResourceSettings(packing="t.json"), table)
    assert _batches(packing, runs) == [8, 16, 32]
    # What only evaluates takes as long with either.
    assert _batches(packing, runs, trains=False) == [8, 32, 16]


def _batches(packing: Packing, runs: list[PlannedRun], *, trains: bool = True) -> list[int]:
    """Batch sizes of the runs in the order in which they start."""
    ordered = sorted(runs, key=lambda planned: -packing.priority(planned, trains=trains))
    return [planned.run.network.data.batch_size for planned in ordered]


def test_without_a_table_more_epochs_and_a_training_that_follows_come_first(tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path, axes="axes.epochs = [1, 3, 2]")
    space, entries = load_sweep(str(tiny.space))
    (experiment,) = Experiment.of_entries(entries, lambda pair: pair.task.addresses)
    packing = Packing(space.run)
    candidates = sorted(Sweep([experiment]).known, key=lambda planned: -packing.priority(planned))
    assert [planned.candidate["epochs"] for planned in candidates] == [3, 2, 1]
    final = experiment.final_runs({"epochs": 2})[0]
    assert packing.priority(candidates[2]) < packing.priority(final) < packing.priority(candidates[1])
    assert packing.priority(final, trains=False) < packing.priority(final)


def _cells(out: Path) -> dict[float, RunRecord]:
    return {
        record.summary["learning_rate"]: record
        for record in Results(Folder(out)).records
        if record.summary["role"] == "candidate"
    }


def _undisturbed(record: RunRecord, tiny: Tiny, store: Path) -> Outcome:
    """What the run of a record gives in this process."""
    run = RunSettings.load(record.settings, "record")
    image, labels = (channel.identity for channel in open_volumes(run.task, tiny.task).channels)
    data = load_splits(CutoutStore(Folder(store)), Identities((image,), labels), run.task)
    return train(run, {split: data[split] for split in ("train", "val")}, WorkerContext())


@pytest.mark.ray
@pytest.mark.slow
def test_what_lacks_memory_beside_others_is_tried_alone_once_and_changes_no_digit(tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path / "tiny", axes=RATES)
    table = _table(tiny.space, tmp_path / "table.json", base_bytes=10**8, peak_bytes=10**7)
    command = [sys.executable, "-m", "tests.cluster.scarce", str(tiny.space), str(tmp_path / "scarce"), str(table)]
    done = subprocess.run(command, env=_environment(), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (problem,) = json.loads(done.stdout.splitlines()[-1])
    assert "learning_rate=0.5" in problem
    assert "out of memory at batch size 16" in problem
    assert "accepted: a smaller batch_size" in problem
    # The candidates, and the seeds of the best where that is one of those that lack memory.
    assert "ran out of memory or was lost beside others" in done.stderr

    scarce = _cells(tmp_path / "scarce")
    assert scarce[0.5].status == "error"
    for rate in (0.01, 0.001, 0.002):
        undisturbed = _undisturbed(scarce[rate], tiny, tmp_path / "scarce" / "store")
        assert (scarce[rate].metrics, scarce[rate].history) == (undisturbed.metrics, undisturbed.history)
    assert "out of memory at batch size 16" in scarce[0.01].placement["alone_after"]
    assert "was lost" in scarce[0.001].placement["alone_after"]
    for rate in (0.01, 0.001, 0.5):
        assert scarce[rate].placement["asked"]["CPU"] == 2
    asked = scarce[0.002].placement["asked"]
    assert asked["CPU"] == 1
    assert asked["memory"] >= 1.25 * 1.1e8
    assert "alone_after" not in scarce[0.002].placement


@pytest.mark.ray
@pytest.mark.slow
def test_workloads_of_different_size_share_a_machine_and_one_that_was_not_measured_is_told(
    cluster: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = write_tiny(tmp_path / "tiny")
    table = CostTable()
    small, *_ = runs_of_space(tiny.space)
    table = table.add(Workload.of(small, on_gpu=False), cost(base_bytes=10**8, peak_bytes=10**7))
    write_table(str(tmp_path / "tiny" / "table.json"), table)
    packed = tmp_path / "tiny" / "packed.toml"
    packed.write_text(tiny.space.read_text() + '\n[run]\npacking = "table.json"\n')
    for name, file in (("packed", packed), ("plain", tiny.space)):
        space, entries = load_sweep(str(file))
        out = Folder(tmp_path / name)
        assert sweep(entries, space.run, Where(CutoutStore(Folder(tmp_path / "store")), out)) == []
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("packing: ")]
    assert set(told) == {
        "packing: UNet n_blocks=2 start_filters=4, 1 x 16 x 16, 3 classes, batch 32, fp32: was not measured "
        f"({tmp_path / 'tiny' / 'table.json'}), so each trial takes 1 CPU"
    }
    found = {
        name: {record.run_id: (record.metrics, record.history) for record in Results(Folder(tmp_path / name)).records}
        for name in ("packed", "plain")
    }
    assert found["packed"] == found["plain"]
    asked = {
        record.summary["batch_size"]: record.placement["asked"]
        for record in Results(Folder(tmp_path / "packed")).records
        if record.summary["role"] == "candidate"
    }
    assert asked[32] == {"CPU": 1}
    assert asked[16].keys() == {"CPU", "memory"}


SHARES = """
import ray
from mtneuro_ray.capacity.costs import share_of
ray.init(num_cpus=1, num_gpus=1, include_dashboard=False, log_to_driver=False)
for count in (1, 2, 3, 6, 7, 11, 32):
    groups = [ray.util.placement_group([{"GPU": share_of(count)}]) for _ in range(count + 1)]
    placed, waiting = ray.wait([group.ready() for group in groups], num_returns=count, timeout=300)
    placed_too, _ = ray.wait(waiting, timeout=1)
    assert (len(placed), len(placed_too)) == (count, 0), count
    for group in groups:
        ray.util.remove_placement_group(group)
"""


@pytest.mark.ray
@pytest.mark.slow
def test_ray_places_exactly_as_many_shares_on_a_gpu_as_they_are_for() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHARES], env=_environment(), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
