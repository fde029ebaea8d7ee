from types import SimpleNamespace
from typing import Any

import pytest

from mtneuro_ray.cluster.halving import EPOCH, VALUE, Halving
from mtneuro_ray.config.space import AshaSettings
from mtneuro_ray.storage.records import RunRecord
from mtneuro_ray.sweep.search import Plan
from tests.sweep.test_search import cells_of, done, search_of, stopped

LR = {"learning_rate": [0.1, 0.01, 0.001]}
NOBODY: Any = None


def plans_of(axes: dict[str, Any] = LR, **changes: Any) -> list[Plan]:
    return cells_of(search_of(axes, **changes))


def renamed(plan: Plan, experiment: str) -> Plan:
    """The same candidate of another experiment."""
    return Plan(plan.run, plan.pair, {**plan.point, "experiment": experiment}, plan.metric, plan.mode)


def goes_on(halving: Halving, plan: Plan, *values: float) -> list[bool]:
    """Whether a new trial of a plan may go on after each epoch."""
    trial = SimpleNamespace(trial_id=object(), config=plan.point)
    halving.on_trial_add(NOBODY, trial)
    results = [{EPOCH: epoch, VALUE: value} for epoch, value in enumerate(values, start=1)]
    decisions = [halving.on_trial_result(NOBODY, trial, result) == Halving.CONTINUE for result in results]
    halving.on_trial_complete(NOBODY, trial, results[-1])
    return decisions


@pytest.mark.parametrize(("mode", "sign"), [("max", 1.0), ("min", -1.0)])
def test_a_cell_goes_on_while_it_is_among_the_best_of_its_setting(mode: str, sign: float) -> None:
    first, second, third = plans_of(mode=mode)
    halving = Halving(AshaSettings(), [first, second, third])
    assert goes_on(halving, first, sign * 0.5) == [True]
    assert goes_on(halving, second, sign * 0.4) == [False]
    assert goes_on(halving, third, sign * 0.6) == [True]


def test_settings_are_not_compared_with_each_other() -> None:
    good, other, _ = plans_of()
    bad = renamed(other, "another/experiment")
    halving = Halving(AshaSettings(), [good, bad])
    assert goes_on(halving, good, 0.9) == [True]
    assert goes_on(halving, bad, 0.1) == [True]


def test_no_cell_is_stopped_within_its_grace() -> None:
    plans = plans_of({"learning_rate": [0.1, 0.01], "epochs": [9]})
    halving = Halving(AshaSettings(grace_epochs=2, reduction_factor=3.0), plans)
    assert goes_on(halving, plans[0], *[0.5] * 8) == [True] * 8
    assert goes_on(halving, plans[1], *[0.4] * 8)[:2] == [True, False]


def test_a_grace_beyond_the_last_epoch_stops_none() -> None:
    plans = plans_of()
    halving = Halving(AshaSettings(grace_epochs=50), plans)
    assert [goes_on(halving, plan, value) for plan, value in zip(plans, (0.9, 0.5, 0.1), strict=True)] == [[True]] * 3


def test_cells_have_to_keep_up_with_those_of_earlier_rounds() -> None:
    before, failed, other, *new = plans_of({"learning_rate": [0.1, 0.01, 0.001, 0.05, 0.02], "epochs": [3]})
    records: list[tuple[Plan, RunRecord]] = [
        (before, stopped(before.run, 0.5)),
        (failed, RunRecord.failed(failed.run, "diverged")),
        (renamed(other, "another/experiment"), done(other.run, 1.0)),
    ]
    halving = Halving(AshaSettings(), new, records)
    assert goes_on(halving, new[0], 0.4) == [False]
    assert goes_on(halving, new[1], 0.6) == [True]
    assert goes_on(Halving(AshaSettings(), new), new[0], 0.4) == [True]
