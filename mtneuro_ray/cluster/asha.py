"""Successive halving of the candidates of a sweep: which of them are stopped before their last epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from mtneuro_ray.cluster.actors import Ordered
from mtneuro_ray.cluster.job import EPOCH, VALUE, Job
from mtneuro_ray.config.resources import AshaSettings
from mtneuro_ray.storage.records import RunRecord
from mtneuro_ray.sweep.experiment import Experiment, PlannedRun


class AshaPerExperiment(Ordered):
    """Ray's ASHA within each experiment: candidates of different tasks or networks are never compared.

    Args:
        asha: When a candidate is stopped.
        job_of: Trial -> its job. Trials of jobs that cannot be stopped are not judged.
        priority: Trial -> how early it should start; larger is earlier.
        experiments: Experiments of the sweep.
        earlier: Candidates that have ended in earlier sweeps; those to come have to keep up with them.
    """

    def __init__(
        self,
        asha: AshaSettings,
        job_of: Callable[[Trial], Job],
        priority: Callable[[Trial], float],
        experiments: Iterable[Experiment],
        earlier: Iterable[tuple[PlannedRun, RunRecord]] = (),
    ) -> None:
        super().__init__(priority)
        self._job_of = job_of
        searched = [experiment for experiment in experiments if experiment.space.searches]
        self._of = {experiment.name: _of_experiment(asha, experiment) for experiment in searched}
        for planned, record in earlier:
            _replay(self._of[planned.experiment], planned, record)

    def _judge(self, trial: Trial) -> ASHAScheduler | None:
        """The scheduler that a trial is judged by, if it is."""
        job = self._job_of(trial)
        return self._of[job.planned.experiment] if job.can_stop else None

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Enter a trial."""
        super().on_trial_add(tune_controller, trial)
        if (judge := self._judge(trial)) is not None:
            judge.on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Decide whether a trial goes on after what it has reported."""
        judge = self._judge(trial)
        return TrialScheduler.CONTINUE if judge is None else judge.on_trial_result(tune_controller, trial, result)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """Let go of a trial that has ended."""
        super().on_trial_complete(tune_controller, trial, result)
        if (judge := self._judge(trial)) is not None:
            judge.on_trial_complete(tune_controller, trial, result)


def _of_experiment(asha: AshaSettings, experiment: Experiment) -> ASHAScheduler:
    pair = experiment.pair
    candidates = experiment.space.search.checked_candidates
    networks = [pair.network.replace(str(pair.network_file), **candidate) for candidate in candidates]
    epochs = max(network.optimizer.epochs for network in networks)
    return ASHAScheduler(
        time_attr=EPOCH,
        metric=VALUE,
        mode=experiment.space.mode,
        max_t=epochs,
        grace_period=min(asha.grace_epochs, epochs),
        reduction_factor=asha.reduction_factor,
    )


def _replay(scheduler: ASHAScheduler, planned: PlannedRun, record: RunRecord) -> None:
    """Show a scheduler what a run has reported, as a stub trial with only an id."""
    trial: Any = SimpleNamespace(trial_id=planned.run_id)
    nobody: Any = None
    scheduler.on_trial_add(nobody, trial)
    for entry in record.history:
        # As in a trial, whose last epoch is never reported.
        if entry["epoch"] < planned.run.network.optimizer.epochs:
            scheduler.on_trial_result(nobody, trial, {EPOCH: entry["epoch"], VALUE: entry[planned.metric]})
