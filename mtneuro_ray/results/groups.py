"""Finished final runs that may stand in one table: of one task, data and scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mtneuro_ray.results.benchmark import Part, by_scale, part_of, place_of
from mtneuro_ray.results.frame import Run
from mtneuro_ray.results.methods import data_labels, finished
from mtneuro_ray.results.tasks import kind_of


class Group(NamedTuple):
    """Common properties of the runs of one table. Tasks of one name may differ in kind or classes, so in columns."""

    task: str
    source: str
    part: Part
    kind: str
    classes: tuple[str, ...]


def groups_of(runs: Sequence[Run], *, by_epochs: bool = True) -> list[tuple[Group, list[Run]]]:
    """The finished final runs, by task, data and scale (see `by_scale`); without `by_epochs`, trained however long."""
    labels = data_labels(runs)

    def group_of(run: Run) -> Group:
        part = part_of(run)
        group = Group(run.summary["task"], part.source(labels), part, kind_of(run), run.classes)
        return group if by_epochs else without_epochs(group)

    def without_epochs(group: Group) -> Group:
        part = group.part._replace(epochs=())
        return group._replace(source=part.source(labels), part=part)

    return [(group, sorted(own, key=place_of)) for group, own in by_scale(finished(runs), group_of, without_epochs)]
