"""Accuracy, recall, precision and F1 of a classifier (PROTOCOL, Task 1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from mtneuro_ray.metrics.base import (
    ConfusionMetric,
    Counts,
    Floats,
    Measure,
    MetricDeclaration,
    Metrics,
    class_mean,
    mean,
    ratio,
    ratio_or_nan,
)


class ClassificationMetric(ConfusionMetric):
    """Metrics of all samples together."""

    def of(self, confusions: Counts) -> Metrics:
        """Metrics of a classifier from the confusions of images (N, classes, classes), rows the truth.

        Returns:
            "accuracy"; "balanced_accuracy", the mean recall of the classes that occur in the truth; "recall",
            "precision" and "f1" per class, 0 where the denominator is 0; "f1_mean" over the classes that occur in
            truth or prediction (macro F1); "confusion"; "truth", samples of each class. Unless the task's `absent` is
            "one", a class that the truth lacks has no recall, precision and F1 (NaN), and "f1_mean" is over the others.

        Raises:
            ValueError: there is no sample.
        """
        confusion = confusions.sum(0)
        total = int(confusion.sum())
        if total == 0:
            raise ValueError("no sample to measure; accepted: a confusion matrix of one or more samples")
        scores, truth = self._scores(confusion), confusion.sum(axis=1)
        return {
            "accuracy": int(confusion.trace()) / total,
            "balanced_accuracy": mean(scores["recall"][truth > 0]),
            **{name: values.tolist() for name, values in scores.items()},
            "f1_mean": mean(scores["f1"][self._occurs(confusion)]),
            "confusion": confusion.tolist(),
            "truth": truth.tolist(),
        }

    def measures(self, rows: Counts) -> Mapping[str, Measure]:
        """The metrics of `of` but for "confusion" and "truth", as functions of summed confusions."""
        sums, classes = rows.reshape(len(rows), -1), self.classes
        truth, predicted = rows.sum(-1), rows.sum(-2)

        def measure(value: Callable[[Counts], Floats], weights: Counts | None = None) -> Measure:
            return Measure(sums, lambda totals: value(totals.reshape(*totals.shape[:-1], classes, classes)), weights)

        def where(confusions: Counts, name: str, counts: npt.NDArray[np.bool_]) -> Floats:
            return class_mean(np.where(counts, self._scores(confusions)[name], np.nan))

        return {
            "accuracy": measure(
                lambda each: ratio_or_nan(np.trace(each, axis1=-2, axis2=-1), each.sum((-2, -1))), truth
            ),
            "balanced_accuracy": measure(lambda each: where(each, "recall", each.sum(-1) > 0), truth),
            "f1_mean": measure(lambda each: where(each, "f1", self._occurs(each)), truth + predicted),
            "recall": measure(lambda each: self._scores(each)["recall"], truth),
            "precision": measure(lambda each: self._scores(each)["precision"], predicted),
            "f1": measure(lambda each: self._scores(each)["f1"], truth + predicted),
        }

    def _scores(self, confusions: Counts) -> dict[str, Floats]:
        """Recall, precision and F1 (..., classes) of confusions (..., classes, classes)."""
        tp = np.diagonal(confusions, axis1=-2, axis2=-1)
        truth, predicted = confusions.sum(-1), confusions.sum(-2)
        scores = {
            "recall": ratio(tp, truth, 0),
            "precision": ratio(tp, predicted, 0),
            "f1": ratio(2 * tp, truth + predicted, 0),
        }
        if self.task.absent == "leave_out":
            for values in scores.values():
                values[truth == 0] = np.nan
        return scores

    def _occurs(self, confusions: Counts) -> npt.NDArray[np.bool_]:
        """The classes (..., classes) whose F1 is part of the mean."""
        truth = confusions.sum(-1)
        predicted = 0 if self.task.absent == "leave_out" else confusions.sum(-2)
        found: npt.NDArray[np.bool_] = truth + predicted > 0
        return found


CLASSIFICATION = MetricDeclaration(
    name="classification",
    summary="Accuracy, balanced accuracy, recall, precision and F1",
    build=ClassificationMetric,
)
