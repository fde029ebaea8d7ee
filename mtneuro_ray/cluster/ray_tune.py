"""A stage of a sweep on Ray Tune: a list of runs, each a trial, proposed by Optuna."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import ray.cloudpickle
import ray.tune
from ray.exceptions import RayTaskError
from ray.tune import Callback, FailureConfig, PlacementGroupFactory, RunConfig, TuneConfig, Tuner
from ray.tune.search.optuna import OptunaSearch

from mtneuro_ray.cluster.halving import EPOCH, VALUE, Halving
from mtneuro_ray.cluster.packing import Ask, Packing
from mtneuro_ray.cluster.ray_metrics import tell_run
from mtneuro_ray.cluster.stage import ENTRY, Shared, Stage, key_of
from mtneuro_ray.config.axes import Scalar
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.space import ResourceSettings
from mtneuro_ray.errors import in_one_line
from mtneuro_ray.progress import say
from mtneuro_ray.storage.checkpoints import LAST, checkpoint_folder
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord, outcome
from mtneuro_ray.sweep.search import Plan

# Trials that wait for room: enough that an autoscaler sees the demand, few enough for the driver.
_MOST_CONCURRENT = 128
_LOST = "its process was lost (killed, or out of memory) on every try"


class _Space:
    """A define-by-run space that suggests exactly the points of some runs.

    Optuna wants one list of choices per parameter name, so settings with different axes share their union. A class
    and no closure, because Tune pickles it with the searcher.
    """

    def __init__(self, plans: list[Plan]) -> None:
        self._choices: dict[str, list[Scalar]] = {}
        for plan in plans:
            for name, value in plan.point.items():
                if value not in self._choices.setdefault(name, []):
                    self._choices[name].append(value)
        self._axes = {str(plan.point["experiment"]): list(plan.point) for plan in plans}

    def __call__(self, trial: optuna.Trial) -> dict[str, Any]:
        """Suggest a point; Optuna fills in those that wait in its queue, in their order."""
        experiment = trial.suggest_categorical("experiment", self._choices["experiment"])
        for name in self._axes[str(experiment)]:
            trial.suggest_categorical(name, self._choices[name])
        return {}


def _run_trial(config: dict[str, Any], stage: Stage) -> None:
    # Here and not above: a driver, which trains nothing, starts seconds earlier without torch.
    from mtneuro_ray.cluster.trial import run_trial

    run_trial(stage.plans[key_of(config)], stage)


class _Ends(Callback):
    """One line per trial that ends, and the file of a run that was stopped, which no trial is there to write."""

    def __init__(self, label: str, stage: Stage) -> None:
        self._label = label
        self._plans = stage.plans
        self._out = stage.out
        self._runs = RunFolder(stage.out)
        self._ended = 0
        # Run id -> why Tune has given its trial up.
        self.reasons: dict[str, str] = {}
        # Run id -> epoch -> entry; a trial that was lost comes back to epochs that it has reported before.
        self._history: dict[str, dict[int, dict[str, Any]]] = {}

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Keep what a trial reports while it may still be stopped."""
        if ENTRY in result:
            run_id = self._plans[key_of(trial.config)].run.run_id
            self._history.setdefault(run_id, {})[result[EPOCH]] = result[ENTRY]

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tell of a trial that ran to its end or was stopped."""
        if ENTRY in trial.last_result:
            self._record_stop(self._plans[key_of(trial.config)].run)
        self._tell(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tell of a trial that was given up."""
        self.reasons[self._plans[key_of(trial.config)].run.run_id] = _reason(trial)
        self._tell(trial)

    def _record_stop(self, run: RunSettings) -> None:
        entries = self._history.pop(run.run_id)
        history = [entries[epoch] for epoch in sorted(entries)]
        settings = run.model_dump(mode="json")
        self._runs.write(RunRecord(run.run_id, "stopped", run.summary(), settings, history=history))
        checkpoint_folder(self._out, run).delete(LAST)

    def _tell(self, trial: Any) -> None:
        plan = self._plans[key_of(trial.config)]
        self._ended += 1
        record, reason = self._runs.read(plan.run.run_id), self.reasons.get(plan.run.run_id)
        tell_run(plan.run, record)
        told = f"error: {reason}" if reason else outcome(record, plan.metric)
        say(f"[{self._label} {self._ended}/{len(self._plans)}] {plan}: {told}")


def _reason(trial: Any) -> str:
    """Why a trial failed for the last time, in one line."""
    path = trial.pickled_error_file
    error = ray.cloudpickle.loads(Path(path).read_bytes()) if path else None
    if not isinstance(error, RayTaskError):
        return _LOST
    return in_one_line(error.cause)


def run_stage(
    label: str,
    plans: list[Plan],
    shared: Shared,
    out: Folder,
    resources: ResourceSettings,
    halving: Halving | None = None,
    packing: Packing | None = None,
) -> None:
    """Run every plan once, as many at a time as there is room for; each leaves its run's file.

    A run that fails is recorded and ends nothing else. One that exhausts memory beside others, or whose process is
    lost on every try, is tried once more with a device to itself; it is not stopped early, then.

    Args:
        label: Name of the stage.
        plans: What to run, distinct.
        shared: What they have in common.
        out: Folder of the run files.
        resources: What a trial occupies.
        halving: What stops runs that fall behind; none is stopped without it.
        packing: What a trial asks for; what the settings say by default.
    """
    packing = packing or Packing(resources)
    asks = {key_of(plan.point): packing.ask(plan.run) for plan in plans}
    stage = Stage({key_of(plan.point): plan for plan in plans}, shared, out, resources, halving is not None, asks)
    alone = _alone(stage, packing, _record_losses(stage, _fit(label, stage, halving)))
    if alone.plans:
        say(
            f"{label}: {len(alone.plans)} ran out of memory or were lost beside others; each has a device to itself now"
        )
        _record_losses(alone, _fit(f"{label}_alone", alone))


def _fit(label: str, stage: Stage, halving: Halving | None = None) -> dict[str, str]:
    """Run the trials of a stage; why those failed that were given up, by run id."""
    plans, resources = list(stage.plans.values()), stage.resources
    # Tune would only end this stage, as if all that is left of it were lost, and the next one would begin.
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    search = OptunaSearch(
        space=_Space(plans), metric=VALUE, mode="max", points_to_evaluate=[plan.point for plan in plans]
    )
    ends = _Ends(label, stage)
    tuner = Tuner(
        ray.tune.with_resources(
            ray.tune.with_parameters(_run_trial, stage=stage), partial(_bundle_of, _bundles(stage))
        ),
        tune_config=TuneConfig(
            metric=VALUE,
            mode="max",
            search_alg=search,
            scheduler=halving,
            num_samples=len(plans),
            max_concurrent_trials=resources.max_concurrent or min(len(plans), _MOST_CONCURRENT),
            reuse_actors=True,
        ),
        run_config=RunConfig(
            name=label,
            storage_path=(stage.out / "ray").root,
            verbose=0,
            callbacks=[ends],
            failure_config=FailureConfig(max_failures=resources.max_failures),
        ),
    )
    # With all trials ended, Tune reads its errors back from files that a full disk may have cut short; `ends` has them.
    with suppress(EOFError, pickle.UnpicklingError):
        tuner.fit()
    return ends.reasons


def _bundles(stage: Stage) -> dict[str, dict[str, float]]:
    if stage.resources.workers_per_trial > 1:
        # The trial only waits; its workers have bundles of their own. Tune wants something to place it by, and a
        # fraction of a CPU would be missing for the last worker of a full machine.
        return {key: {"memory": 1} for key in stage.asks}
    return {key: ask.bundle for key, ask in stage.asks.items()}


def _bundle_of(bundles: Mapping[str, dict[str, float]], config: Mapping[str, Any]) -> PlacementGroupFactory:
    return PlacementGroupFactory([bundles[key_of(config)]])


def _alone(stage: Stage, packing: Packing, records: Mapping[str, RunRecord]) -> Stage:
    """The stage of those runs that may come to their end with a device to themselves."""
    found: dict[str, tuple[Plan, Ask, str]] = {}
    for key, plan in stage.plans.items():
        record = records[plan.run.run_id]
        if record.status == "error" and record.placement.get("out_of_memory"):
            ask = packing.alone(plan.run)
            if ask is not None:
                found[key] = (plan, ask, f"{record.error} (asked for {stage.asks[key]})")
    return replace(
        stage,
        plans={key: plan for key, (plan, _, _) in found.items()},
        asks={key: ask for key, (_, ask, _) in found.items()},
        alone_after={plan.run.run_id: reason for plan, _, reason in found.values()},
        can_stop=False,
    )


def _record_losses(stage: Stage, reasons: Mapping[str, str]) -> dict[str, RunRecord]:
    """Write the files of trials that could not: their process was killed, or the disk was full.

    Returns:
        What became of every run, by its id.
    """
    runs = RunFolder(stage.out)
    records = {record.run_id: record for record in runs.read_all(plan.run.run_id for plan in stage.plans.values())}
    for plan in stage.plans.values():
        run_id = plan.run.run_id
        record, reason, is_alone = records.get(run_id), reasons.get(run_id, _LOST), run_id in stage.alone_after
        # What an earlier sweep or try has left is not what became of this trial: neither an error nor, where nothing is
        # stopped, a stop.
        stopped_before = record is not None and record.status == "stopped" and not stage.can_stop
        failed_before = record is not None and record.status == "error" and "alone_after" not in record.placement
        gave_up = run_id in reasons and record is not None and record.error != reason
        if record is None or gave_up or stopped_before or (is_alone and failed_before):
            placement = stage.placement_of(plan)
            if reason == _LOST:
                # The kernel and Ray kill what takes the last memory of a machine, and a lost process tells nobody why.
                placement["out_of_memory"] = True
                if is_alone:
                    reason += ", with a device to itself, too; accepted: a smaller batch_size, or more memory"
            records[run_id] = RunRecord.failed(plan.run, reason, placement=placement)
            runs.write(records[run_id])
    return records
