"""What is handed out when, and what becomes of trials that are lost; no cluster."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mtneuro_ray.cluster.dispatch import LOST, Dispatch, Job
from mtneuro_ray.cluster.packing import Ask, Packing
from mtneuro_ray.cluster.schedulers import Ordered, _Kept
from mtneuro_ray.config.resources import ResourceSettings
from mtneuro_ray.errors import SourceError
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord
from mtneuro_ray.sweep.experiment import PlannedRun
from mtneuro_ray.sweep.sweep import Sweep
from tests.sweep.test_experiment import done, experiment_of


class Data:
    """Data that are there, or fail, when they are waited for."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.there, self.fails = True, False

    def want(self, planned: PlannedRun) -> None:
        pass

    def join(self, *, beside_trials: bool) -> None:
        self.beside_trials = beside_trials

    def key(self, planned: PlannedRun) -> tuple[str, None]:
        return planned.run.task.name, None

    def has(self, key: Any) -> bool:
        return self.there

    def wait(self, keys: Any) -> None:
        self.there = True
        if self.fails:
            self.error = SourceError("the volume is gone")

    def splits(self, planned: PlannedRun) -> dict[str, Any]:
        return {}

    def encoder(self, planned: PlannedRun) -> None:
        return None


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A sweep over three rates and one seed, with its dispatch."""
    monkeypatch.setattr("mtneuro_ray.cluster.dispatch.tell_run", lambda run, record: None)
    monkeypatch.setattr("mtneuro_ray.cluster.packing._largest_node", lambda: Ask(8.0))
    sweep = Sweep([experiment_of({"learning_rate": [0.1, 0.01, 0.001]}, seeds=[1])])
    data, out, ended = Data(), Folder(tmp_path), list[str]()
    shared: Any = data
    resources = ResourceSettings()
    dispatch = Dispatch(
        sweep, shared, out, resources, Packing(resources), lambda planned, record: ended.append(planned.run_id)
    )
    return SimpleNamespace(sweep=sweep, data=data, dispatch=dispatch, runs=RunFolder(out), ended=ended)


def finish(bench: SimpleNamespace, job: Job, value: float = 0.5) -> None:
    bench.runs.write(done(job.planned.run, value))
    bench.dispatch.end(job.planned.run_id)


def test_every_run_is_handed_out_once_and_the_final_run_when_the_search_is_over(bench: SimpleNamespace) -> None:
    jobs = [bench.dispatch.next() for _ in range(3)]
    assert [job.planned.run.role for job in jobs] == ["candidate"] * 3
    assert bench.dispatch.next() is None
    assert not bench.dispatch.is_over
    for job, value in zip(jobs, (0.1, 0.9, 0.5), strict=True):
        finish(bench, job, value)
    final = bench.dispatch.next()
    assert final.planned.candidate == {"learning_rate": jobs[1].planned.candidate["learning_rate"], "seed": 1}
    finish(bench, final)
    assert bench.dispatch.next() is None
    assert bench.dispatch.is_over
    assert not bench.sweep.open
    assert len(bench.ended) == 4


def test_where_nothing_runs_data_are_waited_for(bench: SimpleNamespace) -> None:
    bench.data.there = False
    assert bench.dispatch.next() is not None


def test_processes_are_started_for_runs_that_wait_for_data_as_many_as_there_is_room_for(bench: SimpleNamespace) -> None:
    bench.data.there = False
    assert bench.dispatch.warm_ups({"CPU": 2.0}) == [{"CPU": 1}] * 2
    assert bench.data.beside_trials
    # They run: the searcher is not held up until the data are there.
    assert bench.dispatch.next() is None
    assert not bench.dispatch.is_over
    bench.data.there = True
    assert bench.dispatch.next() is None
    # One of the two is warm, and takes one run.
    bench.dispatch.warming = 1
    assert bench.dispatch.next() is not None
    assert bench.dispatch.next() is None
    bench.dispatch.warming = 0
    assert bench.dispatch.next() is not None
    assert bench.dispatch.warm_ups({"CPU": 2.0}) == []
    assert not bench.data.beside_trials


def test_data_that_can_not_be_read_end_the_sweep_when_what_runs_has_ended(bench: SimpleNamespace) -> None:
    job = bench.dispatch.next()
    bench.data.error = SourceError("the volume is gone")
    assert bench.dispatch.next() is None
    assert not bench.dispatch.is_over
    finish(bench, job)
    assert bench.dispatch.next() is None
    assert bench.dispatch.is_over


def test_data_that_fail_while_they_are_waited_for_end_the_sweep(bench: SimpleNamespace) -> None:
    bench.data.there, bench.data.fails = False, True
    assert bench.dispatch.next() is None
    assert bench.dispatch.is_over


def test_a_lost_run_is_tried_alone_at_the_end_and_then_given_up(bench: SimpleNamespace) -> None:
    lost, *others = [bench.dispatch.next() for _ in range(3)]
    bench.dispatch.end(lost.planned.run_id, LOST)
    assert bench.runs.read(lost.planned.run_id).error == LOST
    # Others go first.
    assert bench.dispatch.next() is None
    for job in others:
        finish(bench, job)
    alone = bench.dispatch.next()
    assert alone.planned.run_id == lost.planned.run_id
    assert (alone.ask, alone.can_stop) == (Ask(8.0), False)
    assert str(alone.alone_after).startswith(LOST)
    bench.dispatch.end(alone.planned.run_id, LOST)
    record = bench.runs.read(lost.planned.run_id)
    assert "with a device to itself, too" in record.error
    assert record.placement["alone_after"] == alone.alone_after
    # Selected among the two that are done.
    assert bench.dispatch.next().planned.run.role == "final"


def test_an_error_of_an_earlier_sweep_is_not_what_became_of_a_trial(bench: SimpleNamespace) -> None:
    job = bench.dispatch.next()
    bench.runs.write(RunRecord.failed(job.planned.run, "of before"))
    bench.dispatch.end(job.planned.run_id, "of now")
    assert bench.runs.read(job.planned.run_id).error == "of now"


def test_a_run_that_was_done_before_its_process_was_lost_is_done(bench: SimpleNamespace) -> None:
    job = bench.dispatch.next()
    bench.runs.write(done(job.planned.run, 0.5))
    bench.dispatch.end(job.planned.run_id, LOST)
    assert bench.sweep.records[job.planned.run_id].status == "done"


def test_a_stopped_run_has_the_history_that_it_reported(bench: SimpleNamespace) -> None:
    job = bench.dispatch.next()
    bench.dispatch.stopped(job.planned.run_id, [{"epoch": 1, "val/dataset/iou_mean": 0.25}])
    bench.dispatch.end(job.planned.run_id)
    record = bench.runs.read(job.planned.run_id)
    assert (record.status, len(record.history)) == ("stopped", 1)


def test_free_processes_are_kept_unless_a_trial_asks_for_other_resources(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = _Kept()
    assert [kept.cache_object("cpu", name) for name in "abc"] == [True] * 3
    assert list(kept.flush_cached_objects()) == []
    kept.increase_max("gpu")
    assert list(kept.flush_cached_objects()) == ["a", "b", "c"]
    kept.decrease_max("gpu")
    assert [kept.cache_object("cpu", name) for name in "de"] == [True] * 2
    monkeypatch.setattr("mtneuro_ray.cluster.schedulers._IDLE_S", -1.0)
    # After a minute Tune's own rule holds, which keeps none of several.
    assert list(kept.flush_cached_objects()) == ["d", "e"]


def test_the_trial_that_should_start_first_is_chosen_among_those_that_wait() -> None:
    def trial(status: str, *order: float) -> Any:
        return SimpleNamespace(status=status, config={"order": order})

    first = trial("PENDING", -2.0, 3)
    trials = [trial("PENDING", -1.0, 1), trial("RUNNING", -9.0, 2), first, trial("PENDING", -2.0, 4)]
    controller: Any = SimpleNamespace(_actor_cache=None, get_live_trials=lambda: trials)
    ordered = Ordered()  # type: ignore[no-untyped-call]
    ordered.on_trial_add(controller, first)
    assert isinstance(controller._actor_cache, _Kept)
    assert id(ordered.choose_trial_to_run(controller)) == id(first)
    trials[:] = [trials[1]]
    assert ordered.choose_trial_to_run(controller) is None
