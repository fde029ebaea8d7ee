"""The paper's tables as layouts: which tasks stand side by side, and what rows and columns look up in the frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from mtneuro_ray.results import published
from mtneuro_ray.results.published import DATA

_MEANS = "mean +- sample standard deviation (ddof 1) over seeds"


class Row(NamedTuple):
    """A row of each method: what it adds to the keys of its cells.

    Attributes:
        heading: In the column "Metric"; empty in tables without one.
        metric: First part of the metric's name.
        split: Of our values.
        is_published: Whether it shows the paper's values, under ours.
    """

    heading: str = ""
    metric: str = ""
    split: str = "test"
    is_published: bool = False


class Column(NamedTuple):
    """A column of each task: what it adds to the keys of its cells.

    Attributes:
        heading: Below that of the task.
        metric: Last part of the metric's name.
        class_: Place of the class; None for a value of all.
        show: The mean over seeds, with its deviation, the candidate, or the paper's value.
    """

    heading: str
    metric: str = ""
    class_: int | None = None
    show: Literal["mean", "spread", "candidate", "paper"] = "spread"


@dataclass(frozen=True, slots=True)
class Layout:
    """One of the paper's tables.

    Attributes:
        title: What it shows.
        tasks: Task -> heading of its columns.
        columns: Task -> its columns.
        blocks: Rows that stand together: those of every variant of a method, the paper's last.
        place: Where the paper's values are: "columns" or "rows".
        notes: What a reader has to know.
        own: Tasks of which one must have runs; all by default.
        is_ordered: Whether a note compares the order of the methods with the paper's.
        settings_note: Says what the settings are that tell variants of a method apart.
    """

    title: str
    tasks: Mapping[str, str]
    columns: Mapping[str, Sequence[Column]]
    blocks: Sequence[Sequence[Row]]
    place: str
    notes: Sequence[str]
    own: frozenset[str] = frozenset()
    is_ordered: bool = False
    settings_note: str = ""

    @property
    def is_grouped(self) -> bool:
        """Whether headings of tasks stand above the columns."""
        return bool(next(iter(self.tasks.values())))

    def heading(self, task: str, column: Column) -> str:
        """The whole heading of a column."""
        return f"{self.tasks[task]} {column.heading}".strip()

    @property
    def name(self) -> str:
        """Its number, as a part of a file name."""
        number, _, part = self.title.partition(", ")
        return "_".join([*number.lower().split(), *([] if self.is_grouped else [part.partition(".")[0]])])


_SETTINGS_NOTE = (
    "Changed settings, as --set takes them. Of frozen encoders method.* are the encoder's training, all others the "
    "linear layer's."
)
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


def _accuracy_layout(name: str, tasks: Mapping[str, str], own: set[str]) -> Layout:
    return Layout(
        f"{name}, accuracy of region classification",
        tasks,
        dict.fromkeys(tasks, _ACCURACIES),
        [[Row()]],
        "columns",
        _ACCURACY_NOTES,
        frozenset(own),
        is_ordered=True,
        settings_note=_SETTINGS_NOTE,
    )


def _readout_layout(task: str, part: str) -> Layout:
    columns = [Column(heading, f"r2/{name}") for name, heading in _ATTRIBUTES.items()]
    rows = [Row("R2 (all)", split="all"), Row("R2 (held out)"), Row("R2 (paper)", is_published=True)]
    return Layout(
        f"Table 3, {part}",
        {task: ""},
        {task: columns},
        [rows],
        "rows",
        _READOUT_NOTES,
        frozenset({task}),
        is_ordered=True,
        settings_note=_SETTINGS_NOTE,
    )


def _segmentation_layout(part: str, tasks: Mapping[str, str]) -> Layout:
    columns = {
        task: [
            Column("lr/batch", show="candidate"),
            *(Column(name, "", place, "mean") for place, name in enumerate(published.classes(task))),
            Column("Avg.", "_mean"),
        ]
        for task in tasks
    }
    blocks = [
        [
            *(Row(f"{heading} ({reduction})", f"{reduction}/{metric}") for reduction in REDUCTIONS),
            Row(f"{heading} (paper)", metric, is_published=True),
        ]
        for metric, heading in (("f1", "F1"), ("iou", "IoU"))
    ]
    return Layout(f"Table 2, {part}", tasks, columns, blocks, "rows", _SEGMENTATION_NOTES, frozenset(tasks))


PARTS = {
    f"{number}. {dim}D pixel-level segmentation": {
        f"task2_{dim}D_{classes}class": f"{classes}-class" for classes in (3, 4)
    }
    for dim, number in ((2, "I"), (3, "II"))
}
"""Part of the paper's Tables 2 and A4 -> its tasks with their headings."""


def layouts() -> list[Layout]:
    """The paper's tables in the order in which they are printed."""
    one = {"task1": "ROI-C1", "task1_c2": "ROI-C2", "task1_c3": "ROI-C3"}
    resolutions = {"task1_x4": "Downsampling 4", "task1": "Downsampling 2", "task1_x1": "Full-res"}
    of = "Linear readouts from models trained on"
    return [
        _accuracy_layout("Table 1", one, set(one)),
        _accuracy_layout("Table A3", resolutions, set(resolutions) - set(one)),
        _readout_layout("task3", f"I. {of} a single subvolume (ROI-C1)"),
        _readout_layout("task3_c3", f"II. {of} two subvolumes (ROI-C3)"),
        *(_segmentation_layout(part, tasks) for part, tasks in PARTS.items()),
    ]
