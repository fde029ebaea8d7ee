import gc
import weakref
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.experiment import Trial

from mtneuro_ray.cluster.dispatch import EPOCH, VALUE
from mtneuro_ray.cluster.ray_tune import forget
from mtneuro_ray.cluster.schedulers import AshaPerExperiment
from mtneuro_ray.config.resources import AshaSettings
from mtneuro_ray.storage.records import RunRecord
from mtneuro_ray.sweep.experiment import Experiment, PlannedRun
from tests.sweep.test_experiment import candidates_of, experiment_of, stopped

LR = {"learning_rate": [0.1, 0.01, 0.001]}
CONTROLLER: Any = SimpleNamespace(_actor_cache=None)


def halving_of(
    asha: AshaSettings, experiments: list[Experiment], earlier: Sequence[tuple[PlannedRun, RunRecord]] = ()
) -> AshaPerExperiment:
    return AshaPerExperiment(asha, lambda trial: trial.config["job"], experiments, earlier)


def goes_on(halving: AshaPerExperiment, planned: PlannedRun, *values: float, can_stop: bool = True) -> list[bool]:
    """Whether a new trial of a run may go on after each epoch."""
    job = SimpleNamespace(planned=planned, can_stop=can_stop)
    trial: Any = SimpleNamespace(trial_id=object(), config={"job": job})
    halving.on_trial_add(CONTROLLER, trial)
    results = [{EPOCH: epoch, VALUE: value} for epoch, value in enumerate(values, start=1)]
    decisions = [halving.on_trial_result(CONTROLLER, trial, result) == AshaPerExperiment.CONTINUE for result in results]
    halving.on_trial_complete(CONTROLLER, trial, results[-1])
    return decisions


@pytest.mark.parametrize(("mode", "sign"), [("max", 1.0), ("min", -1.0)])
def test_a_candidate_goes_on_while_it_is_among_the_best_of_its_experiment(mode: str, sign: float) -> None:
    experiment = experiment_of(LR, mode=mode)
    first, second, third = candidates_of(experiment)
    halving = halving_of(AshaSettings(), [experiment])
    assert goes_on(halving, first, sign * 0.5) == [True]
    assert goes_on(halving, second, sign * 0.4) == [False]
    assert goes_on(halving, third, sign * 0.6) == [True]
    # A run that is tried again by itself, or a final run.
    assert goes_on(halving, second, sign * 0.1, can_stop=False) == [True]


def test_experiments_are_not_compared_with_each_other() -> None:
    one = experiment_of(LR)
    other = Experiment(one.space, replace(one.pair, network=one.pair.network.replace("n", name="other")), one.data)
    halving = halving_of(AshaSettings(), [one, other])
    assert goes_on(halving, candidates_of(one)[0], 0.9) == [True]
    assert goes_on(halving, candidates_of(other)[1], 0.1) == [True]


def test_no_candidate_is_stopped_within_its_grace() -> None:
    experiment = experiment_of({"learning_rate": [0.1, 0.01], "epochs": [9]})
    first, second = candidates_of(experiment)
    halving = halving_of(AshaSettings(grace_epochs=2, reduction_factor=3.0), [experiment])
    assert goes_on(halving, first, *[0.5] * 8) == [True] * 8
    assert goes_on(halving, second, *[0.4] * 8)[:2] == [True, False]


def test_a_grace_beyond_the_last_epoch_stops_none() -> None:
    experiment = experiment_of(LR)
    halving = halving_of(AshaSettings(grace_epochs=50), [experiment])
    values = zip(candidates_of(experiment), (0.9, 0.5, 0.1), strict=True)
    assert [goes_on(halving, planned, value) for planned, value in values] == [[True]] * 3


def test_candidates_have_to_keep_up_with_those_of_earlier_sweeps() -> None:
    experiment = experiment_of({"learning_rate": [0.1, 0.01, 0.05, 0.02], "epochs": [3]})
    before, failed, *new = candidates_of(experiment)
    records = [(before, stopped(before.run, 0.5)), (failed, RunRecord.failed(failed.run, "diverged"))]
    halving = halving_of(AshaSettings(), [experiment], records)
    assert goes_on(halving, new[0], 0.4) == [False]
    assert goes_on(halving, new[1], 0.6) == [True]
    assert goes_on(halving_of(AshaSettings(), [experiment]), new[0], 0.4) == [True]


def test_nothing_of_an_ended_trial_holds_its_job() -> None:
    class Job:
        """Stands for a reference into the object store; a weak one tells whether it is held."""

    job = Job()
    config = {"run": "r", "job": job}
    trial = Trial("sweep", stub=True, config=dict(config), evaluated_params=dict(config))
    trial.run_metadata.last_result = {"config": dict(config), EPOCH: 1}
    trial._default_result_or_future = {"config": dict(config)}
    held = weakref.ref(job)
    del job, config
    forget(trial)
    gc.collect()
    assert held() is None
    assert trial.last_result[EPOCH] == 1
    assert trial.config["run"] == "r"
