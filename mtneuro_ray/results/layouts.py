"""The paper's tables as layouts: tasks side by side, and the metric, class and split of each row and column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from mtneuro_ray.results import published
from mtneuro_ray.results.published import DATA


class Row(NamedTuple):
    """A row of each method: text in the column "Metric", first part of the metric's name, and split of our values."""

    heading: str = ""
    metric: str = ""
    split: str = "test"
    is_published: bool = False


class Column(NamedTuple):
    """A column of each task: last part of the metric's name, and index of the class or None for a value over all.

    It shows the mean over seeds, with its deviation ("spread"), the candidate, or the paper's value.
    """

    heading: str
    metric: str = ""
    class_: int | None = None
    show: Literal["mean", "spread", "candidate", "paper"] = "spread"


class TablePanel(NamedTuple):
    """A column in which methods are compared."""

    heading: str
    task: str
    column: Column


class TableLayout(NamedTuple):
    """One of the paper's tables.

    Attributes:
        name: Its number, as a part of a file name.
        title: Number and subject.
        tasks: Task -> heading of its columns; empty for a single task.
        columns: Task -> its columns.
        blocks: Rows that stand together, repeated for each variant of a method; the paper's come last.
        own: The table is printed if one of these tasks has runs.
        compares_methods: Whether it lists methods without runs and compares the order of methods with the paper's.
    """

    name: str
    title: str
    tasks: Mapping[str, str]
    columns: Mapping[str, Sequence[Column]]
    blocks: Sequence[Sequence[Row]]
    notes: Sequence[str]
    own: frozenset[str]
    compares_methods: bool = True

    @property
    def is_grouped(self) -> bool:
        """Whether headings of tasks stand above the columns."""
        return bool(next(iter(self.tasks.values())))

    @property
    def place(self) -> str:
        """Place of the paper's values: "rows" or "columns"."""
        return "rows" if any(row.is_published for block in self.blocks for row in block) else "columns"

    @property
    def panels(self) -> list[TablePanel]:
        """The first column of each task; every column of a single task."""
        return [
            TablePanel(self.tasks[task] or column.heading, task, column)
            for task in self.tasks
            for column in self.columns[task][: 1 if len(self.tasks) > 1 else None]
        ]


_MEANS = "mean +- sample standard deviation (ddof 1) over seeds"
_ACCURACY_NOTES = (
    f"ours: accuracy on the test split, {_MEANS}; p is the probability of mixup. ours balanced: mean of the regions' "
    "recalls. A sample is one of the four corners of an image, but an image where eval_crops is not corners.",
    f"paper: {DATA}, as published.",
)
_READOUT_NOTES = (
    f"Linear regression on the features of frozen encoders, {_MEANS}. Rows (all): fitted and scored on all samples, as "
    "in the paper. Rows (held out): fitted on the train slices, scored on the test slices; the paper has none.",
    f"Rows (paper): {DATA}, as published.",
)
_SEGMENTATION_NOTES = (
    "Rows (dataset) and (image) are ours, of the test split: the ratio of its counts, and the mean of its images' "
    "ratios.",
    "Classes: means over seeds. Avg.: mean +- sample standard deviation (ddof 1) over seeds of the mean over classes.",
    f"Rows (paper): {DATA}, as published, at the learning rates and batch sizes of Table A4.",
)
_ACCURACIES = (
    Column("ours", "accuracy"),
    Column("ours balanced", "balanced_accuracy"),
    Column("paper", "accuracy", show="paper"),
)
_ATTRIBUTES = {
    "vessels": "Vessels",
    "axons": "Axons",
    "cell_count": "Cell Count",
    "cell_size": "Cell Size",
    "cell_distance": "Dist (k=1)",
}
REDUCTIONS = ("dataset", "image")
PARTS = {
    f"{number}. {dim}D pixel-level segmentation": {
        f"task2_{dim}D_{classes}class": f"{classes}-class" for classes in (3, 4)
    }
    for dim, number in ((2, "I"), (3, "II"))
}
"""Part of the paper's Tables 2 and A4 -> its tasks with their headings."""


def layouts() -> list[TableLayout]:
    """The paper's tables in the order in which they are printed."""
    one = {"task1": "ROI-C1", "task1_c2": "ROI-C2", "task1_c3": "ROI-C3"}
    resolutions = {"task1_x4": "Downsampling 4", "task1": "Downsampling 2", "task1_x1": "Full-res"}
    readouts = {"task3": "I. {} a single subvolume (ROI-C1)", "task3_c3": "II. {} two subvolumes (ROI-C3)"}
    return [
        *(
            TableLayout(
                f"table_{number.lower()}",
                f"Table {number}, accuracy of region classification",
                tasks,
                dict.fromkeys(tasks, _ACCURACIES),
                [[Row()]],
                _ACCURACY_NOTES,
                frozenset(own),
            )
            for number, tasks, own in (("1", one, one), ("A3", resolutions, resolutions.keys() - one.keys()))
        ),
        *(
            TableLayout(
                f"table_3_{part.partition('.')[0]}",
                f"Table 3, {part.format('Linear readouts from models trained on')}",
                {task: ""},
                {task: [Column(heading, f"r2/{name}") for name, heading in _ATTRIBUTES.items()]},
                [[Row("R2 (all)", split="all"), Row("R2 (held out)"), Row("R2 (paper)", is_published=True)]],
                _READOUT_NOTES,
                frozenset({task}),
            )
            for task, part in readouts.items()
        ),
        *(
            TableLayout(
                "table_2",
                f"Table 2, {part}",
                tasks,
                {task: _segmentation_columns(task) for task in tasks},
                [_segmentation_rows("f1", "F1"), _segmentation_rows("iou", "IoU")],
                _SEGMENTATION_NOTES,
                frozenset(tasks),
                compares_methods=False,
            )
            for part, tasks in PARTS.items()
        ),
    ]


def _segmentation_columns(task: str) -> list[Column]:
    classes = [Column(name, "", place, "mean") for place, name in enumerate(published.classes(task))]
    return [Column("lr/batch", show="candidate"), *classes, Column("Avg.", "_mean")]


def _segmentation_rows(metric: str, heading: str) -> list[Row]:
    ours = [Row(f"{heading} ({reduction})", f"{reduction}/{metric}") for reduction in REDUCTIONS]
    return [*ours, Row(f"{heading} (paper)", metric, is_published=True)]
