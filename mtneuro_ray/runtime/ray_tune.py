"""A stage of a sweep on Ray Tune: a list of runs, each a trial, proposed by Optuna."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna
import ray.tune
import torch
from ray.tune import Callback, RunConfig, TuneConfig, Tuner
from ray.tune.search.optuna import OptunaSearch

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.space import ResourceSettings, Scalar
from mtneuro_ray.engine.context import WorkerContext
from mtneuro_ray.errors import MTNeuroError
from mtneuro_ray.results.record import RunFolder, RunRecord
from mtneuro_ray.runtime.execute import checkpoint_folder, execute
from mtneuro_ray.runtime.progress import say
from mtneuro_ray.runtime.ray_data import SplitRefs, get_splits
from mtneuro_ray.runtime.ray_train import train_on_workers
from mtneuro_ray.storage import Folder

# Trials that wait for room: enough that an autoscaler sees the demand, few enough for the driver.
_MOST_CONCURRENT = 128
_VALUE = "value"


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of a stage.

    Attributes:
        run: What is trained.
        point: The parameters under which Tune and Optuna know it.
        metric: Number that is reported.
        splits: The data that it reads.
    """

    run: RunSettings
    point: dict[str, Scalar]
    metric: str
    splits: SplitRefs

    @property
    def key(self) -> str:
        """The point, as text."""
        return _key_of(self.point)


def _key_of(point: Mapping[str, Scalar]) -> str:
    return json.dumps(point, sort_keys=True)


def _space_of(trials: list[Trial]) -> Any:
    """A define-by-run space that suggests exactly the points of these trials.

    Optuna wants one list of choices per parameter name, so settings with different axes share their union.
    """
    choices: dict[str, list[Scalar]] = {}
    for trial in trials:
        for name, value in trial.point.items():
            if value not in choices.setdefault(name, []):
                choices[name].append(value)
    names_of = {str(trial.point["setting"]): list(trial.point) for trial in trials}

    def suggest(trial: optuna.Trial) -> dict[str, Any]:
        setting = trial.suggest_categorical("setting", choices["setting"])
        for name in names_of[str(setting)]:
            if name != "setting":
                trial.suggest_categorical(name, choices[name])
        return {}

    return suggest


def _run_trial(config: dict[str, Any], trials: dict[str, Trial], out: Folder, resources: ResourceSettings) -> None:
    """The trainable. Its result is in the run's file before Tune hears of it."""
    trial = trials[_key_of(config)]
    record = RunFolder(out).read(trial.run.run_id)
    if record is None or record.status != "done":
        if resources.workers_per_trial > 1:
            record = train_on_workers(trial.run, trial.splits, out, resources)
        else:
            context = WorkerContext(
                device=torch.device("cuda" if resources.gpus_per_worker else "cpu"),
                threads=resources.cpus_per_worker,
                checkpoints=checkpoint_folder(out, trial.run),
            )
            record = execute(trial.run, get_splits(trial.splits), context, out)
    value = record.metric(trial.metric)
    ray.tune.report({_VALUE: math.nan if value is None else value})


class _Progress(Callback):
    """One line per finished trial."""

    def __init__(self, label: str, trials: dict[str, Trial], out: Folder) -> None:
        self._label = label
        self._trials = trials
        self._runs = RunFolder(out)
        self._ended = 0

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._tell(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._tell(trial)

    def _tell(self, trial: Any) -> None:
        known = self._trials[_key_of(trial.config)]
        self._ended += 1
        record = self._runs.read(known.run.run_id)
        point = " ".join(f"{name}={value}" for name, value in known.point.items() if name != "setting")
        say(
            f"[{self._label} {self._ended}/{len(self._trials)}] {known.point['setting']} {point}: "
            f"{_described(record, known.metric)}"
        )


def _described(record: RunRecord | None, metric: str) -> str:
    if record is None:
        return "error: its process was lost"
    if record.status == "error":
        return f"error: {record.error}"
    return f"{metric} {record.metric(metric):.4f}, {record.timings.get('total_s', 0.0):.1f} s"


def run_stage(label: str, trials: list[Trial], out: Folder, resources: ResourceSettings) -> None:
    """Run every trial once, as many at a time as there is room for; each leaves its run's file.

    A trial that fails is recorded and stops nothing.
    """
    by_key = {trial.key: trial for trial in trials}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    search = OptunaSearch(
        space=_space_of(trials), metric=_VALUE, mode="max", points_to_evaluate=[trial.point for trial in trials]
    )
    trainable = ray.tune.with_parameters(_run_trial, trials=by_key, out=out, resources=resources)
    tuner = Tuner(
        ray.tune.with_resources(trainable, _bundle(resources)),
        tune_config=TuneConfig(
            metric=_VALUE,
            mode="max",
            search_alg=search,
            num_samples=len(trials),
            max_concurrent_trials=resources.max_concurrent or min(len(trials), _MOST_CONCURRENT),
            reuse_actors=True,
        ),
        run_config=RunConfig(
            name=label,
            storage_path=(out / "ray").root,
            verbose=0,
            callbacks=[_Progress(label, by_key, out)],
            failure_config=ray.tune.FailureConfig(max_failures=resources.max_failures),
        ),
    )
    tuner.fit()
    _record_losses(trials, out)


def _bundle(resources: ResourceSettings) -> dict[str, float]:
    if resources.workers_per_trial > 1:
        # The trial only waits; its workers have bundles of their own.
        if resources.max_concurrent is None:
            raise MTNeuroError(
                "run.max_concurrent: is needed with workers_per_trial above 1, or trials would wait for each "
                "other's workers; accepted: as many trials as the cluster has room for"
            )
        return {"cpu": 0.01}
    return {"cpu": resources.cpus_per_worker, "gpu": resources.gpus_per_worker}


def _record_losses(trials: list[Trial], out: Folder) -> None:
    """A trial whose process was killed could not write its own file."""
    runs = RunFolder(out)
    for trial in trials:
        if runs.read(trial.run.run_id) is None:
            runs.write(
                RunRecord.failed(trial.run, "its process was lost (killed, or out of memory), and so were its retries")
            )
