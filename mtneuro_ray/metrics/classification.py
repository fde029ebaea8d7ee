"""Accuracy, recall, precision and F1 of a classifier (PROTOCOL, Task 1)."""

from __future__ import annotations

import numpy as np

from mtneuro_ray.metrics.base import ConfusionMetric, Counts, MetricDeclaration, Metrics, mean, ratio


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
        tp, truth, predicted = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
        recall, precision, f1 = ratio(tp, truth, 0), ratio(tp, predicted, 0), ratio(2 * tp, truth + predicted, 0)
        occurs = truth + predicted > 0
        if self.task.absent == "leave_out":
            occurs = truth > 0
            for scores in (recall, precision, f1):
                scores[~occurs] = np.nan
        return {
            "accuracy": int(tp.sum()) / total,
            "balanced_accuracy": mean(recall[truth > 0]),
            "recall": recall.tolist(),
            "precision": precision.tolist(),
            "f1": f1.tolist(),
            "f1_mean": mean(f1[occurs]),
            "confusion": confusion.tolist(),
            "truth": truth.tolist(),
        }


CLASSIFICATION = MetricDeclaration(
    name="classification",
    summary="Accuracy, balanced accuracy, recall, precision and F1",
    build=ClassificationMetric,
)
