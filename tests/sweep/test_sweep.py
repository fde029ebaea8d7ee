"""The rule of a sweep, with random results in random orders."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.sweeps import load_sweep
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunRecord
from mtneuro_ray.sweep.experiment import Experiment, PlannedRun
from mtneuro_ray.sweep.outline import read_outline, write_outline
from mtneuro_ray.sweep.sweep import Sweep, is_result
from tests.settings import cube
from tests.sweep.test_experiment import NAN, experiment_of, stopped

GRID = {"axes": {"learning_rate": [0.1, 0.01]}}
TPE = {"sampler": "tpe", "trials": 5, "round": 2, "axes": {"learning_rate": {"low": 0.001, "high": 0.1}}}
OVER_SEEDS = {**GRID, "over_seeds": True}

SPACE = """
seeds = [1, 2]
network = "resnet.json"
{first}
[[experiments]]
task = "own.json"
{own}
[[experiments]]
task = "elsewhere.json"
candidate_of = "own"

[[experiments]]
task = "readout.json"
candidate_of = "own"

[[experiments]]
task = "own.json"
network = "other.json"
[experiments.search]
sampler = "tpe"
trials = 5
round = 2
axes.learning_rate = {{ low = 0.001, high = 0.1 }}
"""
SEARCHES = {
    "grid": "[experiments.search]\naxes.learning_rate = [0.1, 0.01, 0.001]",
    "over seeds": "[experiments.search]\nover_seeds = true\naxes.learning_rate = [0.1, 0.01]",
    "none": "",
}


def experiments_of(folder: Path, search: str) -> list[Experiment]:
    """A task searched on, the same with other test images and a readout at its candidate, and a second network."""
    task: dict[str, Any] = {
        "name": "own",
        "task": "classification",
        "image_chan": "file:image.npy",
        "classes": ["a", "b"],
        "tile_size": [16, 16],
        "cubes": [cube(), cube(split="val", z=(5, 7)), cube(split="test", z=(8, 10))],
    }
    elsewhere = {**task, "name": "elsewhere", "cubes": [*task["cubes"][:2], cube(split="test", z=(10, 12))]}
    readout = {
        **task,
        "name": "readout",
        "task": "readout",
        "annotation_chan": "file:labels.npy",
        "classes": ["bg", "vessels", "cells", "axons"],
        "encoder_task": "own.json",
        "cubes": [task["cubes"][0], task["cubes"][2]],
    }
    network = {"model": "ResNet-18", "classes": 2, "learning_rate": 0.01, "epochs": 2, "batch_size": 2}
    files = {"own": task, "elsewhere": elsewhere, "readout": readout, "resnet": network, "other": network}
    for name, values in files.items():
        (folder / f"{name}.json").write_text(json.dumps(values))
    (folder / "space.toml").write_text(SPACE.format(first="", own=SEARCHES[search]))
    _, entries = load_sweep(str(folder / "space.toml"))
    return Experiment.of_entries(entries, lambda pair: pair.task.addresses)


@pytest.fixture(scope="module", params=list(SEARCHES))
def experiments(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Experiment]:
    return experiments_of(tmp_path_factory.mktemp("space"), request.param)


def ended(planned: PlannedRun, seed: int, failing: float) -> RunRecord:
    """A random record of a run, the same for the same run and seed."""
    random = Random(f"{planned.run_id} {seed}")
    run = planned.run
    if random.random() < failing:
        return RunRecord.failed(run, "diverged")
    split, _, key = planned.metric.partition("/")
    metrics = {split: {key: random.choice([random.random(), 0.5, NAN])}}
    return RunRecord(planned.run_id, "done", run.summary(), run.model_dump(mode="json"), metrics)


def done(planned: PlannedRun, value: float) -> RunRecord:
    """A run that ended with this value of the metric that it is judged by."""
    split, _, key = planned.metric.partition("/")
    settings = planned.run.model_dump(mode="json")
    return RunRecord(planned.run_id, "done", planned.run.summary(), settings, {split: {key: value}})


@dataclass
class Played:
    """A sweep that was simulated, and the ids of its runs in the order in which they ended."""

    sweep: Sweep
    order: list[str]


def play(
    experiments: Sequence[Experiment],
    seed: int,
    order: Random,
    *,
    failing: float = 0.2,
    most: int = 10**9,
    records: Iterable[RunRecord] = (),
    at_once: int = 3,
) -> Played:
    """Start ready runs at random, end the running at random, and check on the way that none starts too early."""
    sweep = Sweep(experiments, records)
    running: dict[str, PlannedRun] = {}
    ready = {planned.run_id: planned for planned in sweep.ready()}
    ends: list[str] = []
    handed_out = set(ready)
    while (ready or running) and len(ends) < most:
        assert ready.keys() | running.keys() >= {planned.run_id for planned in sweep.ready()}
        if ready and len(running) < at_once:
            planned = ready.pop(order.choice(sorted(ready)))
            check_needs(sweep, planned, running)
            running[planned.run_id] = planned
            continue
        planned = running.pop(order.choice(sorted(running)))
        ends.append(planned.run_id)
        for each in sweep.end(ended(planned, seed, failing)):
            assert each.run_id not in handed_out
            handed_out.add(each.run_id)
            ready[each.run_id] = each
    return Played(sweep, ends)


def check_needs(sweep: Sweep, planned: PlannedRun, running: dict[str, PlannedRun]) -> None:
    """Check that the encoder run of a run has ended, and that no other running run trains the same weights."""
    if planned.run.encoder_run is not None:
        assert planned.run.encoder_run.run_id in sweep.records
    else:
        finals = [each for each in running.values() if each.run.role == "final" and each.run.encoder_run is None]
        beside = [each for each in finals if each.train_id == planned.train_id]
        done = [each for each in sweep.known if each.train_id == planned.train_id and _is_done(sweep, each)]
        assert done or not beside


def _is_done(sweep: Sweep, planned: PlannedRun) -> bool:
    return planned.run_id in sweep.records and sweep.records[planned.run_id].status == "done"


FEW = settings(max_examples=12)
SEEDS = st.integers(0, 10**6)


@FEW
@given(SEEDS, SEEDS, SEEDS)
def test_the_runs_and_the_selection_do_not_depend_on_the_order(
    experiments: list[Experiment], seed: int, one: int, other: int
) -> None:
    first, second = (play(experiments, seed, Random(each)) for each in (one, other))
    for played in (first, second):
        assert not played.sweep.open
        assert len(set(played.order)) == len(played.order) == len(played.sweep.known)
    assert [each.run_id for each in first.sweep.known] == [each.run_id for each in second.sweep.known]
    assert first.sweep.problems() == second.sweep.problems()
    for experiment in experiments:
        assert first.sweep.best(experiment) == second.sweep.best(experiment)


@FEW
@given(SEEDS, SEEDS, st.integers(0, 30))
def test_a_sweep_that_is_cut_short_goes_on_to_the_same_runs(
    experiments: list[Experiment], seed: int, order: int, most: int
) -> None:
    whole = play(experiments, seed, Random(order), failing=0.0)
    cut = play(experiments, seed, Random(order + 1), failing=0.0, most=most)
    rest = play(experiments, seed, Random(order + 2), failing=0.0, records=cut.sweep.records.values())
    assert not rest.sweep.open
    assert set(cut.order).isdisjoint(rest.order)
    assert [each.run_id for each in rest.sweep.known] == [each.run_id for each in whole.sweep.known]


@FEW
@given(SEEDS, st.integers(0, 40))
def test_totals_count_every_run_once_and_promise_no_fewer_than_come(
    experiments: list[Experiment], seed: int, most: int
) -> None:
    sweep = play(experiments, seed, Random(seed), most=most).sweep
    totals = sweep.totals()
    assert sum(total.known for total in totals.values()) == len(sweep.known)
    assert sum(total.known - total.done - total.failed for total in totals.values()) == len(sweep.open)
    end = play(experiments, seed, Random(seed)).sweep
    assert sum(total.expected for total in totals.values()) >= len(end.known) - 2
    assert all(total.unknown == 0 for total in end.totals().values())


def test_an_experiment_repeats_its_candidate_while_another_still_searches(experiments: list[Experiment]) -> None:
    own, *_, other = experiments
    sweep = Sweep(experiments)
    search = [planned for planned in sweep.known if planned.experiment == own.name and planned.run.role == "candidate"]
    new = sweep.ready() if not search else []
    for planned in search:
        new = sweep.end(done(planned, 0.5))
    finals = [planned for planned in new if planned.run.role == "final"]
    assert finals
    assert {planned.run.network.seed for planned in finals} == {1, 2}
    assert any(planned.experiment == other.name and planned.run.role == "candidate" for planned in sweep.open)


def readouts(sweep: Sweep) -> list[PlannedRun]:
    return [planned for planned in sweep.known if planned.run.encoder_run is not None]


def test_weights_are_trained_once_then_evaluated_and_read_out(tmp_path: Path) -> None:
    experiments = experiments_of(tmp_path, "none")[:3]
    sweep = Sweep(experiments)
    assert [(each.experiment, sweep.stage(each)) for each in sweep.known if each.run.network.seed == 1] == [
        ("resnet/own", "repeat"),
        ("resnet/elsewhere", "evaluate"),
        ("resnet/readout", "evaluate"),
    ]
    trains = sweep.ready()
    assert [each.experiment for each in trains] == ["resnet/own", "resnet/own"]
    after = sweep.end(ended(trains[0], 0, 0.0))
    assert {each.experiment for each in after} == {"resnet/elsewhere", "resnet/readout"}
    assert {each.run.network.seed for each in after} == {1}


def test_where_the_training_failed_the_next_run_with_these_weights_trains(tmp_path: Path) -> None:
    sweep = Sweep(experiments_of(tmp_path, "none")[:2])
    first = sweep.ready()[0]
    [other] = sweep.end(RunRecord.failed(first.run, "lost"))
    assert (other.experiment, other.train_id) == ("resnet/elsewhere", first.train_id)


def test_what_candidates_over_seeds_have_trained_is_only_evaluated(tmp_path: Path) -> None:
    own = experiments_of(tmp_path, "over seeds")[0]
    sweep = Sweep([own])
    candidates = sweep.ready()
    assert len(candidates) == 4
    for planned in candidates:
        sweep.end(done(planned, 0.5))
    assert {planned.keeps_weights for planned in candidates} == {True}
    finals = [planned for planned in sweep.known if planned.run.role == "final"]
    assert [sweep.stage(planned) for planned in finals] == ["evaluate", "evaluate"]
    assert sweep.ready() == finals


def test_an_encoder_whose_weights_are_gone_is_trained_again_for_its_readouts(tmp_path: Path) -> None:
    experiments = [experiments_of(tmp_path, "none")[number] for number in (0, 2)]
    played = play(experiments, 0, Random(0), failing=0.0).sweep
    kept = [record for record in played.records.values() if record.summary["task"] == "own"]
    assert {each.run.task.name for each in Sweep(experiments, kept).ready()} == {"readout"}

    def gone(run: RunSettings) -> bool:
        return False

    sweep = Sweep(experiments, kept, has_weights=gone)
    again = sweep.ready()
    assert {(each.run.task.name, each.again) for each in again} == {("own", True)}
    assert [each.run.task.name for each in sweep.end(kept[0])] == ["readout"]
    # Nothing needs the weights where every readout is there.
    assert not Sweep(experiments, played.records.values(), has_weights=gone).open


def test_a_search_without_a_value_repeats_nothing_and_says_so(tmp_path: Path) -> None:
    own, elsewhere, *_ = experiments_of(tmp_path, "grid")
    sweep = play([own, elsewhere], 0, Random(0), failing=1.0).sweep
    assert not sweep.open
    assert [line for line in sweep.problems() if "nothing to repeat" in line] == [
        f"{name}: no candidate has a validation value, so there is nothing to repeat"
        for name in ("resnet/own", "resnet/elsewhere")
    ]
    assert len(sweep.problems()) == 3 + 2


def test_the_best_of_a_search_over_seeds_is_that_of_the_mean(tmp_path: Path) -> None:
    own = experiments_of(tmp_path, "over seeds")[0]
    # The luckiest seed belongs to the worse candidate.
    values = {(0.1, 1): 0.9, (0.1, 2): 0.1, (0.01, 1): 0.6, (0.01, 2): 0.5}

    records = [
        done(each, values[each.run.network.optimizer.learning_rate, each.run.network.seed])
        for each in Sweep([own]).known
    ]
    selection = Sweep([own], records).best(own)
    assert selection is not None
    assert selection.best.candidate == {"learning_rate": 0.01}
    assert selection.best.mean == pytest.approx(0.55)


def test_of_runs_that_end_only_a_stopped_one_keeps_its_history() -> None:
    sweep = Sweep([experiment_of(search=TPE)])
    first, second = sweep.ready()
    sweep.end(stopped(first.run, 0.3, 0.4))
    sweep.end(replace(done(second, 0.5), history=[{"epoch": 1}], timings={"total_s": 1.0}))
    assert [entry["epoch"] for entry in sweep.records[first.run_id].history] == [1, 2]
    assert (sweep.records[second.run_id].history, sweep.records[second.run_id].timings) == ([], {})
    assert sweep.records[second.run_id].metric(second.metric) == 0.5


@pytest.mark.parametrize(
    ("status", "stops", "counts"),
    [("done", False, True), ("stopped", True, True), ("stopped", False, False), ("error", True, False)],
)
def test_which_earlier_records_are_results(status: Any, stops: bool, counts: bool) -> None:
    assert is_result(RunRecord("r", status, {}, {}), stops=stops) == counts


def test_an_outline_gives_the_same_sweep_elsewhere(experiments: list[Experiment], tmp_path: Path) -> None:
    out = Folder(tmp_path)
    write_outline(out, experiments)
    played = play(experiments, 3, Random(3)).sweep
    again = Sweep(read_outline(out), played.records.values())
    assert [each.run_id for each in again.known] == [each.run_id for each in played.known]
    assert again.problems() == played.problems()


@pytest.mark.parametrize("content", [b"", b"[]", b'{"version": 1}', b'{"version": 2, "experiments": [{"x": 1}]}'])
def test_an_outline_of_another_version_or_make_is_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_bytes(content)
    assert read_outline(Folder(tmp_path)) == []
