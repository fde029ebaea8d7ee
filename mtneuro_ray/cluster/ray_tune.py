"""A sweep as one experiment of Ray Tune: each run is a trial, handed out as soon as it can start."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
import ray.cloudpickle
import ray.tune
from ray.exceptions import RayTaskError
from ray.tune import Callback, FailureConfig, PlacementGroupFactory, RunConfig, TuneConfig, Tuner
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from mtneuro_ray.cluster.dispatch import ENTRY, EPOCH, LOST, ORDER, VALUE, Dispatch
from mtneuro_ray.cluster.schedulers import AshaPerExperiment, Ordered
from mtneuro_ray.config.resources import ResourceSettings
from mtneuro_ray.errors import in_one_line
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.sweep.sweep import Sweep

logger = logging.getLogger(__name__)

# Trials that wait for room: enough that an autoscaler sees the demand, few enough for the driver.
_MOST_CONCURRENT = 128
# Keys of a trial's configuration. A trial without a run only imports what trials need: Tune gives its process to a
# trial that follows, so torch is imported while the first data are read.
_RUN = "run"
_JOB = "job"
_BUNDLE = "bundle"


def _run_trial(config: dict[str, Any]) -> None:
    # Here and not above: a driver, which trains nothing, starts seconds earlier without torch.
    from mtneuro_ray.cluster.trial import run_trial

    if config[_RUN] is None:
        # Tune requires the metric of every trial.
        ray.tune.report({VALUE: math.nan})
    else:
        run_trial(ray.get(config[_JOB]))


def _bundle_of(config: Mapping[str, Any]) -> PlacementGroupFactory:
    return PlacementGroupFactory([config[_BUNDLE]])


class _Runs(Searcher):
    """Proposes the runs of a sweep to Tune, each once. A sweep goes on from its run files, never from Tune's state."""

    def __init__(self, dispatch: Dispatch) -> None:
        super().__init__(metric=VALUE, mode="max")
        self._dispatch = dispatch
        self._warm_ups = dispatch.warm_ups(ray.cluster_resources())  # type: ignore[no-untyped-call]

    def suggest(self, trial_id: str) -> Any:
        """The configuration of a trial, None while nothing can start, or FINISHED."""
        if self._warm_ups:
            return {_RUN: None, ORDER: (), _BUNDLE: self._warm_ups.pop()}
        job = self._dispatch.next()
        if job is not None:
            return {_RUN: job.planned.run_id, ORDER: job.order, _JOB: ray.put(job), _BUNDLE: job.bundle}
        return Searcher.FINISHED if self._dispatch.is_over else None

    def set_search_properties(self, metric: str | None, mode: str | None, config: Any, **spec: Any) -> bool:
        """Accept what Tune says of the metric: the order of runs does not depend on it."""
        return True

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Ends come with the callback, which knows the trial."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Save nothing."""


class _Ends(Callback):
    """Tells the dispatch of trials that end, with the history of those that were stopped.

    Attributes:
        error: What the dispatch raised last: Tune gives it back as text alone.
    """

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self.error: Exception | None = None
        # Run id -> epoch -> entry; a trial that was lost comes back to epochs that it has reported before.
        self._history: dict[str, dict[int, dict[str, Any]]] = {}

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Keep what a trial reports while it may still be stopped."""
        if ENTRY in result:
            self._history.setdefault(trial.config[_RUN], {})[result[EPOCH]] = result[ENTRY]

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Tell of a trial that ran to its end or was stopped."""
        if trial.config[_RUN] is None:
            self._dispatch.warming -= 1
            return
        entries = self._history.pop(trial.config[_RUN], {})
        forget(trial)
        with self._keeping_errors():
            if ENTRY in trial.last_result:
                self._dispatch.stopped(trial.config[_RUN], [entries[epoch] for epoch in sorted(entries)])
            self._dispatch.end(trial.config[_RUN])

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Tell of a trial that was given up."""
        if trial.config[_RUN] is None:
            self._dispatch.warming -= 1
            return
        self._history.pop(trial.config[_RUN], None)
        forget(trial)
        with self._keeping_errors():
            self._dispatch.end(trial.config[_RUN], _reason(trial))

    @contextmanager
    def _keeping_errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.error = error
            raise


def forget(trial: Trial) -> None:
    """Drop what Tune keeps of a trial that has ended, or a driver's memory grows with the number of its runs."""
    # A job leaves the object store with the last reference, and Tune has four of them: the configuration, what the
    # searcher proposed, the last report, and what it asked of the process at its start (which it never saves either).
    for kept in (trial.config, trial.evaluated_params, trial.run_metadata.last_result.get("config", {})):
        kept.pop(_JOB, None)
    trial._default_result_or_future = None
    trial.metric_analysis.clear()
    trial.metric_n_steps.clear()


def _reason(trial: Trial) -> str:
    """Why a trial failed for the last time, in one line."""
    path = trial.pickled_error_file
    try:
        error = ray.cloudpickle.loads(Path(path).read_bytes()) if path else None
    except Exception as unreadable:
        return f"its error can't be read from {path} ({type(unreadable).__name__}); accepted: room on the disk"
    return in_one_line(error.cause) if isinstance(error, RayTaskError) else LOST


def run_all(sweep: Sweep, dispatch: Dispatch, out: Folder, resources: ResourceSettings) -> None:
    """Run what is missing of a sweep, as many runs at a time as there is room for; each leaves its run's file.

    Args:
        sweep: What is needed.
        dispatch: Hands out the runs.
        out: Folder of the run files, and of Tune's own.
        resources: What a trial occupies.
    """
    # Tune would end the experiment as if it were complete.
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    # Its state is of no use: a sweep goes on from its run files.
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "86400"
    ends = _Ends(dispatch)
    tuner = Tuner(
        ray.tune.with_resources(_run_trial, _bundle_of),
        tune_config=TuneConfig(
            search_alg=_Runs(dispatch),
            scheduler=_scheduler(sweep, dispatch, resources),
            num_samples=-1,
            max_concurrent_trials=resources.max_concurrent or _MOST_CONCURRENT,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: f"{trial.config[_RUN]}_{trial.trial_id}",
        ),
        run_config=RunConfig(
            name="sweep",
            storage_path=(out / "ray").root,
            verbose=0,
            callbacks=[ends],
            failure_config=FailureConfig(max_failures=resources.max_failures),
        ),
    )
    try:
        tuner.fit()
    except Exception as error:
        if ends.error is not None:
            raise ends.error from None
        # At its end Tune reads its state and errors back from files that a full disk may have cut short.
        if not dispatch.is_over:
            raise
        logger.info("%s/ray: Tune's own state can't be read (%s); nothing needs it", out, in_one_line(error))


def _scheduler(sweep: Sweep, dispatch: Dispatch, resources: ResourceSettings) -> Ordered:
    if resources.scheduler != "asha":
        return Ordered()  # type: ignore[no-untyped-call]
    earlier = [
        (planned, sweep.records[planned.run_id])
        for planned in sweep.known
        if planned.run.role == "candidate" and planned.run_id in sweep.records
    ]
    return AshaPerExperiment(
        resources.asha, lambda trial: dispatch.running.get(trial.config[_RUN]), sweep.experiments, earlier
    )
