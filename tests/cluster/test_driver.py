from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mtneuro_ray.cluster.dispatch import Dispatch
from mtneuro_ray.cluster.driver import Where, sweep
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.sweeps import load_sweep
from mtneuro_ray.data.ingest import open_volumes
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.results import Results
from mtneuro_ray.results.printing import markdown
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.sweep.experiment import Experiment
from mtneuro_ray.sweep.sweep import Sweep
from tests.ray_cluster import kill_with_descendants
from tests.tiny import Tiny, write_tiny

pytestmark = pytest.mark.ray


def _sweep(tiny: Tiny, out: Path) -> list[str]:
    space, entries = load_sweep(str(tiny.space))
    return sweep(entries, space.run, Where(CutoutStore(Folder(out / "store")), Folder(out)))


def _run_files(out: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in (out / "runs").glob("*.json")}


def _table(out: Path) -> str:
    return markdown(Results(out).table())


@pytest.fixture
def own_cluster() -> dict[str, str]:
    """An environment in which commands start clusters of their own."""
    return {**os.environ, "RAY_TMPDIR": "/tmp", "PYTHONPATH": os.getcwd()}


# Two rounds, the second of which is asked for with the results of the first.
TPE = """
sampler = "tpe"
trials = 4
round = 2
axes.learning_rate = { low = 0.001, high = 0.1, log = true }
axes.batch_size = [16, 32]
"""


def _command(tiny: Tiny, out: Path) -> list[str]:
    return [sys.executable, "-m", "mtneuro_ray.cli.main", "sweep", "--space", str(tiny.space), "--out", str(out)]


@pytest.mark.slow
def test_killed_in_the_middle_and_started_again_ends_in_the_same_table(
    tmp_path: Path, own_cluster: dict[str, str]
) -> None:
    tiny = write_tiny(tmp_path / "tiny", axes=TPE, epochs=3)
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    first = subprocess.run(_command(tiny, undisturbed), env=own_cluster, capture_output=True, check=True)

    process = subprocess.Popen(_command(tiny, disturbed), env=own_cluster, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while len(_run_files(disturbed)) < 2:
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.02)
    kill_with_descendants(process)
    finished = _run_files(disturbed)
    assert 2 <= len(finished) < 6

    second = subprocess.run(_command(tiny, disturbed), env=own_cluster, capture_output=True, check=True)
    again = _run_files(disturbed)
    assert finished.items() <= again.items()
    assert len(again) == 6
    assert _table(disturbed) == _table(undisturbed)
    assert second.stdout.decode().replace("disturbed", "") == first.stdout.decode().replace("undisturbed", "")


@pytest.fixture(scope="module")
def swept(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Tiny, Path]:
    """A sweep that has run, with as many trials at once as there was room for."""
    folder = tmp_path_factory.mktemp("swept")
    tiny = write_tiny(folder / "tiny")
    assert _sweep(tiny, folder / "out") == []
    return tiny, folder / "out"


def test_each_candidate_and_seed_is_trained_once_and_a_second_submit_trains_nothing(swept: tuple[Tiny, Path]) -> None:
    tiny, out = swept
    results = Results(out)
    candidates = [(run["learning_rate"], run["batch_size"]) for run in results.runs() if run["role"] == "candidate"]
    assert sorted(candidates) == [(0.001, 16), (0.001, 32), (0.01, 16), (0.01, 32)]
    best = results.best()
    assert len(best) == 1
    finals = [run for run in results.runs() if run["role"] == "final"]
    assert sorted(run["seed"] for run in finals) == [1, 100]
    assert {(run["learning_rate"], run["batch_size"]) for run in finals} == {
        (best[0]["learning_rate"], best[0]["batch_size"])
    }
    for record in results.records:
        assert ("test" in record.metrics) == (record.summary["role"] == "final")

    before, table = _run_files(out), _table(out)
    assert _sweep(tiny, out) == []
    assert _run_files(out) == before
    assert _table(out) == table


@pytest.mark.slow
def test_the_order_and_number_of_trials_at_once_change_no_digit(swept: tuple[Tiny, Path], tmp_path: Path) -> None:
    tiny, out = swept
    one_by_one = tmp_path / "single.toml"
    one_by_one.write_text(tiny.space.read_text() + "\n[run]\nmax_concurrent = 1\n")
    assert _sweep(Tiny(tiny.task, tiny.network, one_by_one, tiny.image, tiny.labels), tmp_path / "one") == []
    many, one = (
        {record.run_id: (record.metrics, record.history) for record in Results(folder).records}
        for folder in (out, tmp_path / "one")
    )
    assert many == one


def test_a_candidate_that_diverges_is_recorded_and_stops_nothing(cluster: None, tmp_path: Path) -> None:
    axes = "axes.learning_rate = [0.01, 1e12]"
    tiny = write_tiny(tmp_path / "tiny", axes=axes, optimizer="SGD", opt_momentum=0.9)
    problems = _sweep(tiny, tmp_path / "out")
    assert len(problems) == 1
    assert "diverged" in problems[0]
    runs = Results(tmp_path / "out").runs()
    assert [run["status"] for run in runs if run["learning_rate"] == 1e12] == ["error"]
    assert [run["status"] for run in runs if run["role"] == "final"] == ["done", "done"]


@pytest.mark.slow
def test_a_disk_that_fills_when_a_trial_ends_is_said_as_such(
    cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Dispatch, run_id: str, reason: str | None = None) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", f"{run_id}.json")

    monkeypatch.setattr(Dispatch, "end", fail)
    with pytest.raises(OSError, match=r"No space left on device: '\w+\.json'"):
        _sweep(write_tiny(tmp_path / "tiny", axes="axes.learning_rate = [0.01]", epochs=1), tmp_path / "out")


@pytest.mark.slow
def test_a_trial_may_have_workers_that_fill_the_machine(cluster: None, tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path / "tiny", axes="axes.learning_rate = [0.01]")
    text = tiny.space.read_text().replace("seeds = [1, 100]", "seeds = [1]")
    tiny.space.write_text(text + "\n[run]\nworkers_per_trial = 2\nmax_concurrent = 1\n")
    assert _sweep(tiny, tmp_path / "out") == []
    records = Results(tmp_path / "out").records
    # A single candidate is known without training it.
    assert [record.summary["role"] for record in records] == ["final"]
    assert [record.placement["workers"] for record in records] == [2]


def _candidates(tiny: Tiny) -> list[RunSettings]:
    """The candidates that are known beforehand, in their order."""
    _, [(experiment, pair)] = load_sweep(str(tiny.space))
    identities = [channel.identity for channel in open_volumes(pair.task, pair.task_file).channels]
    return [planned.run for planned in Sweep([Experiment(experiment, pair, tuple(identities))]).known]


@pytest.mark.slow
def test_candidates_that_fall_behind_are_stopped_until_a_sweep_lets_them_end(cluster: None, tmp_path: Path) -> None:
    out = tmp_path / "out"
    tiny = write_tiny(tmp_path / "tiny", axes="axes.learning_rate = [0.01, 1e-7, 1e-6]", epochs=3)
    plain = tiny.space.read_text()
    tiny.space.write_text(plain + '\n[run]\nscheduler = "asha"\nmax_concurrent = 1\n')
    candidates = _candidates(tiny)
    first, *behind = [run.run_id for run in candidates]
    # What a stopped run leaves for going on with it; this one can't be read, so that the run starts anew.
    checkpoint = out / "checkpoints" / candidates[1].train_id / "last.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"")
    assert _sweep(tiny, out) == []
    halved = {record.run_id: record for record in Results(out).records}
    assert [halved[run_id].status for run_id in (first, *behind)] == ["done", "stopped", "stopped"]
    assert [len(halved[run_id].history) for run_id in (first, *behind)] == [3, 1, 1]
    assert [halved[run_id].metrics for run_id in behind] == [{}, {}]
    finals = [record for record in halved.values() if record.summary["role"] == "final"]
    assert [(final.status, len(final.history), final.summary["learning_rate"]) for final in finals] == [
        ("done", 3, 0.01)
    ] * 2
    assert Results(out).best()[0]["run_id"] == first
    assert not checkpoint.exists()

    files = _run_files(out)
    assert _sweep(tiny, out) == []
    assert _run_files(out) == files

    tiny.space.write_text(plain)
    assert _sweep(tiny, out) == []
    whole = {record.run_id: record for record in Results(out).records}
    assert {record.status for record in whole.values()} == {"done"}
    for run_id in behind:
        assert whole[run_id].history[:1] == halved[run_id].history
        assert len(whole[run_id].history) == 3
    assert {name for name, file in _run_files(out).items() if file != files[name]} == {f"{id}.json" for id in behind}
