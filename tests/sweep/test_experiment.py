import json
import math
import os
import statistics
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from mtneuro_ray.config.pairs import Pair
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.search_axes import resolved
from mtneuro_ray.config.space import Candidate, SweepSpace
from mtneuro_ray.storage.records import RunRecord
from mtneuro_ray.sweep.experiment import Experiment, PlannedRun
from mtneuro_ray.sweep.sweep import Sweep
from tests.settings import network_settings, task_settings

AXES = {"learning_rate": [0.1, 0.01], "batch_size": [2, 4]}


def experiment_of(axes: dict[str, Any] | None = None, **changes: Any) -> Experiment:
    values = {"task": "t", "network": "n", "seeds": [1, 100], "search": {"axes": axes or AXES, "seed": 7}, **changes}
    [experiment] = SweepSpace.load({"name": "s", "experiments": [values]}, "s.toml").experiments
    network = network_settings()
    search = experiment.search.model_copy(update={"axes": resolved(network, experiment.search.axes, "s.toml")})
    space = experiment.model_copy(update={"search": search})
    return Experiment(space, Pair(task_settings(), network, Path("t"), Path("n")), ("image", "labels"))


def candidates_of(experiment: Experiment) -> list[PlannedRun]:
    """The runs of the search that are known while nothing is trained."""
    return Sweep([experiment]).known


def searched(experiment: Experiment, records: dict[str, RunRecord]) -> list[PlannedRun]:
    """The runs of the search that are known by now."""
    return [planned for planned in Sweep([experiment], records.values()).known if planned.run.role == "candidate"]


def best_candidate(experiment: Experiment, records: dict[str, RunRecord]) -> Candidate | None:
    """The candidate that is selected from the runs that are known now."""
    found = experiment.selection(searched(experiment, records), records)
    return None if found is None else dict(found.best.candidate)


def done(run: RunSettings, value: float, metric: str = "dataset/iou_mean") -> RunRecord:
    """A finished run with this value on validation, and another one on test."""
    metrics = {"val": {metric: value}, "test": {metric: 1.0 - value}}
    return RunRecord(run.run_id, "done", run.summary(), run.model_dump(mode="json"), metrics)


def stopped(run: RunSettings, *values: float) -> RunRecord:
    """A run that was stopped after these epochs."""
    history = [{"epoch": epoch, "val/dataset/iou_mean": value} for epoch, value in enumerate(values, start=1)]
    return RunRecord(run.run_id, "stopped", run.summary(), run.model_dump(mode="json"), history=history)


def best_of(search: Experiment, values: list[float | str | None], metric: str = "dataset/iou_mean") -> Any:
    """The selected candidate if the candidates end with these values; a text is an error, None a missing run."""
    records = {}
    for plan, value in zip(candidates_of(search), values, strict=True):
        run = plan.run
        if isinstance(value, str):
            records[run.run_id] = RunRecord.failed(run, value)
        elif value is not None:
            records[run.run_id] = done(run, value, metric)
    return best_candidate(search, records)


CANDIDATES: list[Candidate] = [{"learning_rate": lr, "batch_size": batch} for lr in (0.1, 0.01) for batch in (2, 4)]


def test_every_candidate_is_planned_once_with_the_search_s_seed() -> None:
    plans = candidates_of(experiment_of())
    networks = [plan.run.network for plan in plans]
    assert [
        {"learning_rate": n.optimizer.learning_rate, "batch_size": n.data.batch_size} for n in networks
    ] == CANDIDATES
    assert {network.seed for network in networks} == {7}
    assert {plan.run.role for plan in plans} == {"candidate"}
    assert {plan.run.data for plan in plans} == {("image", "labels")}
    assert len({plan.run_id for plan in plans}) == 4


def test_a_candidate_is_named_by_its_experiment_and_its_axes() -> None:
    search = experiment_of()
    assert search.name == "net/small"
    assert [plan.candidate for plan in candidates_of(search)] == CANDIDATES
    assert str(candidates_of(search)[1]) == "net/small learning_rate=0.1 batch_size=4"


def test_finals_are_the_candidate_with_every_seed() -> None:
    plans = experiment_of().final_runs(CANDIDATES[2])
    assert [plan.run.network.seed for plan in plans] == [1, 100]
    assert {(p.run.role, p.run.network.optimizer.learning_rate, p.run.network.data.batch_size) for p in plans} == {
        ("final", 0.01, 2)
    }
    assert [plan.candidate["seed"] for plan in plans] == [1, 100]


def test_a_final_run_is_never_a_candidate_even_at_the_search_s_seed() -> None:
    search = experiment_of(seeds=[7])
    [final] = search.final_runs(CANDIDATES[0])
    assert final.run.network == candidates_of(search)[0].run.network
    assert final.run.run_id not in {plan.run_id for plan in candidates_of(search)}


def test_axes_may_be_any_keys_of_the_network() -> None:
    search = experiment_of({"lr_schedule": ["constant", "cosine"], "augmentations": [True]})
    assert [(p.run.network.optimizer.lr_schedule, p.run.network.data.augmentations) for p in candidates_of(search)] == [
        ("constant", True),
        ("cosine", True),
    ]
    assert [plan.candidate["lr_schedule"] for plan in candidates_of(search)] == ["constant", "cosine"]


NAN = float("nan")


@pytest.mark.parametrize(
    ("values", "chosen"),
    [
        ([0.1, 0.4, 0.3, 0.2], 1),
        ([0.1, 0.2, 0.3, 0.4], 3),
        ([0.4, 0.4, 0.4, 0.4], 0),
        ([0.1, 0.4, 0.4, 0.1], 1),
        ([NAN, 0.1, NAN, 0.2], 3),
        (["diverged", 0.1, None, 0.05], 1),
        ([-1.0, None, None, -2.0], 0),
        ([0.0, None, None, None], 0),
    ],
)
def test_the_candidate_with_the_highest_validation_value_the_first_of_equals(
    values: list[float | str | None], chosen: int
) -> None:
    assert best_of(experiment_of(), values) == CANDIDATES[chosen]


def test_the_lowest_value_where_the_mode_says_so() -> None:
    search = experiment_of(metric="val/loss", mode="min")
    assert best_of(search, [0.3, 0.1, NAN, 0.1], "loss") == CANDIDATES[1]


def test_another_metric_than_the_default_is_read_where_it_is_set() -> None:
    assert best_of(experiment_of(metric="val/image/iou_mean"), [0.1, 0.2, 0.9, 0.3], "image/iou_mean") == CANDIDATES[2]
    assert best_of(experiment_of(metric="val/image/iou_mean"), [0.1, 0.2, 0.9, 0.3]) is None


@pytest.mark.parametrize("values", [[None] * 4, ["diverged"] * 4, [NAN] * 4])
def test_no_candidate_is_chosen_where_none_has_a_value(values: list[Any]) -> None:
    assert best_of(experiment_of(), values) is None


def test_the_default_metric_is_the_task_s() -> None:
    search = experiment_of()
    assert search.metric == "val/dataset/iou_mean"
    assert {plan.metric for plan in candidates_of(search)} == {"val/dataset/iou_mean"}
    task = task_settings("classification", annotation_chan=None)
    pair = Pair(task, network_settings(model="ResNet-18"), Path("t"), Path("n"))
    assert Experiment(search.space, pair, ("image",)).metric == "val/accuracy"


def test_a_stopped_candidate_is_never_chosen_however_good_it_was() -> None:
    search = experiment_of()
    first, second, *_ = candidates_of(search)
    records = {first.run.run_id: stopped(first.run, 0.9), second.run.run_id: done(second.run, 0.1)}
    assert best_candidate(search, records) == second.candidate


LR: dict[str, Any] = {"learning_rate": {"low": 1e-5, "high": 0.1, "log": True}}
MIXED: dict[str, Any] = {**LR, "batch_size": [1, 2, 4], "start_filters": {"low": 4, "high": 12, "step": 4}}


def tpe_of(axes: dict[str, Any], trials: int, mode: str = "max", **keys: Any) -> Experiment:
    return experiment_of(search={"sampler": "tpe", "axes": axes, "trials": trials, "seed": 7, **keys}, mode=mode)


def quality(plan: PlannedRun) -> float:
    """Loss of a candidate, smallest for a learning rate of 0.001 and small batches."""
    return (math.log10(plan.run.network.optimizer.learning_rate) + 3.0) ** 2 + 0.1 * plan.run.network.data.batch_size


def outcome(plan: PlannedRun) -> RunRecord:
    """A record that depends on the settings: sometimes an error, a stopped run, or one without a number."""
    fate = zlib.crc32(str(plan).encode()) % 10
    if fate < 2:
        return RunRecord.failed(plan.run, "diverged")
    if fate == 2:
        return stopped(plan.run, -quality(plan), NAN)
    if fate == 3:
        return stopped(plan.run, -1.0 - quality(plan), -quality(plan))
    return done(plan.run, NAN if fate == 4 else -quality(plan))


Records = dict[str, RunRecord]


def finish(
    search: Experiment, records: Records, order: Callable[[list[PlannedRun]], None], most: int = 10**9
) -> list[PlannedRun]:
    """End known candidates without a record, at most `most`, until no new ones follow; returns all candidates."""
    while True:
        plans = searched(search, records)
        missing = [plan for plan in plans if plan.run_id not in records]
        if not missing or len(records) >= most:
            return plans
        order(missing)
        for plan in missing[: most - len(records)]:
            records[plan.run_id] = outcome(plan)


def points(plans: list[PlannedRun]) -> list[Candidate]:
    return [plan.candidate for plan in plans]


def as_found(missing: list[PlannedRun]) -> None:
    """The order in which candidates are proposed."""


def test_tpe_proposes_rounds_and_the_next_when_every_candidate_of_one_has_a_result() -> None:
    search = tpe_of(MIXED, trials=7, round=3)
    records: Records = {}
    sizes = []
    for _ in range(8):
        plans = searched(search, records)
        sizes.append(len(plans))
        missing = [plan for plan in plans if plan.run_id not in records]
        for plan in missing[-1:]:
            records[plan.run_id] = outcome(plan)
    assert sizes == [3, 3, 3, 6, 6, 6, 7, 7]
    assert len({plan.run_id for plan in plans}) == 7


def test_tpe_proposes_the_same_whatever_finishes_first_and_wherever_it_was_interrupted() -> None:
    search = tpe_of(MIXED, trials=18)
    undisturbed: Records = {}
    expected = points(finish(search, undisturbed, as_found))
    assert {record.status for record in undisturbed.values()} == {"done", "stopped", "error"}
    for count in range(len(undisturbed)):
        records: Records = {}
        finish(search, records, Random(count).shuffle, most=count)
        assert len(records) == count
        assert points(finish(search, records, list.reverse)) == expected


def test_tpe_proposes_the_same_in_every_process() -> None:
    code = (
        "import json\nfrom tests.sweep.test_experiment import MIXED, as_found, finish, points, tpe_of\n"
        "print(json.dumps(points(finish(tpe_of(MIXED, trials=14), {}, as_found))))"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        for seed in ("1", "2")
    ]
    assert [process.stderr for process in found] == ["", ""]
    assert found[0].stdout == found[1].stdout
    assert json.loads(found[0].stdout) == points(finish(tpe_of(MIXED, trials=14), {}, as_found))


def test_what_tpe_proposes_depends_on_its_seed_and_on_the_results() -> None:
    search = tpe_of(MIXED, trials=16)
    first = points(finish(search, {}, as_found))
    assert points(candidates_of(tpe_of(MIXED, trials=16, seed=8))) != points(candidates_of(search))
    better: Records = {}
    for plan in finish(search, better, as_found)[:12]:
        better[plan.run_id] = done(plan.run, quality(plan))
    again = points(finish(search, {key: better[key] for key in list(better)[:12]}, as_found))
    assert again[:12] == first[:12]
    assert again[12:] != first[12:]


@pytest.mark.parametrize("mode", ["max", "min"])
def test_tpe_comes_closer_to_the_optimum(mode: str) -> None:
    sign = -1.0 if mode == "max" else 1.0
    first: list[float] = []
    last: list[float] = []
    for seed in range(5):
        search, records = tpe_of(LR, trials=32, mode=mode, round=8, seed=seed), Records()
        while missing := [p for p in searched(search, records) if p.run_id not in records]:
            for plan in missing:
                records[plan.run_id] = done(plan.run, sign * quality(plan))
        distances = [quality(plan) for plan in searched(search, records)]
        first.extend(distances[:8])
        last.extend(distances[-8:])
    assert statistics.median(last) < 0.5 * statistics.median(first)


def test_a_candidate_that_tpe_proposes_again_counts_and_is_one_run() -> None:
    search = tpe_of({"batch_size": [2, 4]}, trials=9)
    records: Records = {}
    plans = finish(search, records, as_found)
    assert sorted(plan.run.network.data.batch_size for plan in plans) == [2, 4]
    assert len(records) == 2


def test_ranges_are_proposed_within_their_ends_and_in_four_digits() -> None:
    for plan in finish(tpe_of(MIXED, trials=16), {}, as_found):
        lr, batch, filters = (
            plan.candidate["learning_rate"],
            plan.candidate["batch_size"],
            plan.candidate["start_filters"],
        )
        assert isinstance(lr, float)
        assert 1e-5 <= lr <= 0.1
        assert float(f"{lr:.4g}") == lr
        assert batch in (1, 2, 4)
        assert filters in (4, 8, 12)
        model: Any = plan.run.network.model
        assert (plan.run.network.optimizer.learning_rate, model.start_filters) == (lr, filters)


def test_random_draws_a_run_for_each_cell() -> None:
    search = experiment_of(search={"sampler": "random", "axes": MIXED, "trials": 6})
    plans = candidates_of(search)
    assert [plan.candidate for plan in plans] == search.space.search.candidates
    assert len({plan.run_id for plan in plans}) == 6
