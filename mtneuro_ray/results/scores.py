"""Tables of final runs outside the paper's tables, one per setting: accuracy, F1 and IoU of each class, or R2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mtneuro_ray.results.benchmark import MethodNames, is_published, place_of, scale_of
from mtneuro_ray.results.methods import by_method, data_of, finished
from mtneuro_ray.results.paper_encoders import READOUTS
from mtneuro_ray.results.tables import MISSING, Table, Value, count, mean_and_deviation, mean_of
from mtneuro_ray.storage.records import RunRecord

# Heading and metric of each row of a segmentation method; both reductions always stand side by side.
_SEGMENTATION_ROWS = (
    ("F1 (dataset)", "dataset/f1"),
    ("IoU (dataset)", "dataset/iou"),
    ("F1 (image)", "image/f1"),
    ("IoU (image)", "image/iou"),
)
_CLASSIFICATION_COLUMNS = (
    ("Accuracy", "accuracy"),
    ("Balanced accuracy", "balanced_accuracy"),
    ("F1", "f1_mean"),
)
# Row and split of a readout.
_READOUT_ROWS = (("R2 (all)", "all"), ("R2 (held out)", "test"))
METHOD_COLUMNS = ("Method", "lr", "Batch", "Epochs", "Seeds")


class Group(NamedTuple):
    """What the runs of one table have in common. Tasks of one name may differ in kind or classes, and so in columns."""

    setting: str
    data: str
    scale: str
    kind: str
    classes: tuple[str, ...]

    @property
    def source(self) -> str:
        """Setting, data and scale."""
        return ", ".join(filter(None, (self.setting, f"{self.data} data", self.scale)))

    @property
    def title(self) -> str:
        """The same, of the test split; a readout has two."""
        split = "" if self.kind == "readout" else "test split"
        return ", ".join(filter(None, (self.setting, split, f"{self.data} data", self.scale)))


def groups_of(records: Sequence[RunRecord]) -> list[tuple[Group, list[RunRecord]]]:
    """The finished final runs, by setting, data and scale."""
    groups: dict[Group, list[RunRecord]] = {}
    for record in sorted(finished(records), key=place_of):
        task = record.settings["task"]
        key = Group(record.summary["task"], data_of(record), scale_of(record), task["task"], tuple(task["classes"]))
        groups.setdefault(key, []).append(record)
    return sorted(groups.items())


def score_tables(records: Sequence[RunRecord]) -> list[Table]:
    """A table per setting and kind of data, but for the benchmark's own tasks, whose tables are the paper's."""
    return [_table(group, runs) for group, runs in groups_of(records) if not is_published(runs[0])]


def _table(group: Group, records: Sequence[RunRecord]) -> Table:
    names, methods = MethodNames(), by_method(records)
    if group.kind == "segmentation":
        cells = [
            [*method_cells(runs, names), *scores]
            for runs in methods
            for scores in segmentation_scores([run.metrics["test"] for run in runs])
        ]
        return Table(group.title, [*METHOD_COLUMNS, "Metric", *group.classes, "Avg."], cells)
    if group.kind == "readout":
        cells = [[*method_cells(runs, names), *scores] for runs in methods for scores in _readout_scores(runs)]
        return Table(group.title, [*METHOD_COLUMNS, "Metric", *READOUTS.values()], cells)
    columns = [*METHOD_COLUMNS, *(heading for heading, _ in _CLASSIFICATION_COLUMNS)]
    return Table(group.title, columns, [_classification_row(runs, names) for runs in methods])


def method_cells(runs: Sequence[RunRecord], names: MethodNames) -> list[Value]:
    """What `METHOD_COLUMNS` say of a method: its name, and how its network or encoder was trained."""
    summary = runs[0].summary
    rate = Value(f"{summary['learning_rate']:g}", summary["learning_rate"])
    return [names.name(runs[0]), rate, *map(count, (summary["batch_size"], summary["epochs"], len(runs)))]


def segmentation_scores(metrics: Sequence[Mapping[str, Any]]) -> list[list[Value | str]]:
    """Rows of both metrics in both reductions: heading, means of the classes over the seeds, mean with deviation.

    Args:
        metrics: Of a split or a region, of each seed.
    """
    rows: list[list[Value | str]] = []
    for heading, metric in _SEGMENTATION_ROWS:
        per_class = zip(*(values[metric] for values in metrics), strict=True)
        average = mean_and_deviation([values[f"{metric}_mean"] for values in metrics])
        rows.append([heading, *map(mean_of, per_class), average])
    return rows


def _classification_row(runs: Sequence[RunRecord], names: MethodNames) -> list[Value]:
    cells = [mean_and_deviation([run.metrics["test"][name] for run in runs]) for _, name in _CLASSIFICATION_COLUMNS]
    return [*method_cells(runs, names), *cells]


def _readout_scores(runs: Sequence[RunRecord]) -> list[list[Value | str]]:
    """Rows of R2; an attribute that is the same everywhere has none."""
    rows: list[list[Value | str]] = []
    for heading, split in _READOUT_ROWS:
        values = [[run.metrics[split][metric] for run in runs if metric in run.metrics[split]] for metric in READOUTS]
        rows.append([heading, *(mean_and_deviation(own) if own else MISSING for own in values)])
    return rows
