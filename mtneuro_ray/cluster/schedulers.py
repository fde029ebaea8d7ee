"""Which waiting trial starts first, which processes are kept for the next trial, and which candidates are stopped.

With `reuse_actors`, Tune 2.60 keeps one free process at most while no other trial waits, ends the others, and gives a
free process to any of the trials that wait. A process that starts again imports torch, for seconds, and the trials of a
sweep have an order. Both are decided here, in two objects of Tune's controller: its cache of processes, which is
private (`ray.tune.utils.object_cache`), and its scheduler.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Hashable, Iterable
from types import SimpleNamespace
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.utils.object_cache import _ObjectCache

from mtneuro_ray.cluster.dispatch import EPOCH, ORDER, VALUE, Job
from mtneuro_ray.config.resources import AshaSettings
from mtneuro_ray.storage.records import RunRecord
from mtneuro_ray.sweep.experiment import Experiment, PlannedRun

# Longer, and an autoscaler would pay for machines that nobody uses.
_IDLE_S = 60.0


class _Kept(_ObjectCache):
    """Keeps every free process for a minute, unless a trial waits that asks for other resources."""

    def __init__(self) -> None:
        super().__init__(may_keep_one=True)
        self._moved = time.monotonic()

    def cache_object(self, key: Hashable, obj: Any) -> bool:
        """Keep the process of a trial that has ended; whether it was kept."""
        self._moved = time.monotonic()
        if self._expects_others(key):
            return bool(super().cache_object(key, obj))
        self._cached_objects[key].append(obj)
        self._num_cached_objects += 1
        return True

    def pop_cached_object(self, key: Hashable) -> Any:
        """A kept process for these resources, or None."""
        self._moved = time.monotonic()
        return super().pop_cached_object(key)

    def flush_cached_objects(self, force_all: bool = False) -> Generator[Any, None, None]:
        """The processes that are kept no longer."""
        keys = [key for key, objects in self._cached_objects.items() if objects]
        is_idle = time.monotonic() - self._moved > _IDLE_S
        if force_all or is_idle or any(self._expects_others(key) for key in keys):
            yield from super().flush_cached_objects(force_all=force_all)

    def _expects_others(self, key: Hashable) -> bool:
        return any(count > 0 for other, count in self._max_num_objects.items() if other != key)


class Ordered(FIFOScheduler):
    """Starts waiting trials in the order of their jobs (`Job.order`), in processes that are kept."""

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Put the cache of processes in place."""
        controller = getattr(tune_controller, "_tune_controller", tune_controller)
        if not isinstance(controller._actor_cache, _Kept):
            controller._actor_cache = _Kept()

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The waiting trial with the smallest order; None where none waits."""
        waiting = [trial for trial in tune_controller.get_live_trials() if trial.status == Trial.PENDING]
        return min(waiting, key=lambda trial: trial.config[ORDER], default=None)


class AshaPerExperiment(Ordered):
    """Ray's ASHA within each experiment: candidates of different tasks or networks are never compared.

    Args:
        asha: When a candidate is stopped.
        job_of: Trial -> its job, if it has one. Trials of jobs that cannot be stopped are not judged.
        experiments: Experiments of the sweep.
        earlier: Candidates that have ended in earlier sweeps; those to come have to keep up with them.
    """

    def __init__(
        self,
        asha: AshaSettings,
        job_of: Callable[[Trial], Job | None],
        experiments: Iterable[Experiment],
        earlier: Iterable[tuple[PlannedRun, RunRecord]] = (),
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._job_of = job_of
        searched = [experiment for experiment in experiments if experiment.space.searches]
        self._of = {experiment.name: _of_experiment(asha, experiment) for experiment in searched}
        for planned, record in earlier:
            _replay(self._of[planned.experiment], planned, record)

    def _judge(self, trial: Trial) -> ASHAScheduler | None:
        """The scheduler of the trial's experiment; None for a trial that cannot be stopped."""
        job = self._job_of(trial)
        return self._of[job.planned.experiment] if job is not None and job.can_stop else None

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
        """Tell the scheduler of the experiment that a trial has ended."""
        if (judge := self._judge(trial)) is not None:
            judge.on_trial_complete(tune_controller, trial, result)


def _of_experiment(asha: AshaSettings, experiment: Experiment) -> ASHAScheduler:
    pair = experiment.pair
    candidates = experiment.space.search.checked_candidates
    epochs = max(pair.network.replace(str(pair.network_file), **each).optimizer.epochs for each in candidates)
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
