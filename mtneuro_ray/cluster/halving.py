"""Successive halving of the candidates of a sweep: which of them are stopped before their last epoch."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler

from mtneuro_ray.config.space import AshaSettings
from mtneuro_ray.storage.records import RunRecord
from mtneuro_ray.sweep.search import Plan

# Keys of what a trial reports to Tune: the metric that selects its candidate, and after which epoch.
VALUE = "value"
EPOCH = "epoch"


class Halving(FIFOScheduler):
    """Ray's ASHA within each experiment: candidates of different tasks or networks are never compared.

    Args:
        asha: When a candidate is stopped.
        plans: Candidates to come.
        earlier: Candidates that came before, in other rounds or other submits; those to come have to keep up with them.
    """

    def __init__(
        self, asha: AshaSettings, plans: Sequence[Plan], earlier: Sequence[tuple[Plan, RunRecord]] = ()
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        every = [*plans, *(plan for plan, _ in earlier)]
        self._of = {
            experiment: _of_experiment(asha, [plan for plan in every if plan.experiment == experiment])
            for experiment in {plan.experiment for plan in plans}
        }
        for plan, record in earlier:
            if plan.experiment in self._of:
                _replay(self._of[plan.experiment], plan, record)

    def _asha_of(self, trial: Any) -> ASHAScheduler:
        return self._of[trial.config["experiment"]]

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Enter a trial."""
        self._asha_of(trial).on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Decide whether a trial goes on after what it has reported."""
        return self._asha_of(trial).on_trial_result(tune_controller, trial, result)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Let go of a trial that has ended."""
        self._asha_of(trial).on_trial_complete(tune_controller, trial, result)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Let go of a trial that never ran."""
        self._asha_of(trial).on_trial_remove(tune_controller, trial)


def _of_experiment(asha: AshaSettings, plans: Sequence[Plan]) -> ASHAScheduler:
    epochs = max(plan.run.network.optimizer.epochs for plan in plans)
    return ASHAScheduler(
        time_attr=EPOCH,
        metric=VALUE,
        mode=plans[0].mode,
        max_t=epochs,
        grace_period=min(asha.grace_epochs, epochs),
        reduction_factor=asha.reduction_factor,
    )


def _replay(scheduler: ASHAScheduler, plan: Plan, record: RunRecord) -> None:
    """Show a scheduler what a run has reported, as a trial of which it knows no more than the id."""
    trial: Any = SimpleNamespace(trial_id=plan.run.run_id)
    nobody: Any = None
    scheduler.on_trial_add(nobody, trial)
    for entry in record.history:
        # As in a trial, whose last epoch is never reported.
        if entry["epoch"] < plan.run.network.optimizer.epochs:
            scheduler.on_trial_result(nobody, trial, {EPOCH: entry["epoch"], VALUE: entry[plan.metric]})
