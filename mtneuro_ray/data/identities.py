"""Which identities of a run's data are those of the image's channels, and which are those of annotation and mask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.config.task_volumes import OWN, volumes_of
from mtneuro_ray.rng import Indices


@dataclass(frozen=True, slots=True)
class Identities:
    """Identities of the volumes that images are read from.

    Attributes:
        images: Image volumes, one per channel.
        annotation: Annotation volume; None where the task reads none.
        parts: Those of each volume of a task over several, by name; the others are then empty.
        mask: Volume that is 0 where the annotation is ignored; None where the task has none.
    """

    images: tuple[str, ...]
    annotation: str | None = None
    mask: str | None = None
    parts: dict[str, Identities] = field(default_factory=dict)


Parts = dict[str, tuple[Identities, TaskSettings]]
"""Identities and part of the task of each volume, by its name."""


def parts_in(task: TaskSettings, identities: Identities) -> Parts:
    """The parts of a task; the only part of one volume is the task."""
    if not task.volumes:
        return {OWN: (identities, task)}
    return {name: (identities.parts[name], part) for name, part in volumes_of(task).items()}


def by_volume(parts: Parts, owners: npt.NDArray[np.str_]) -> Iterator[tuple[Indices, Identities, TaskSettings]]:
    """The volumes that own some images, with the places of theirs among all."""
    for name, (identities, part) in parts.items():
        places = np.flatnonzero(owners == name)
        if len(places):
            yield places, identities, part


def by_role(task: TaskSettings, data: Sequence[str]) -> Identities:
    """The identities of a run's data (`RunSettings.data`), by what they are read for."""
    if task.volumes:
        channels, rest, parts = task.count_channels(data), list(data), {}
        for name, part in volumes_of(task).items():
            size = channels + part.reads_annotation + (part.mask_chan is not None)
            parts[name], rest = by_role(part, rest[:size]), rest[size:]
        return Identities((), parts=parts)
    images, labels = list(data), []
    for is_read in (task.mask_chan is not None, task.reads_annotation):
        labels.append(images.pop() if is_read and len(images) > 1 else None)
    mask, annotation = labels
    return Identities(tuple(images), annotation, mask)
