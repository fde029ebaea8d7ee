"""Optuna in a sweep: proposals by its Tree-structured Parzen Estimator (TPE), and the searches as Optuna studies.

The studies are kept in OUT/optuna.log, in Optuna's journal format, for `optuna-dashboard`. The file is derived from the
run files: no result depends on it, and the next sweep writes it again if it was deleted.
"""

from __future__ import annotations

import logging
import math
import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from mtneuro_ray.config.search_axes import Axis, Range, choices
from mtneuro_ray.config.space import Candidate, Mode
from mtneuro_ray.progress import say
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunRecord
from mtneuro_ray.sweep.experiment import Experiment, PlannedRun

if TYPE_CHECKING:
    import optuna

logger = logging.getLogger(__name__)

NAME = "optuna.log"
RUN_ID = "run_id"
"""Attribute of a trial: the id of its run."""
_MOST_CHOICES = 64
_DIRECTIONS: dict[Mode, Literal["maximize", "minimize"]] = {"max": "maximize", "min": "minimize"}


class Tpe:
    """Proposes the candidates of a search, a round at a time. Equal seeds and results give equal proposals.

    Args:
        axes: Searched key -> values or range.
        seed: Seed of the sampler.
        mode: "max" if larger values of the metric are better, "min" if smaller ones are.
        metric: Name of the validation metric.
    """

    def __init__(self, axes: Mapping[str, Axis], seed: int, mode: Mode, metric: str) -> None:
        # Not at the top: it takes half a second, and only these classes need it.
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # Optuna's constant liar spreads the proposals of a round.
        sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        self._study = optuna.create_study(sampler=sampler, direction=_DIRECTIONS[mode])
        self._axes, self._metric = axes, metric
        self._asked: list[optuna.Trial] = []

    def ask(self, count: int) -> list[Candidate]:
        """The candidates of the next round."""
        distributions = {key: _distribution(axis) for key, axis in self._axes.items()}
        self._asked = [self._study.ask(distributions) for _ in range(count)]
        rounding = {key: each.rounded for key, axis in self._axes.items() if isinstance(each := choices(axis), Range)}
        return [
            {key: rounding[key](value) if key in rounding else value for key, value in trial.params.items()}
            for trial in self._asked
        ]

    def tell(self, records: Sequence[RunRecord]) -> None:
        """Pass on the records of the candidates of the round, in the order in which they were proposed."""
        for trial, record in zip(self._asked, records, strict=True):
            state, value = _result(record, self._metric)
            if record.status == "stopped":
                for entry in record.history:
                    trial.report(entry[self._metric], entry["epoch"])
            self._study.tell(trial, value, state)


class StudyLog:
    """Writes the ended candidates of a sweep to Optuna's storage: one study per experiment, one trial per run.

    A thread writes them in order. In a bucket the file appears when the sweep ends.

    Args:
        out: Output folder.
        experiments: Experiments of the sweep.
    """

    def __init__(self, out: Folder, experiments: Iterable[Experiment]) -> None:
        self._out = out
        self._experiments = {each.name: each for each in experiments if each.space.searches}
        self._thread = ThreadPoolExecutor(1)
        self._failed: BaseException | None = None
        self._studies: dict[str, tuple[optuna.Study, set[str]]] = {}
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if not out.is_local:
            self._temporary = tempfile.TemporaryDirectory()
        self._path = Path(self._temporary.name if self._temporary is not None else out.root) / NAME

    def add(self, planned: PlannedRun, record: RunRecord) -> None:
        """Add a run that has ended. Final runs, and runs that the study already has, are ignored."""
        if planned.experiment in self._experiments and planned.run.role == "candidate":
            self._thread.submit(self._add, planned, record).add_done_callback(self._note)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(cancel_futures=kind is not None)
        if self._failed is not None:
            name = type(self._failed).__name__
            say(f"{self._out}/{NAME}: not written ({name}: {self._failed}); run files have all results")
        if self._temporary is not None:
            if self._path.exists():
                self._out.write(NAME, self._path.read_bytes())
            self._temporary.cleanup()

    def _note(self, write: Future[None]) -> None:
        """Keep the first error, and nothing of the other writes: there are as many as runs."""
        if not write.cancelled() and self._failed is None:
            self._failed = write.exception()

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
        if self._temporary is not None and self._out.exists(NAME):
            self._path.write_bytes(self._out.read(NAME))
        if self._path.is_file():
            # Drop a last line that was cut short when the driver was killed; new lines would be appended to it.
            content = self._path.read_bytes()
            self._path.write_bytes(content[: content.rfind(b"\n") + 1])

        def studies() -> dict[str, tuple[optuna.Study, set[str]]]:
            lock: Any = _Unlocked()
            storage = optuna.storages.JournalStorage(JournalFileBackend(str(self._path), lock_obj=lock))
            found = {}
            for name, experiment in self._experiments.items():
                direction = _DIRECTIONS[experiment.space.mode]
                study = optuna.create_study(storage=storage, study_name=name, direction=direction, load_if_exists=True)
                if study.metric_names != [experiment.metric]:
                    study.set_metric_names([experiment.metric])
                found[name] = study, {str(trial.user_attrs.get(RUN_ID)) for trial in study.get_trials(deepcopy=False)}
            return found

        # Optuna calls the names of metrics experimental.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            self._studies = studies()
        except Exception as error:
            logger.warning("%s: can't be read (%s); the study is written again", self._path, type(error).__name__)
            self._path.unlink(missing_ok=True)
            self._studies = studies()


def read_studies(path: Path) -> dict[str, optuna.Study]:
    """The studies in a copy of the log, by name. What Optuna raises for a damaged file is not one type of error."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    lock: Any = _Unlocked()
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
    names = optuna.get_all_study_names(storage)
    return {name: optuna.load_study(study_name=name, storage=storage) for name in names}


class _Unlocked:
    """A lock for Optuna that never blocks: the folder has one driver, and a killed driver would leave a lock file."""

    def acquire(self) -> bool:
        """Report success."""
        return True

    def release(self) -> None:
        """Do nothing."""


def _result(record: RunRecord, metric: str) -> tuple[optuna.trial.TrialState, float | None]:
    """State of the Optuna trial of a run, and its value if it is complete."""
    from optuna.trial import TrialState

    value = record.metric(metric)
    if record.status == "done" and value is not None and math.isfinite(value):
        return TrialState.COMPLETE, value
    return TrialState.PRUNED if record.status == "stopped" else TrialState.FAIL, None


def _trial(experiment: Experiment, planned: PlannedRun, record: RunRecord) -> optuna.trial.FrozenTrial:
    import optuna

    state, value = _result(record, planned.metric)
    entries = {int(entry["epoch"]): float(entry[planned.metric]) for entry in record.history if planned.metric in entry}
    distributions = {key: _shown_distribution(axis) for key, axis in experiment.space.search.axes.items()}
    if "seed" in planned.candidate:
        distributions["seed"] = optuna.distributions.CategoricalDistribution(experiment.space.seeds)
    trial = optuna.trial.create_trial(
        state=state,
        value=value,
        params={key: planned.candidate[key] for key in distributions},
        distributions=distributions,
        user_attrs={RUN_ID: planned.run_id},
        intermediate_values=entries,
    )
    if {"began_at", "ended_at"} <= record.timings.keys():
        # Optuna's times are local, without a zone; without them the dashboard shows no duration.
        trial.datetime_start = datetime.fromtimestamp(record.timings["began_at"])
        trial.datetime_complete = datetime.fromtimestamp(record.timings["ended_at"])
    return trial


def _shown_distribution(axis: Axis) -> optuna.distributions.BaseDistribution:
    """Distribution of an axis in the log. A long list of numbers is a range: each trial keeps all choices of a list."""
    import optuna

    values = choices(axis)
    if (
        isinstance(values, tuple)
        and len(values) > _MOST_CHOICES
        and all(type(value) in (int, float) for value in values)
    ):
        numbers = [float(value) for value in values]
        return optuna.distributions.FloatDistribution(min(numbers), max(numbers))
    return _distribution(axis)


def _distribution(axis: Axis) -> optuna.distributions.BaseDistribution:
    import optuna

    values = choices(axis)
    if isinstance(values, Range):
        return optuna.distributions.FloatDistribution(values.low, values.high, log=values.log)
    if isinstance(values, range):
        return optuna.distributions.IntDistribution(values[0], values[-1], step=values.step)
    return optuna.distributions.CategoricalDistribution(values)
