"""Layout of the tables of each kind of task: its declared metrics, and further metrics that its runs have."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import NamedTuple

from mtneuro_ray.config.space import Mode, mode_of
from mtneuro_ray.errors import InputError
from mtneuro_ray.registry import registry
from mtneuro_ray.results.frame import CONFUSION, VOXELS, Run
from mtneuro_ray.tasks.base import TaskDeclaration

COUNTS = frozenset({"images", "truth", VOXELS})
"""Metrics of every kind of task that are numbers of images or voxels."""
NO_SCORES = COUNTS | {"loss"}
"""Metrics of every kind of task that are no scores: tables show them elsewhere or not at all."""


class TaskTable(NamedTuple):
    """Metrics and splits of the tables of one kind of task, with their headings.

    Metrics are columns, or, if there are values per class, rows with a column per class.
    """

    metrics: Mapping[str, str]
    per_class: bool
    splits: Mapping[str, str]


@cache
def declared(kind: str) -> TaskDeclaration | None:
    """The declaration of a kind of task; None for a plugin that is not installed here."""
    try:
        found: TaskDeclaration = registry("tasks").find(kind)
        return found
    except InputError:
        return None


def kind_of(run: Run) -> str:
    """The kind of a run's task, such as `segmentation`."""
    return str(run.task["task"])


def selection_metric(run: Run) -> str | None:
    """The validation metric that selects among candidates of a run's task; None if none can."""
    own = declared(kind_of(run))
    known = run.scalars() if own is None else own.selection
    return next((name for name in known if name.startswith("val/")), None)


def mode_of_run(run: Run, metric: str) -> Mode:
    """Whether larger or smaller values of a metric are better: as declared, or by its name if nothing is known."""
    own = declared(kind_of(run))
    try:
        if own is not None:
            return mode_of(metric, own, run.network.get("evaluation.metrics") or ())
    except InputError:
        # A metric of a plugin that is not installed here.
        pass
    return "min" if metric.endswith("loss") else "max"


def shown_metric(run: Run) -> str | None:
    """The metric that a run is judged by in lists."""
    own = declared(kind_of(run))
    return selection_metric(run) if own is None else own.shown


def unit_of(run: Run) -> str:
    """Unit of the counts in a confusion matrix: "voxels" or "samples"."""
    own = declared(kind_of(run))
    return "voxels" if own is not None and own.labels == "voxel" else "samples"


def table_of(runs: Collection[Run], *, only_more: bool = False) -> TaskTable:
    """Layout of a table of final runs of one kind of task; `only_more` leaves out metrics that the task declares."""
    own = declared(kind_of(next(iter(runs))))
    headings = () if own is None else own.headings
    metrics = {heading.metric: heading.title for heading in headings}
    splits = {"test": ""} if own is None else own.splits
    per_class = any(heading.per_class for heading in headings)
    if not headings:
        per_class = any(key.class_ and not key.metric.startswith(CONFUSION) for run in runs for key in run.keys)
    hidden = NO_SCORES | set(() if own is None else own.untabled)
    more: dict[str, str] = {}
    for run in {run.keys_json: run for run in runs}.values():
        there = dict.fromkeys(key.metric for key in run.keys if key.split in splits and not key.region)
        means = {f"{name}_mean" for name in (*metrics, *there)}
        more |= {name: name for name in there if name not in hidden | means and not name.startswith(f"{CONFUSION}/")}
    more = {name: heading for name, heading in more.items() if name not in metrics}
    return TaskTable(more if only_more else {**metrics, **more}, per_class, splits)
