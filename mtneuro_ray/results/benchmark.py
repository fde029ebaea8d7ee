"""Runs of the benchmark's Task 2: what the paper calls their methods, and where they leave its settings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import PurePath
from typing import Any, NamedTuple

from mtneuro_ray.config.architectures import ARCHITECTURES
from mtneuro_ray.config.loading import load_task
from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.results import paper
from mtneuro_ray.results.methods import network_of, task_of
from mtneuro_ray.results.record import RunRecord
from mtneuro_ray.results.tables import Value

_TASKS: dict[str, tuple[paper.Dimension, int]] = {
    f"task2_{dimension}_{classes}class": (dimension, classes)
    for dimension in paper.METHODS
    for classes in paper.CLASSES
}
# Keys of a network that have a place of their own in tables, or none.
_SHOWN = {"name", "dim", "seed"}


def setting_of(record: RunRecord) -> tuple[paper.Dimension, int] | None:
    """Dimension and number of classes of a run of the benchmark's Task 2, or None for any other run."""
    task = record.settings["task"]
    setting = _TASKS.get(task["name"])
    if setting is None or list(task["classes"]) != _packaged(task["name"])["classes"]:
        return None
    return setting


@cache
def _packaged(name: str) -> Mapping[str, Any]:
    return load_task(name)[0].model_dump(mode="json")


def scale_of(record: RunRecord) -> str:
    """Where a run of the benchmark's Task 2 leaves the paper's epochs, images and boxes; empty where nowhere."""
    if setting_of(record) is None:
        return ""
    task, published = task_of(record), _packaged(record.settings["task"]["name"])
    changes = []
    if record.summary["epochs"] != paper.EPOCHS:
        changes.append(f"{record.summary['epochs']} epochs")
    if task["tile_size"] != published["tile_size"]:
        changes.append(f"{' x '.join(map(str, dict.fromkeys(task['tile_size'])))} px")
    if task["max_slices"] is not None:
        images = "slices" if task["volume_z"] == 1 else "sub-volumes"
        changes.append(f"at most {task['max_slices']} {images} a cube and split")
    changes.extend(
        f"{key} {task[key]}" for key in ("tile_stride", "volume_z", "downsample") if task[key] != published[key]
    )
    if _boxes(task) not in (_boxes(published), _boxes(published, task["tile_size"])):
        changes.append("other cubes")
    return ", ".join(changes)


def _boxes(task: Mapping[str, Any], tile: Sequence[int] | None = None) -> set[tuple[Any, ...]]:
    """Region, split and ranges of each cube, in y and x cut to a tile at its centre, as presets do."""
    found = set()
    for cube in task["cubes"]:
        ranges = [cube["y"], cube["x"]]
        if tile is not None:
            starts = [start + (stop - start - side) // 2 for (start, stop), side in zip(ranges, tile, strict=True)]
            ranges = [[start, start + side] for start, side in zip(starts, tile, strict=True)]
        found.add((cube["region"], cube["split"], *map(tuple, (cube["z"], *ranges))))
    return found


def _changes_of(record: RunRecord, dimension: paper.Dimension) -> str:
    """Where a run's network leaves the paper's settings of Task 2, but for what the paper searched."""
    network, name = network_of(record), record.summary["model"]
    changes = [] if name == _packaged_name(network["model"], dimension) else [f"named {name}"]
    changes.extend(
        f"{key}={_as_option(network[key])}"
        for key, setting in NetworkSettings.model_fields.items()
        if not setting.is_required() and key not in _SHOWN and network[key] != setting.default
    )
    return ", ".join(changes)


def _packaged_name(model: str, dimension: paper.Dimension) -> str:
    dims = next((architecture.dims for name, architecture in ARCHITECTURES.items() if name == model), ())
    return f"{model}_{dimension}" if len(dims) > 1 else model


def _as_option(value: Any) -> str:
    """A value as `--set` takes it; of a path only the file."""
    if isinstance(value, str):
        return f"file:{PurePath(value).name}" if value.startswith("file:") else value
    return json.dumps(value)


class MethodNames:
    """Names of the methods of one table: the paper's for its Task 2, with a number where a network is set otherwise."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def name(self, record: RunRecord) -> Value:
        """The name of a run's method."""
        setting = setting_of(record)
        if setting is None:
            return Value(record.summary["model"], record.summary["model"])
        name, changes = paper_name(record, setting[0]), _changes_of(record, setting[0])
        if not changes:
            return Value(name, name)
        number = self._numbers.setdefault(changes, len(self._numbers) + 1)
        return Value(f"{name} [{number}]", f"{name}, {changes}")

    @property
    def notes(self) -> list[str]:
        """What the numbers stand for."""
        return [f"[{number}] {changes}" for changes, number in self._numbers.items()]


def paper_name(record: RunRecord, dimension: paper.Dimension) -> str:
    """The paper's name of a run's model; its own where the paper has it not."""
    model: str = record.settings["network"]["model"]
    return paper.METHODS[dimension].get(model, model)


def place_of(record: RunRecord) -> tuple[int, str]:
    """Sorts runs of the benchmark's Task 2 as the paper does; models that it has not come last, all others stay."""
    setting = setting_of(record)
    if setting is None:
        return 0, ""
    models, model = list(paper.METHODS[setting[0]]), record.settings["network"]["model"]
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
