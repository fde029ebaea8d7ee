"""The searches of a sweep as Optuna studies, for `optuna-dashboard` and for whoever knows Optuna.

OUT/optuna.log, in Optuna's own journal format. Derived from the run files: no result depends on it, and it may be
deleted; the next sweep writes it again.
"""

from __future__ import annotations

import logging
import math
import tempfile
import warnings
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mtneuro_ray.config.axes import Axis, Range, choices
from mtneuro_ray.progress import say
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunRecord
from mtneuro_ray.sweep.experiment import Experiment, PlannedRun

if TYPE_CHECKING:
    import optuna

logger = logging.getLogger(__name__)

NAME = "optuna.log"
_RUN_ID = "run_id"


class StudyLog:
    """Tells Optuna's storage of candidates that have ended: one study an experiment, one trial a run.

    Writes happen in a thread, in order. In a bucket the file appears when the sweep ends.

    Args:
        out: The output folder.
        experiments: Experiments of the sweep.
    """

    def __init__(self, out: Folder, experiments: Iterable[Experiment]) -> None:
        self._out = out
        self._experiments = {each.name: each for each in experiments if each.space.searches}
        self._thread = ThreadPoolExecutor(1)
        self._writes: list[Future[None]] = []
        self._studies: dict[str, tuple[optuna.Study, set[str]]] = {}
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if not out.is_local:
            self._temporary = tempfile.TemporaryDirectory()
        self._path = Path(self._temporary.name if self._temporary is not None else out.root) / NAME

    def add(self, planned: PlannedRun, record: RunRecord) -> None:
        """Tell of a run that has ended. Final runs, and runs that the study has already, change nothing."""
        if planned.experiment in self._experiments and planned.run.role == "candidate":
            self._writes.append(self._thread.submit(self._add, planned, record))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(cancel_futures=kind is not None)
        failed = next((each.exception() for each in self._writes if not each.cancelled() and each.exception()), None)
        if failed is not None:
            say(f"{self._out}/{NAME}: not written ({type(failed).__name__}: {failed}); run files have all results")
        if self._temporary is not None:
            if self._path.exists():
                self._out.write(NAME, self._path.read_bytes())
            self._temporary.cleanup()

    def _add(self, planned: PlannedRun, record: RunRecord) -> None:
        if not self._studies:
            self._open()
        study, run_ids = self._studies[planned.experiment]
        if planned.run_id not in run_ids:
            run_ids.add(planned.run_id)
            study.add_trial(_trial(self._experiments[planned.experiment], planned, record))

    def _open(self) -> None:
        import optuna
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        directions = {"max": optuna.study.StudyDirection.MAXIMIZE, "min": optuna.study.StudyDirection.MINIMIZE}
        if self._temporary is not None and self._out.exists(NAME):
            self._path.write_bytes(self._out.read(NAME))
        if self._path.is_file():
            # A line that was cut short with its driver; what is appended would go on in it.
            content = self._path.read_bytes()
            self._path.write_bytes(content[: content.rfind(b"\n") + 1])

        def studies() -> dict[str, tuple[optuna.Study, set[str]]]:
            lock: Any = _Unlocked()
            storage = optuna.storages.JournalStorage(JournalFileBackend(str(self._path), lock_obj=lock))
            found = {}
            for name, experiment in self._experiments.items():
                direction = directions[experiment.space.mode]
                study = optuna.create_study(storage=storage, study_name=name, direction=direction, load_if_exists=True)
                if study.metric_names != [experiment.metric]:
                    study.set_metric_names([experiment.metric])
                found[name] = study, {str(trial.user_attrs.get(_RUN_ID)) for trial in study.get_trials(deepcopy=False)}
            return found

        # Names of metrics are experimental in Optuna.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            self._studies = studies()
        except Exception as error:
            # The study is derived from the run files and made anew.
            logger.warning("%s: can't be read (%s); the study is written again", self._path, type(error).__name__)
            self._path.unlink(missing_ok=True)
            self._studies = studies()


class _Unlocked:
    """A lock that locks nothing: the output folder has one driver, and a lock file would outlive one that is killed."""

    def acquire(self) -> bool:
        """Take nothing."""
        return True

    def release(self) -> None:
        """Let go of nothing."""


def _trial(experiment: Experiment, planned: PlannedRun, record: RunRecord) -> optuna.trial.FrozenTrial:
    import optuna
    from optuna.trial import TrialState

    value = record.metric(planned.metric)
    state = TrialState.FAIL
    if record.status == "done" and value is not None and math.isfinite(value):
        state = TrialState.COMPLETE
    elif record.status == "stopped":
        state = TrialState.PRUNED
    entries = {int(entry["epoch"]): float(entry[planned.metric]) for entry in record.history if planned.metric in entry}
    distributions = {key: _distribution(axis) for key, axis in experiment.space.search.axes.items()}
    if "seed" in planned.candidate:
        distributions["seed"] = optuna.distributions.CategoricalDistribution(experiment.space.seeds)
    trial = optuna.trial.create_trial(
        state=state,
        value=value if state is TrialState.COMPLETE else None,
        params={key: planned.candidate[key] for key in distributions},
        distributions=distributions,
        user_attrs={_RUN_ID: planned.run_id},
        intermediate_values=entries,
    )
    if {"began_at", "ended_at"} <= record.timings.keys():
        # Optuna's times are local and name no zone; without them a trial takes no time in the dashboard.
        trial.datetime_start = datetime.fromtimestamp(record.timings["began_at"])
        trial.datetime_complete = datetime.fromtimestamp(record.timings["ended_at"])
    return trial


def _distribution(axis: Axis) -> optuna.distributions.BaseDistribution:
    import optuna

    values = choices(axis)
    if isinstance(values, Range):
        return optuna.distributions.FloatDistribution(values.low, values.high, log=values.log)
    if isinstance(values, range):
        return optuna.distributions.IntDistribution(values[0], values[-1], step=values.step)
    return optuna.distributions.CategoricalDistribution(values)
