"""Runs of the benchmark: what the paper calls their methods, where they leave its settings, and the tables of Task 2.

Of Tasks 1 and 3 `encoders` says the first two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.registry import registry
from mtneuro_ray.results import encoders, paper, paper_encoders
from mtneuro_ray.results.departures import as_option, changed_images, packaged_task
from mtneuro_ray.results.methods import flattened, task_of
from mtneuro_ray.results.tables import Value
from mtneuro_ray.storage.records import RunRecord

_TASKS: dict[str, tuple[paper.Dimension, int]] = {
    f"task2_{dimension}_{classes}class": (dimension, classes)
    for dimension in paper.METHODS
    for classes in paper.CLASSES
}
# Keys of a network that have a place of their own in tables, or none.
_SHOWN = {"name", "model.dim", "seed"}


def setting_of(record: RunRecord) -> tuple[paper.Dimension, int] | None:
    """Dimension and number of classes of a run of the benchmark's Task 2, or None for any other run."""
    task = record.settings["task"]
    setting = _TASKS.get(task["name"])
    if setting is None or list(task["classes"]) != packaged_task(task["name"])["classes"]:
        return None
    return setting


def is_published(record: RunRecord) -> bool:
    """Whether a run is of a task whose results are tables of the paper."""
    return setting_of(record) is not None or encoders.setting_of(record) is not None


def scale_of(record: RunRecord) -> str:
    """Where a run of the benchmark leaves the paper's epochs, images and boxes; empty where nowhere."""
    if encoders.setting_of(record) is not None:
        return ", ".join((*encoders.epochs_of(record), *encoders.images_of(record)))
    if setting_of(record) is None:
        return ""
    epochs = record.summary["epochs"]
    return ", ".join([*([] if epochs == paper.EPOCHS else [f"{epochs} epochs"]), *changed_images(task_of(record))])


def _changes_of(record: RunRecord, dimension: paper.Dimension) -> str:
    """Where a run's network leaves the paper's settings of Task 2, but for what the paper searched."""
    network, name = record.settings["network"], record.summary["model"]
    changes = [] if name == _packaged_name(network["model"]["name"], dimension) else [f"named {name}"]
    defaults = flattened(_defaults(network["model"]["name"]))
    changes.extend(
        as_option(key, value)
        for key, value in flattened(network).items()
        if key in defaults and key not in _SHOWN and value != defaults[key]
    )
    return ", ".join(changes)


@cache
def _defaults(model: str) -> Mapping[str, Any]:
    """Default settings of a model in supervised training; the keys that the paper searched are left out."""
    required = {"classes": 2, "model": model, "optimizer": {"learning_rate": 1.0, "epochs": 1}}
    network = NetworkSettings.load({**required, "data": {"batch_size": 16}}, model).model_dump(mode="json")
    for key in ("learning_rate", "epochs"):
        del network["optimizer"][key]
    del network["data"]["batch_size"], network["classes"]
    return network


def _packaged_name(model: str, dimension: paper.Dimension) -> str:
    known = registry("models")
    dims = known.find(model).dims if model in known.names() else ()
    return f"{model}_{dimension}" if len(dims) > 1 else model


class MethodNames:
    """Names of the methods of one table: the paper's where it has them, numbered where a network is set otherwise."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def name(self, record: RunRecord) -> Value:
        """The name of a run's method."""
        name, changes = _name_and_changes(record)
        if not changes:
            return Value(name, name)
        number = self._numbers.setdefault(changes, len(self._numbers) + 1)
        return Value(f"{name} [{number}]", f"{name}, {changes}")

    @property
    def notes(self) -> list[str]:
        """What the numbers stand for."""
        return [f"[{number}] {changes}" for changes, number in self._numbers.items()]


def _name_and_changes(record: RunRecord) -> tuple[str, str]:
    setting = setting_of(record)
    if setting is not None:
        return paper_name(record, setting[0]), _changes_of(record, setting[0])
    if encoders.setting_of(record) is not None:
        return encoders.paper_name(record), encoders.changes_of(record)
    return record.summary["model"], ""


def paper_name(record: RunRecord, dimension: paper.Dimension) -> str:
    """The paper's name of a run's model; its own where the paper has it not."""
    model: str = record.settings["network"]["model"]["name"]
    return paper.METHODS[dimension].get(model, model)


def place_of(record: RunRecord) -> tuple[int, str]:
    """Sorts runs of the benchmark as the paper does; models that it has not come last, all others stay."""
    setting = setting_of(record)
    if encoders.setting_of(record) is not None:
        return paper_encoders.METHODS.index(encoders.paper_name(record)), encoders.changes_of(record)
    if setting is None:
        return 0, ""
    models, model = list(paper.METHODS[setting[0]]), record.settings["network"]["model"]["name"]
    return models.index(model) if model in models else len(models), _changes_of(record, setting[0])


class Part(NamedTuple):
    """What the runs of one of the paper's tables have in common.

    Attributes:
        dimension: Part I is 2D, part II is 3D.
        data: Identities of the volumes.
        scale: Of `scale_of`.
    """

    dimension: paper.Dimension
    data: tuple[str, ...]
    scale: str

    @property
    def name(self) -> str:
        """The paper's heading."""
        return f"{'I' if self.dimension == '2D' else 'II'}. {self.dimension} pixel-level segmentation"

    @property
    def source(self) -> str:
        """Of which data, so that nobody takes it for the mouse brain, and at which scale."""
        kind = f"{self.data[0].partition(':')[0]} data"
        return f"{kind}, {self.scale}" if self.scale else kind


def parts_of(records: Iterable[RunRecord]) -> list[tuple[Part, list[RunRecord]]]:
    """The runs of the benchmark's Task 2, by dimension, data and scale."""
    parts: dict[Part, list[RunRecord]] = {}
    for record in records:
        setting = setting_of(record)
        if setting is not None:
            part = Part(setting[0], tuple(record.settings["data"]), scale_of(record))
            parts.setdefault(part, []).append(record)
    return sorted(parts.items())


@dataclass(slots=True)
class Line:
    """A method as the paper's tables place it.

    Attributes:
        name: As it is shown.
        paper_name: As the paper knows it.
        settings: Number of classes -> the groups of runs that are shown one under the other.
    """

    name: Value
    paper_name: str
    settings: dict[int, list[list[RunRecord]]] = field(default_factory=lambda: {number: [] for number in paper.CLASSES})


def lines_of(part: Part, groups: Iterable[list[RunRecord]], names: MethodNames) -> list[Line]:
    """The lines of a table, in the order of the paper.

    Args:
        part: What all the runs have in common.
        groups: Runs that are shown as one: the seeds of a method, or a cell.
        names: Receives what the notes have to explain.
    """
    lines: dict[str, Line] = {}
    for runs in sorted(groups, key=lambda runs: place_of(runs[0])):
        name = names.name(runs[0])
        line = lines.setdefault(name.value, Line(name, paper_name(runs[0], part.dimension)))
        line.settings[classes_of(runs[0])].append(runs)
    return list(lines.values())


def classes_of(record: RunRecord) -> int:
    """Number of classes."""
    return len(record.settings["task"]["classes"])
