"""How tables show each kind of task: what its declaration says, and any metric that its runs have beyond that."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache

from mtneuro_ray.config.modes import Mode, mode_of
from mtneuro_ray.errors import InputError
from mtneuro_ray.registry import registry
from mtneuro_ray.results.frame import CONFUSION, VOXELS, Run
from mtneuro_ray.tasks.base import TaskDeclaration

# Splits of readouts, which are fitted twice.
_SPLITS = {"all": "R2 (all)", "test": "R2 (held out)"}
# Metrics that tables show elsewhere or not at all.
_HIDDEN = {"loss", "images", "truth", VOXELS, "recall", "precision", "f1", "r2_mean"}


@dataclass(frozen=True, slots=True)
class TaskTable:
    """What is shown of one kind of task.

    Attributes:
        metrics: Metric -> heading, in order.
        per_class: Whether metrics are rows with a column per class, and not columns.
        splits: Split -> heading of its row.
        unit: What a confusion matrix counts.
    """

    metrics: Mapping[str, str]
    per_class: bool
    splits: Mapping[str, str]
    unit: str


@cache
def _declared(kind: str) -> TaskDeclaration | None:
    """The declaration of a kind of task; None of a plugin that is not installed here."""
    try:
        found: TaskDeclaration = registry("tasks").find(kind)
        return found
    except InputError:
        return None


def kind_of(run: Run) -> str:
    """The kind of a run's task, such as `segmentation`."""
    return str(run.task["task"])


def selection_metric(run: Run) -> str | None:
    """The validation metric that selects among candidates of a run's task; None where none can."""
    declared = _declared(kind_of(run))
    known = run.scalars() if declared is None else declared.selection
    return next((name for name in known if name.startswith("val/")), None)


def mode_of_run(run: Run, metric: str) -> Mode:
    """Whether larger or smaller values of a metric are better: as declared, or by its name where nothing is known."""
    declared = _declared(kind_of(run))
    try:
        if declared is not None:
            return mode_of(metric, declared, run.network.get("evaluation.metrics") or ())
    except InputError:
        # A metric of a plugin that is not installed here.
        pass
    return "min" if metric.endswith("loss") else "max"


def shown_metric(run: Run) -> str | None:
    """The metric that a run is judged by in lists."""
    declared = _declared(kind_of(run))
    return selection_metric(run) if declared is None else declared.shown


def table_of(runs: Collection[Run]) -> TaskTable:
    """How tables show some runs of one kind of task: its own metrics first, then what else they have."""
    declared = _declared(kind_of(next(iter(runs))))
    headings = () if declared is None else declared.headings
    metrics = {heading.metric: heading.title for heading in headings}
    per_class = any(heading.per_class for heading in headings)
    if not headings:
        per_class = any(key.class_ and not key.metric.startswith(CONFUSION) for run in runs for key in run.keys)
    splits = _SPLITS if declared is not None and declared.reads_encoder else {"test": ""}
    unit = "voxels" if declared is not None and declared.labels == "voxel" else "samples"
    return TaskTable({**metrics, **more_metrics(runs)}, per_class, splits, unit)


def more_metrics(runs: Collection[Run]) -> dict[str, str]:
    """Metrics of final runs that their task does not declare -> heading."""
    found: dict[str, str] = {}
    for run in {run.keys_json: run for run in runs}.values():
        declared = _declared(kind_of(run))
        own = {heading.metric for heading in declared.headings} if declared is not None else set()
        there = {key.metric for key in run.keys if key.split in _SPLITS and not key.region}
        means = {f"{name}_mean" for name in (*own, *there)}
        found |= {
            metric: metric
            for metric in dict.fromkeys(key.metric for key in run.keys)
            if metric in there - own - means - _HIDDEN and not metric.startswith(f"{CONFUSION}/")
        }
    return found
