"""Declaration of a kind of task, which imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from mtneuro_ray.registry import Declaration


class Scale(NamedTuple):
    """Images in the smoke preset: their side in pixels, at the centre of the cubes, and their number along z."""

    tile_size: int
    max_slices: int


class Heading(NamedTuple):
    """A metric in tables: its key in a split's metrics, and the heading of its row or column.

    With `per_class` it is a list with a value per class, whose mean is the metric METRIC_mean.
    """

    metric: str
    title: str
    per_class: bool = False


_SMOKE = {2: Scale(64, 32), 3: Scale(32, 4)}


@dataclass(frozen=True, kw_only=True)
class TaskDeclaration(Declaration):
    """One kind of task: what a split's samples and targets are, and how predictions are measured.

    `build` is a class of `tasks.training.base.Task`, or where the task reads an encoder a function that returns a
    `tasks.training.base.Reading`.

    Attributes:
        labels: Targets: a class per "image", a class per "voxel", or attributes per "corner" of an image
            (`data.attributes`).
        metrics: Names of the task's own metrics.
        headings: Metrics that tables show, in their order; after them come metrics that a network adds.
        splits: Split whose metrics tables show -> heading of its rows; empty for a single one.
        untabled: Further metrics of the task, which no table shows.
        selection: Validation metrics that can select a candidate, the default first; empty where none can.
        shown: Metric that a run is judged by while it runs.
        required_splits: Splits without which there is no such task.
        needs_annotation: Whether the task reads an annotation volume.
        measures_regions: Whether each region is measured by itself, too.
        reads_encoder: Whether it trains nothing and reads the frozen encoder of another task's run.
        checks_classes: Whether the network's number of classes has to be the task's.
        smoke: Number of spatial axes -> scale in the smoke preset.
    """

    labels: Literal["image", "voxel", "corner"]
    selection: tuple[str, ...]
    shown: str
    metrics: tuple[str, ...] = ()
    headings: tuple[Heading, ...] = ()
    splits: Mapping[str, str] = field(default_factory=lambda: {"test": ""})
    untabled: tuple[str, ...] = ()
    measures_regions: bool = False
    required_splits: tuple[str, ...] = ("train", "test")
    needs_annotation: bool = True
    reads_encoder: bool = False
    checks_classes: bool = True
    smoke: Mapping[int, Scale] = field(default_factory=lambda: dict(_SMOKE))
