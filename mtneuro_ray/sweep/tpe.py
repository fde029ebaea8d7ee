"""Optuna's Tree-structured Parzen Estimator, asked and told in rounds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import optuna
from optuna.trial import TrialState

from mtneuro_ray.config.axes import Axis, Range, Scalar, choices
from mtneuro_ray.config.space import Candidate, Mode
from mtneuro_ray.storage.records import RunRecord


class Tpe:
    """Proposes candidates from the results of those before. Equal seeds and equal results give equal proposals.

    Args:
        axes: Searched key -> values or range.
        seed: Seed of the sampler.
        mode: Whether more or less of the metric is better.
        metric: Name of the validation metric.
    """

    def __init__(self, axes: Mapping[str, Axis], seed: int, mode: Mode, metric: str) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # Optuna's constant liar spreads the proposals of a round.
        sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        self._study = optuna.create_study(sampler=sampler, direction="maximize" if mode == "max" else "minimize")
        self._axes, self._metric = axes, metric
        self._asked: list[optuna.Trial] = []

    def ask(self, count: int) -> list[Candidate]:
        """The candidates of the next round."""
        self._asked = [self._study.ask() for _ in range(count)]
        return [{key: _suggested(trial, key, axis) for key, axis in self._axes.items()} for trial in self._asked]

    def tell(self, records: Sequence[RunRecord]) -> None:
        """Tell how the candidates of the round ended, in the order in which they were proposed."""
        for trial, record in zip(self._asked, records, strict=True):
            value = record.metric(self._metric)
            if record.status == "done" and value is not None and math.isfinite(value):
                self._study.tell(trial, value)
            elif record.status == "stopped":
                for entry in record.history:
                    trial.report(entry[self._metric], entry["epoch"])
                self._study.tell(trial, state=TrialState.PRUNED)
            else:
                self._study.tell(trial, state=TrialState.FAIL)


def _suggested(trial: optuna.Trial, key: str, axis: Axis) -> Scalar:
    values = choices(axis)
    if isinstance(values, Range):
        return values.rounded(trial.suggest_float(key, values.low, values.high, log=values.log))
    if isinstance(values, range):
        return trial.suggest_int(key, values[0], values[-1], step=values.step)
    return values[trial.suggest_categorical(key, range(len(values)))]
