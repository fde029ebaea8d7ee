"""Confusion matrices of the test split: one per method, summed over its seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mtneuro_ray.results.cautions import confusion_of
from mtneuro_ray.results.frame import Run, grouped
from mtneuro_ray.results.methods import by_method, candidate_text, data_labels, differences, label_of
from mtneuro_ray.results.tasks import unit_of


class Confusion(NamedTuple):
    """Predicted classes (columns) of each true class (rows), over all seeds of one method.

    Attributes:
        name: File name of its figure.
        lines: Model, task and data; candidate and seeds; settings in which methods of this model and task differ.
        classes: Names of the C classes.
        counts: (C, C) voxels or images.
        unit: What is counted, for people.
    """

    name: str
    lines: tuple[str, ...]
    classes: tuple[str, ...]
    counts: npt.NDArray[np.int64]
    unit: str

    @property
    def title(self) -> str:
        """One line with all of it."""
        return f"{', '.join(self.lines)}: confusion"

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """(C, C) shares of each true class; 0 where the truth has none."""
        found: npt.NDArray[np.float64] = self.counts / np.maximum(self.counts.sum(axis=1, keepdims=True), 1)
        return found


def confusions_of(runs: Iterable[Run]) -> list[Confusion]:
    """The matrices of the final runs among some runs, a method after the other."""
    shown = [run for run in runs if run.status != "error"]
    labels = data_labels(shown)
    finals = [run for run in shown if run.summary["role"] == "final" and confusion_of(run)]
    found = []
    for own in grouped(finals, lambda run: (run.summary["model"], run.summary["task"])).values():
        told = [path for path in differences(own) if path.rpartition(".")[2] not in own[0].summary]
        found += [_confusion(seeds, told, labels[seeds[0].data]) for seeds in by_method(own)]
    return found


def _confusion(seeds: Sequence[Run], paths: Sequence[str], data: str) -> Confusion:
    first, summary = seeds[0], seeds[0].summary
    candidate = f"{candidate_text(summary)}, {summary['epochs']} epochs"
    count = f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}, test split"
    head = f"{summary['model']} on {summary['task']}, {data}"
    lines = tuple(filter(None, (head, f"{candidate}, {count}", label_of(first, paths))))
    counts = np.sum([counts for run in seeds if (counts := confusion_of(run))], axis=0)
    crops = first.network.get("evaluation.eval_crops") == "corners"
    unit = {"samples": "corners of images" if crops else "images"}.get(unit_of(first), "voxels")
    return Confusion(f"confusion_{summary['model']}_{summary['task']}", lines, first.classes, counts, unit)
